package cli

import (
	"github.com/hako-run/hako/pagestore"
	"github.com/spf13/cobra"
)

func (a *app) renameCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rename OLD NEW",
		Short: "Rename a database",
		Args:  arguments(2, 2),
		RunE: func(_ *cobra.Command, args []string) error {
			for _, name := range args {
				if err := pagestore.CheckName(name); err != nil {
					return nameError(name, err)
				}
			}
			return a.withStore(false, func(s *pagestore.Store) error {
				if err := s.Rename(args[0], args[1]); err != nil {
					return err
				}
				return a.done(map[string]string{"old": args[0], "new": args[1]}, "%s is now %s", args[0], args[1])
			})
		},
		ValidArgsFunction: a.complete(completeName, completeNone),
	}
	a.jsonFlag(cmd)
	return cmd
}
