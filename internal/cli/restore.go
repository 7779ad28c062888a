package cli

import (
	"errors"
	"strings"

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
			return a.withDatabase(args[0], func(d *pagestore.Database) error {
				at, err := restorable(d, args[1])
				if err != nil {
					return err
				}
				defer at.Close()
				before := d.Head().Version
				c, err := sqlite.Restore(cmd.Context(), d, at)
				if err != nil {
					return err
				}
				return a.done(versionOfJSON{d.Name(), commitJSONOf(c, nil)}, "%s is now at version %d, equal to %s; what it was is %s@%d", d.Name(), c.Version, at, d.Name(), before)
			})
		},
		Long: `Make a new version that equals a snapshot, of this database or of another. Nothing
is lost: what was the newest version can be restored in turn.`,
		Example: `  hako db restore shop shop@42
  hako db restore shop 42          # of shop, too: a version, a time or a tag
  hako db restore shop shop@-10m`,
		ValidArgsFunction: a.complete(completeName, completeSnapshot),
	}
	a.jsonFlag(cmd)
	return cmd
}

// restorable opens a snapshot. Of one of d the name may be left out, as in 42,
// -10m or a tag, unless a database has that name.
func restorable(d *pagestore.Database, text string) (*pagestore.Snapshot, error) {
	s := d.Store()
	ref, err := pagestore.ParseRef(text)
	if err == nil {
		if _, err := s.Database(ref.Database); err == nil || strings.Contains(text, "@") {
			return s.Snapshot(ref)
		}
	}
	short, e := pagestore.ParseAt(d.Name(), text)
	switch {
	case e != nil && err != nil:
		return nil, err
	case e != nil:
		return s.Snapshot(ref)
	}
	at, e := s.Snapshot(short)
	if errors.Is(e, pagestore.ErrUnknownTag) {
		_, e = s.Database(text) // which it more likely was to be
	}
	return at, e
}
