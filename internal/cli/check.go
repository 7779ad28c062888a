package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hako-run/hako/config"
	"github.com/hako-run/hako/proxywasm"
)

func (a *app) checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check [DIR|FILE]",
		Short: "Say what is wrong with a hako.toml, with line, column and a hint",
		Args:  arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			file := configFile(args)
			c, _, err := a.loadConfig(file)
			if err != nil {
				return err
			}
			if err := a.checkPlugins(cmd.Context(), c); err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			return a.say("%s: ok: %s, %s, %s", file, countText(int64(len(c.Routes)), "route"), countText(int64(len(c.Apps)), "app"), countText(int64(len(c.Databases)), "database"))
		},
	}
}

// checkPlugins looks at the plugins that are files, without running them: what
// is none, or wants what no host has, is seen before a server starts.
func (a *app) checkPlugins(ctx context.Context, c *config.Config) error {
	for i := range c.Filters {
		f := &c.Filters[i]
		if f.Module.File == "" {
			continue
		}
		source := pluginSource{sha256: f.SHA256}
		p, err := source.read(ctx, a, f.Module.File)
		if err == nil {
			var profile *proxywasm.Profile
			if profile, err = proxywasm.InspectSource(f.Module.File, p.Module); err == nil {
				if missing := missingImports(profile); len(missing) > 0 {
					err = fmt.Errorf("%s imports what is not there: %s; hako plugin inspect tells more", f.Module.File, strings.Join(missing, ", "))
				}
			}
		}
		if err != nil {
			return fmt.Errorf("filter %s: %w", f.Name, err)
		}
	}
	return nil
}
