package cli

import (
	"bufio"
	"fmt"

	"github.com/hako-run/hako/pagestore"
	"github.com/hako-run/hako/sqlite/diff"
	"github.com/spf13/cobra"
)

func (a *app) diffCommand() *cobra.Command {
	var tables []string
	var sql bool
	var rows, width int
	cmd := &cobra.Command{
		Use:   "diff SNAPSHOT SNAPSHOT",
		Short: "Compare two snapshots: rows added, removed and changed by table, schema changes",
		Args:  arguments(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if sql && a.json {
				return usageErrorf("--sql and --json exclude each other")
			}
			return a.withSnapshots(args, func(s *pagestore.Store, at []*pagestore.Snapshot) error {
				o := diff.Options{Tables: tables}
				changed, related, err := s.ChangedPages(at[0], at[1])
				if err != nil {
					return err
				}
				if related {
					o.Changed = changed.All()
				}
				d, err := diff.New(at[0], at[1], o)
				if err != nil {
					return fmt.Errorf("compare %s and %s: %w", at[0], at[1], err)
				}
				defer d.Close()
				if missing := d.Missing(tables); len(missing) > 0 {
					return fmt.Errorf("compare %s and %s: neither has a table %q", at[0], at[1], missing[0])
				}
				out := bufio.NewWriter(a.Out)
				switch {
				case sql:
					err = d.WriteSQL(cmd.Context(), out)
				case a.json:
					err = d.WriteJSON(cmd.Context(), out)
				default:
					err = d.WriteText(cmd.Context(), out, diff.TextOptions{Rows: rows, Width: width})
				}
				if e := out.Flush(); err == nil {
					err = e
				}
				if err != nil {
					return fmt.Errorf("compare %s and %s: %w", at[0], at[1], err)
				}
				return nil
			})
		},
		ValidArgsFunction: a.complete(completeSnapshot, completeSnapshot),
	}
	cmd.Flags().StringArrayVar(&tables, "table", nil, "compare only this table; can be given several times")
	cmd.Flags().BoolVar(&sql, "sql", false, "print SQL that turns the first snapshot into the second")
	cmd.Flags().IntVar(&rows, "rows", 20, "rows to show of each table; 0 is none, -1 is all")
	cmd.Flags().IntVar(&width, "width", 60, "characters to show of each value; -1 is all")
	cmd.Flags().BoolVar(&a.json, "json", false, "print a JSON object a line for programs")
	return cmd
}
