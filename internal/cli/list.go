package cli

import (
	"errors"

	"github.com/hako-run/hako/pagestore"
	"github.com/spf13/cobra"
)

// infoJSON is a database for programs.
type infoJSON struct {
	Name     string     `json:"name"`
	Created  string     `json:"created"`
	Head     commitJSON `json:"head"`
	Oldest   uint64     `json:"oldest"` // the first version of those kept without a gap
	Retain   string     `json:"retain"`
	Parent   string     `json:"parent,omitempty"` // the snapshot it began from
	Branches int        `json:"branches"`
}

func infoJSONOf(i pagestore.Info) infoJSON {
	return infoJSON{Name: i.Name, Created: timeJSON(i.Created), Head: commitJSONOf(i.Head, nil), Oldest: uint64(i.Oldest),
		Retain: i.Retain.String(), Parent: i.Parent, Branches: i.Branches}
}

func (a *app) listCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the databases",
		Args:    arguments(0, 0),
		RunE: func(*cobra.Command, []string) error {
			var list []pagestore.Info
			err := a.withStore(false, func(s *pagestore.Store) (err error) {
				list, err = s.Databases()
				return err
			})
			var none *noStoreError
			if err != nil && !errors.As(err, &none) {
				return err
			}
			if a.json {
				infos := make([]infoJSON, len(list))
				for i, info := range list {
					infos[i] = infoJSONOf(info)
				}
				return a.printJSON(infos)
			}
			if len(list) == 0 {
				return a.say("no databases yet: make one with `hako db create NAME` or `hako db import NAME FILE`")
			}
			t := newTable(a.Out, []int{1, 2}, "NAME", "VERSION", "SIZE", "CHANGED", "RETAIN", "FROM")
			for _, i := range list {
				t.row(i.Name, versionText(i.Head.Version), sizeText(commitSize(i.Head)), timeText(i.Head.Time), i.Retain.String(), i.Parent)
			}
			return t.flush()
		},
		ValidArgsFunction: a.complete(),
	}
	a.jsonFlag(cmd)
	return cmd
}

// commitSize is the size of the SQLite file of a version.
func commitSize(c pagestore.Commit) int64 { return int64(c.PageSize) * int64(c.PageCount) }
