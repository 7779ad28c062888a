package cli

import (
	"github.com/hako-run/hako/pagestore"
	"github.com/hako-run/hako/sqlite"
	"github.com/spf13/cobra"
)

func (a *app) importCommand() *cobra.Command {
	var retain string
	cmd := &cobra.Command{
		Use:   "import NAME FILE",
		Short: "Make a database of an ordinary SQLite file",
		Long: `Make a database of an ordinary SQLite file, with what a WAL or the journal of a
crash beside it holds. The file and all beside it stay as they are; programs that
have it open can go on. It is checked first: a damaged one is refused, and nothing
is made.`,
		Args: arguments(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := pagestore.CheckName(args[0]); err != nil {
				return err
			}
			policy, err := pagestore.ParseRetention(retain)
			if err != nil {
				return usageError{err}
			}
			return a.withStore(true, func(s *pagestore.Store) error {
				p := a.progress("import "+args[0], "", true)
				d, err := sqlite.Import(cmd.Context(), s, args[0], a.path(args[1]), sqlite.ImportOptions{Retain: policy, Progress: func(i sqlite.ImportProgress) {
					if i.Step == sqlite.ImportCheck {
						p.begins(string(i.Step))
						return
					}
					p.enters(string(i.Step))
					p.update(i.Done, i.Total)
				}})
				p.end()
				if err != nil {
					return err
				}
				head := d.Head()
				return a.reportInfo(d, "imported %s as %s: %s, %s", args[1], d.Name(), sizeText(commitSize(head)), countText(int64(head.PageCount), "page"))
			})
		},
		ValidArgsFunction: a.complete(completeNone, nil),
	}
	cmd.Flags().StringVar(&retain, "retain", "all", "history to keep: an age (30d), a number of versions, or all")
	a.jsonFlag(cmd)
	return cmd
}
