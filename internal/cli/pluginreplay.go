package cli

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/hako-run/hako/proxywasm"
	"github.com/hako-run/hako/proxywasm/offline"
	"github.com/spf13/cobra"
)

func (a *app) pluginReplayCommand() *cobra.Command {
	var source pluginSource
	var config pluginConfig
	cmd := &cobra.Command{
		Use:   "replay FILE|oci://IMAGE RECORDING",
		Short: "Run a plugin again from what was recorded of it",
		Long: `Make the callbacks again that a recording has (` + "`hako plugin run --record`" + `), and
answer the plugin's host calls from it: nothing else is needed, no upstream and no
configuration. It ends with exit code 1 where the plugin does something else than
what was recorded, and says what.`,
		Example: `  hako plugin replay waf.wasm waf.jsonl`,
		Args:    arguments(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := config.read(a)
			if err != nil {
				return err
			}
			return a.replayPlugin(cmd.Context(), args[0], args[1], &source, cfg)
		},
	}
	source.flags(cmd)
	flags := cmd.Flags()
	config.limitFlags(flags)
	a.jsonFlag(cmd)
	return cmd
}

// replayedJSON is what hako plugin replay tells programs.
type replayedJSON struct {
	Events  int    `json:"events"`
	Same    bool   `json:"same"`
	Differs string `json:"differs,omitempty"`
}

func (a *app) replayPlugin(ctx context.Context, source, recording string, from *pluginSource, cfg proxywasm.Config) error {
	f, err := os.Open(a.path(recording))
	if err != nil {
		return err
	}
	defer f.Close()
	events, err := offline.Read(f)
	if err != nil {
		return fmt.Errorf("%s: %w", recording, err)
	}
	m, closeEngine, err := from.load(ctx, a, source)
	if err != nil {
		return err
	}
	defer closeEngine()
	cfg.Module, cfg.Name = m, m.Name()
	err = proxywasm.Replay(ctx, cfg, events)
	v := replayedJSON{Events: len(events), Same: err == nil}
	switch {
	case err == nil:
		return a.done(v, "it does what was recorded: %s", countText(int64(len(events)), "event"))
	case errors.Is(err, proxywasm.ErrReplay) && a.json:
		v.Differs = err.Error()
		if err := a.printJSON(v); err != nil {
			return err
		}
		return &exitError{code: exitFailed}
	}
	return err
}
