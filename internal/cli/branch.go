package cli

import (
	"github.com/hako-run/hako/pagestore"
	"github.com/spf13/cobra"
)

func (a *app) branchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "branch SNAPSHOT NEW",
		Short: "Make a database that begins as a snapshot and shares its pages",
		Args:  arguments(2, 2),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := pagestore.CheckName(args[1]); err != nil {
				return err
			}
			return a.withSnapshot(args[0], func(s *pagestore.Store, at *pagestore.Snapshot) error {
				d, err := s.Branch(at, args[1])
				if err != nil {
					return err
				}
				return a.reportInfo(d, "%s begins as %s", d.Name(), at)
			})
		},
		ValidArgsFunction: a.complete(completeSnapshot, completeNone),
	}
	a.jsonFlag(cmd)
	return cmd
}
