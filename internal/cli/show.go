package cli

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/hako-run/hako/pagestore"
	"github.com/spf13/cobra"
)

func (a *app) showCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show NAME|SNAPSHOT",
		Short: "Show a database, or one of its versions",
		Args:  arguments(1, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.withSnapshot(args[0], func(_ *pagestore.Store, at *pagestore.Snapshot) error {
				if strings.Contains(args[0], "@") {
					return a.showVersion(at)
				}
				return a.showDatabase(at.Database())
			})
		},
		ValidArgsFunction: a.complete(completeSnapshot),
	}
	a.jsonFlag(cmd)
	return cmd
}

func (a *app) showDatabase(d *pagestore.Database) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	tags, err := tagsOf(d)
	if err != nil {
		return err
	}
	if a.json {
		v := infoJSONOf(info)
		v.Head.Tags = tags[info.Head.Version]
		return a.printJSON(v)
	}
	count := 0
	for _, names := range tags {
		count += len(names)
	}
	from := info.Parent
	if from == "" {
		from = "-"
	}
	return a.fields([][2]string{
		{"name", info.Name},
		{"created", timeText(info.Created)},
		{"began from", from},
		{"version", versionText(info.Head.Version)},
		{"changed", timeText(info.Head.Time)},
		{"size", fmt.Sprintf("%s (%d pages of %s)", sizeText(commitSize(info.Head)), info.Head.PageCount, sizeText(int64(info.Head.PageSize)))},
		{"kept", fmt.Sprintf("versions %d to %d", info.Oldest, info.Head.Version)},
		{"retain", info.Retain.String()},
		{"tags", fmt.Sprint(count)},
		{"branches", fmt.Sprint(info.Branches)},
	})
}

// versionOfJSON is a version that does not stand among others of its database.
type versionOfJSON struct {
	Database string `json:"database"`
	commitJSON
}

func (a *app) showVersion(at *pagestore.Snapshot) error {
	tags, err := tagsOf(at.Database())
	if err != nil {
		return err
	}
	c := at.Commit()
	if a.json {
		return a.printJSON(versionOfJSON{at.Database().Name(), commitJSONOf(c, tags[c.Version])})
	}
	return a.fields([][2]string{
		{"snapshot", at.String()},
		{"time", timeText(c.Time)},
		{"size", fmt.Sprintf("%s (%d pages of %s)", sizeText(commitSize(c)), c.PageCount, sizeText(int64(c.PageSize)))},
		{"changed", fmt.Sprintf("%s, %s", countText(int64(c.Changed), "page"), sizeText(c.Stored))},
		{"tags", dash(strings.Join(tags[c.Version], ", "))},
		{"note", dash(c.Note)},
		{"hash", hex.EncodeToString(c.Hash[:])},
	})
}

// fields prints names and values, a pair a line.
func (a *app) fields(list [][2]string) error {
	width := 0
	for _, f := range list {
		width = max(width, len(f[0]))
	}
	for _, f := range list {
		if err := a.say("%-*s  %s", width, f[0], f[1]); err != nil {
			return err
		}
	}
	return nil
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// tagsOf returns the tags of each tagged version.
func tagsOf(d *pagestore.Database) (map[pagestore.Version][]string, error) {
	list, err := d.Tags()
	if err != nil {
		return nil, err
	}
	tags := map[pagestore.Version][]string{}
	for _, t := range list {
		tags[t.Version] = append(tags[t.Version], t.Name)
	}
	return tags, nil
}
