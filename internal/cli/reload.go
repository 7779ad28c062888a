package cli

import (
	"path/filepath"

	hakoapp "github.com/hako-run/hako/app"
	"github.com/spf13/cobra"
)

func (a *app) reloadCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "reload [NAME]",
		Short: "Let a running server load its configuration again",
		Long: `Let a running server load its configuration again, and say whether it did. Without
a name, the server of the hako.toml in this folder.`,
		Args: arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var name, data string
			var err error
			if len(args) > 0 {
				name = args[0]
				data, err = a.dataDir()
			} else {
				var here string
				if here, err = filepath.Abs("."); err == nil {
					name = processName(filepath.Base(here))
				}
			}
			if err != nil {
				return err
			}
			if _, configured, err := a.loadConfig(configFile(nil)); err == nil {
				data = configured
			} else if len(args) == 0 {
				return err
			}
			if err := hakoapp.NewRegistry(data).Reload(cmd.Context(), name); err != nil {
				return err
			}
			return a.say("%s has loaded its configuration", name)
		},
		ValidArgsFunction: a.completeProcess,
	}
}
