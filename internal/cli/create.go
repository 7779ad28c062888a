package cli

import (
	"github.com/hako-run/hako/pagestore"
	"github.com/spf13/cobra"
)

func (a *app) createCommand() *cobra.Command {
	var from, retain string
	var pageSize int
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make an empty database, or one that begins as a snapshot",
		Args:  arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := pagestore.CheckName(args[0]); err != nil {
				return err
			}
			policy, err := pagestore.ParseRetention(retain)
			if err != nil {
				return usageError{err}
			}
			if from != "" {
				if cmd.Flags().Changed("page-size") {
					return usageErrorf("--page-size and --from exclude each other: a branch has its parent's page size")
				}
				return a.withSnapshot(from, func(s *pagestore.Store, at *pagestore.Snapshot) error {
					d, err := s.Branch(at, args[0])
					if err != nil {
						return err
					}
					if cmd.Flags().Changed("retain") {
						if err := d.SetRetention(policy); err != nil {
							return err
						}
					}
					return a.reportInfo(d, "created %s from %s", d.Name(), at)
				})
			}
			if pageSize < 512 || pageSize > 65536 || pageSize&(pageSize-1) != 0 {
				return usageErrorf("--page-size %d: it must be a power of two from 512 to 65536 bytes", pageSize)
			}
			return a.withStore(true, func(s *pagestore.Store) error {
				d, err := s.Create(args[0], pagestore.CreateOptions{PageSize: pageSize, Retain: policy})
				if err != nil {
					return err
				}
				return a.reportInfo(d, "created %s", d.Name())
			})
		},
		ValidArgsFunction: a.complete(completeNone),
	}
	cmd.Flags().StringVar(&from, "from", "", "begin as this SNAPSHOT of another database, sharing its pages")
	cmd.Flags().IntVar(&pageSize, "page-size", 4096, "bytes in a page, 512 to 65536")
	cmd.Flags().StringVar(&retain, "retain", "all", "history to keep: an age (30d), a number of versions, or all")
	_ = cmd.RegisterFlagCompletionFunc("from", a.complete(completeSnapshot))
	a.jsonFlag(cmd)
	return cmd
}

// reportInfo reports an action whose result is a database.
func (a *app) reportInfo(d *pagestore.Database, format string, args ...any) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	return a.done(infoJSONOf(info), format, args...)
}
