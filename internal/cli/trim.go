package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/hako-run/hako/pagestore"
	"github.com/spf13/cobra"
)

type trimJSON struct {
	Database string   `json:"database"`
	DryRun   bool     `json:"dry_run"`
	Versions int64    `json:"versions"` // dropped
	Pages    int64    `json:"pages"`
	Bytes    int64    `json:"bytes"`
	Oldest   uint64   `json:"oldest"`
	Kept     []uint64 `json:"kept"` // protected versions before oldest
}

func (a *app) trimCommand() *cobra.Command {
	var before, keep string
	var dryRun, all bool
	cmd := &cobra.Command{
		Use:   "trim NAME [--before SNAPSHOT|--keep 30d]",
		Short: "Drop old versions and give their space back",
		Long: `Drop old versions and give their space back: those before a snapshot, or all but
an age or number of them, or else what the database does not retain (hako db
retain). Kept are the newest version, tagged versions, and those that branches
began from. --all does it for every database.`,
		Example: `  hako db trim shop --keep 30d
  hako db trim shop --before shop@42 --dry-run
  hako db trim --all`,
		Args: arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o := pagestore.TrimOptions{DryRun: dryRun}
			switch {
			case all && (len(args) > 0 || before != "" || keep != ""):
				return usageErrorf("--all applies what each database retains: it goes with --dry-run and --json only")
			case all:
				return a.withStore(false, func(s *pagestore.Store) error { return a.trimAll(cmd.Context(), s, o) })
			case len(args) == 0:
				return usageErrorf("%s needs a NAME, or --all: %s", cmd.CommandPath(), cmd.UseLine())
			case before != "" && keep != "":
				return usageErrorf("--before and --keep exclude each other")
			case keep != "":
				var err error
				if o.Retain, err = pagestore.ParseRetention(keep); err != nil {
					return usageError{err}
				}
				if o.Retain.All() {
					return usageErrorf("--keep all drops nothing: say an age (30d) or a number of versions")
				}
			}
			return a.withDatabase(args[0], func(d *pagestore.Database) (err error) {
				switch {
				case before != "":
					if o.Before, err = beforeVersion(d, before); err != nil {
						return err
					}
				case keep == "":
					info, err := d.Info()
					if err != nil {
						return err
					}
					if o.Retain = info.Retain; o.Retain.All() {
						return usageErrorf("%s retains all versions: say what to drop, --before SNAPSHOT or --keep 30d, or set what it retains with `hako db retain`", d.Name())
					}
				}
				r, err := a.trim(cmd.Context(), d, o)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(r)
				}
				return a.say("%s", r)
			})
		},
		ValidArgsFunction: a.complete(completeName),
	}
	cmd.Flags().StringVar(&before, "before", "", "drop the versions before this SNAPSHOT (NAME@42, or just 42, -10d, a tag)")
	cmd.Flags().StringVar(&keep, "keep", "", "drop all but an age (30d) or a number of versions")
	cmd.Flags().BoolVar(&all, "all", false, "drop what the databases do not retain, of every one")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only tell what would go")
	a.jsonFlag(cmd)
	return cmd
}

// trimAll drops what the databases do not retain. One that is damaged does not
// keep the others from being trimmed.
func (a *app) trimAll(ctx context.Context, s *pagestore.Store, o pagestore.TrimOptions) error {
	names, err := s.Names()
	if err != nil {
		return err
	}
	results, failed := []*trimJSON{}, []error{}
	for _, name := range names {
		r, err := a.trimRetained(ctx, s, name, o)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if r != nil {
			results = append(results, r)
			if !a.json {
				err = a.say("%s", r)
			}
		}
		if err != nil {
			failed = append(failed, err)
		}
	}
	if !o.DryRun && len(failed) == 0 { // what earlier trimming left undone, and what deleted databases left
		if err := s.TrimAll(ctx); err != nil {
			failed = append(failed, err)
		}
	}
	switch {
	case a.json:
		err = a.printJSON(results)
	case len(results)+len(failed) == 0:
		err = a.say("nothing to drop: all databases retain all versions")
	}
	return errors.Join(append(failed, err)...)
}

// trimRetained trims a database as it retains; nil if it retains everything.
func (a *app) trimRetained(ctx context.Context, s *pagestore.Store, name string, o pagestore.TrimOptions) (*trimJSON, error) {
	d, err := s.Database(name)
	if err != nil {
		return nil, err
	}
	info, err := d.Info()
	if err != nil || info.Retain.All() {
		return nil, err
	}
	o.Retain = info.Retain
	return a.trim(ctx, d, o)
}

// beforeVersion reads a snapshot of d, of which the name may be left out.
func beforeVersion(d *pagestore.Database, text string) (pagestore.Version, error) {
	r, err := pagestore.ParseAt(d.Name(), text)
	if ref, e := pagestore.ParseRef(text); e == nil && (err != nil || ref.Kind != pagestore.RefHead || ref.Database == d.Name()) {
		r, err = ref, nil
	}
	if err != nil {
		return 0, err
	}
	if r.Database != d.Name() {
		return 0, usageErrorf("--before %s is a snapshot of %s, not of %s", text, r.Database, d.Name())
	}
	at, err := d.Store().Snapshot(r)
	if err != nil {
		return 0, err
	}
	defer at.Close()
	return at.Version(), nil
}

func (a *app) trim(ctx context.Context, d *pagestore.Database, o pagestore.TrimOptions) (*trimJSON, error) {
	p := a.progress("trim "+d.Name(), "looking for what can go", false)
	o.Progress = p.update
	r, err := d.Trim(ctx, o)
	p.end()
	if err != nil {
		return nil, err
	}
	v := &trimJSON{d.Name(), o.DryRun, r.Versions, r.Pages, r.Bytes, uint64(r.Oldest), []uint64{}}
	for _, k := range r.Kept {
		v.Kept = append(v.Kept, uint64(k))
	}
	return v, nil
}

// String tells it to people.
func (r *trimJSON) String() string {
	verb := "dropped"
	if r.DryRun {
		verb = "would drop"
	}
	if r.Versions == 0 && r.Pages == 0 {
		return fmt.Sprintf("nothing to drop of %s: kept from version %d", r.Database, r.Oldest)
	}
	text := verb + " " + countText(r.Versions, "version") + " of " + r.Database + ": " + countText(r.Pages, "page record") + ", " + sizeText(r.Bytes) +
		"; kept from version " + fmt.Sprint(r.Oldest)
	if len(r.Kept) > 0 {
		text += ", and before it " + versionList(r.Kept)
	}
	return text
}

func versionList(list []uint64) string {
	text := ""
	for i, v := range list {
		if i == 20 {
			return text + ", ... (" + countText(int64(len(list)), "version") + ")"
		}
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprint(v)
	}
	return text
}
