package cli

import (
	"bufio"
	"errors"
	"os"

	"github.com/hako-run/hako/pagestore"
	"github.com/hako-run/hako/sqlite"
	"github.com/spf13/cobra"
)

type exportJSON struct {
	Snapshot string `json:"snapshot"`
	File     string `json:"file"`
	Bytes    int64  `json:"bytes"`
}

func (a *app) exportCommand() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "export SNAPSHOT FILE",
		Short: "Write a snapshot to an ordinary SQLite file; - is standard output",
		Args:  arguments(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withSnapshot(args[0], func(_ *pagestore.Store, at *pagestore.Snapshot) error {
				p := a.progress("export "+at.String(), "", true)
				if args[1] == "-" {
					return a.exportToOut(cmd, at, p)
				}
				err := sqlite.Export(cmd.Context(), at, a.path(args[1]), sqlite.ExportOptions{Overwrite: force, Progress: p.update})
				p.end()
				if info, e := os.Stat(a.path(args[1])); errors.Is(err, sqlite.ErrFileExists) && !force && e == nil && info.Mode().IsRegular() {
					return hintedError{err, "--force overwrites it"}
				}
				if err != nil {
					return err
				}
				size := commitSize(at.Commit())
				return a.done(exportJSON{at.String(), args[1], size}, "exported %s to %s: %s", at, args[1], sizeText(size))
			})
		},
		ValidArgsFunction: a.complete(completeSnapshot, nil),
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "replace a file that exists")
	a.jsonFlag(cmd)
	return cmd
}

func (a *app) exportToOut(cmd *cobra.Command, at *pagestore.Snapshot, p *progress) error {
	if isTerminal(a.Out) {
		return usageErrorf("export %s: standard output is a terminal, and a database is no text: name a file", at)
	}
	if a.json {
		return usageErrorf("export %s: --json and - both want standard output", at)
	}
	w := bufio.NewWriterSize(a.Out, 256<<10)
	err := sqlite.WritePages(cmd.Context(), at, w, p.update)
	p.end()
	if e := w.Flush(); err == nil {
		err = e
	}
	return err
}
