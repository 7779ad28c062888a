package cli

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/hako-run/hako/pagestore"
	"github.com/spf13/cobra"
)

// commitJSON is a version for programs.
type commitJSON struct {
	Version   uint64   `json:"version"`
	Time      string   `json:"time"`
	PageSize  int      `json:"page_size"`
	PageCount uint32   `json:"page_count"`
	Changed   uint32   `json:"changed"` // pages
	Stored    int64    `json:"stored"`  // bytes
	Hash      string   `json:"hash"`
	Note      string   `json:"note,omitempty"`
	Tags      []string `json:"tags,omitempty"`
}

func commitJSONOf(c pagestore.Commit, tags []string) commitJSON {
	return commitJSON{Version: uint64(c.Version), Time: timeJSON(c.Time), PageSize: c.PageSize, PageCount: c.PageCount,
		Changed: c.Changed, Stored: c.Stored, Hash: hex.EncodeToString(c.Hash[:]), Note: c.Note, Tags: tags}
}

func (a *app) logCommand() *cobra.Command {
	var since string
	var limit int
	cmd := &cobra.Command{
		Use:   "log NAME|SNAPSHOT",
		Short: "List the versions of a database, newest first",
		Args:  arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 0 {
				return usageErrorf("--limit %d: it must not be below 0 (0 is all)", limit)
			}
			o := pagestore.LogOptions{Limit: limit}
			if since != "" {
				var err error
				if o.Since, err = parseSince(since, time.Now()); err != nil {
					return err
				}
			}
			return a.withSnapshot(args[0], func(_ *pagestore.Store, at *pagestore.Snapshot) error {
				o.From = at.Version()
				return a.log(cmd, at.Database(), o)
			})
		},
		ValidArgsFunction: a.complete(completeSnapshot),
	}
	cmd.Flags().StringVar(&since, "since", "", "leave out what is older than a time (2026-11-22T10:00) or an age (2h)")
	cmd.Flags().IntVar(&limit, "limit", 0, "show at most so many versions; 0 is all")
	a.jsonFlag(cmd)
	return cmd
}

// parseSince reads what can follow the '@' of a snapshot as a time, with or
// without the '-' of an age.
func parseSince(text string, now time.Time) (time.Time, error) {
	if d, err := pagestore.ParseDuration(strings.TrimPrefix(text, "-")); err == nil {
		return now.Add(-d), nil
	}
	r, err := pagestore.ParseAt("x", text)
	if err != nil || r.Kind != pagestore.RefTime {
		return time.Time{}, usageErrorf("--since %q is neither a time (2026-11-22T10:00:00Z) nor an age (10m)", text)
	}
	return r.Time, nil
}

func (a *app) log(cmd *cobra.Command, d *pagestore.Database, o pagestore.LogOptions) error {
	tags, err := tagsOf(d)
	if err != nil {
		return err
	}
	n := 0
	t := newTable(io.Discard, nil)
	if !a.json {
		t = newTable(a.Out, []int{0, 2, 3}, "VERSION", "TIME", "PAGES", "BYTES", "TAGS", "NOTE")
	}
	for c, err := range d.Log(o) {
		if err != nil {
			return err
		}
		if err := cmd.Context().Err(); err != nil {
			return err
		}
		if c.Version == 0 { // nothing was committed
			continue
		}
		n++
		if !a.json {
			t.row(versionText(c.Version), timeText(c.Time), strconv.FormatUint(uint64(c.Changed), 10), sizeText(c.Stored), strings.Join(tags[c.Version], ", "), c.Note)
			if t.err != nil {
				return t.err
			}
			continue
		}
		text, err := json.Marshal(commitJSONOf(c, tags[c.Version]))
		if err != nil {
			return err
		}
		before := ",\n"
		if n == 1 {
			before = "["
		}
		if _, err := fmt.Fprintf(a.Out, "%s%s", before, text); err != nil {
			return err
		}
	}
	switch {
	case a.json && n == 0:
		return a.say("[]")
	case a.json:
		return a.say("]")
	case n == 0:
		return a.say("no versions")
	}
	return t.flush()
}
