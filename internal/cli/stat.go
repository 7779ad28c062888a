package cli

import (
	"fmt"

	"github.com/hako-run/hako/pagestore"
	"github.com/spf13/cobra"
)

type statJSON struct {
	Name         string `json:"name"`
	Versions     int64  `json:"versions"`
	HeadBytes    int64  `json:"head_bytes"`
	PageVersions int64  `json:"page_versions"`
	Whole        int64  `json:"whole"`
	Sparse       int64  `json:"sparse"`
	Deltas       int64  `json:"deltas"`
	HistoryBytes int64  `json:"history_bytes"`
	RecordBytes  int64  `json:"record_bytes"`
	DiskBytes    int64  `json:"disk_bytes"`
}

func (a *app) statCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "stat NAME",
		Short: "Show what a database takes on disk",
		Args:  arguments(1, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.withDatabase(args[0], func(d *pagestore.Database) error {
				st, err := d.Stat()
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(statJSON{d.Name(), st.Versions, st.HeadBytes, st.PageVersions, st.Whole, st.Sparse, st.Deltas, st.HistoryBytes, st.RecordBytes, st.DiskBytes})
				}
				return a.fields([][2]string{
					{"versions", fmt.Sprint(st.Versions)},
					{"size", sizeText(st.HeadBytes) + " (the newest version, as an SQLite file)"},
					{"page versions", fmt.Sprintf("%d (%d whole, %d sparse, %d deltas)", st.PageVersions, st.Whole, st.Sparse, st.Deltas)},
					{"history", sizeText(st.HistoryBytes) + " (all page versions, each counted whole)"},
					{"records", sizeText(st.RecordBytes) + " (as stored, before compression)"},
					{"on disk", sizeText(st.DiskBytes) + " (estimate)"},
				})
			})
		},
		ValidArgsFunction: a.complete(completeName),
	}
	a.jsonFlag(cmd)
	return cmd
}
