package cli

import (
	"github.com/spf13/cobra"
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
			return a.say("%s: ok: %s, %s, %s", file, countText(int64(len(c.Routes)), "route"), countText(int64(len(c.Apps)), "app"), countText(int64(len(c.Databases)), "database"))
		},
	}
}
