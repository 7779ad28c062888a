package cli

import (
	"github.com/hako-run/hako/pagestore"
	"github.com/hako-run/hako/sqlite"
	"github.com/spf13/cobra"
)

func (a *app) restoreCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "restore NAME SNAPSHOT",
		Short: "Make a new version that equals a snapshot; nothing is lost",
		Args:  arguments(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := pagestore.CheckName(args[0]); err != nil {
				return nameError(args[0], err)
			}
			return a.withSnapshot(args[1], func(s *pagestore.Store, at *pagestore.Snapshot) error {
				d, err := s.Database(args[0])
				if err != nil {
					return err
				}
				before := d.Head().Version
				c, err := sqlite.Restore(cmd.Context(), d, at)
				if err != nil {
					return err
				}
				return a.done(versionOfJSON{d.Name(), commitJSONOf(c, nil)}, "%s is now at version %d, equal to %s; what it was is %s@%d", d.Name(), c.Version, at, d.Name(), before)
			})
		},
		ValidArgsFunction: a.complete(completeName, completeSnapshot),
	}
	a.jsonFlag(cmd)
	return cmd
}
