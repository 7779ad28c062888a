package cli

import (
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
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "trim NAME --before SNAPSHOT|--keep 30d",
		Short: "Drop old versions and give their space back",
		Long: `Drop old versions and give their space back. Kept are the newest version, tagged
versions, and those that branches began from.`,
		Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o := pagestore.TrimOptions{DryRun: dryRun}
			if (before == "") == (keep == "") {
				return usageErrorf("say what to drop: either --before SNAPSHOT or --keep 30d (an age or a number of versions)")
			}
			if keep != "" {
				var err error
				if o.Retain, err = pagestore.ParseRetention(keep); err != nil {
					return usageError{err}
				}
				if o.Retain.All() {
					return usageErrorf("--keep all drops nothing: say an age (30d) or a number of versions")
				}
			}
			return a.withDatabase(args[0], func(d *pagestore.Database) error {
				if before != "" {
					v, err := beforeVersion(d, before)
					if err != nil {
						return err
					}
					o.Before = v
				}
				return a.trim(cmd, d, o)
			})
		},
		ValidArgsFunction: a.complete(completeName),
	}
	cmd.Flags().StringVar(&before, "before", "", "drop the versions before this SNAPSHOT (NAME@42, or just 42, -10d, a tag)")
	cmd.Flags().StringVar(&keep, "keep", "", "drop all but an age (30d) or a number of versions")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only tell what would go")
	a.jsonFlag(cmd)
	return cmd
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

func (a *app) trim(cmd *cobra.Command, d *pagestore.Database, o pagestore.TrimOptions) error {
	p := a.progress("trim "+d.Name(), "looking for what can go", false)
	o.Progress = p.update
	r, err := d.Trim(cmd.Context(), o)
	p.end()
	if err != nil {
		return err
	}
	if a.json {
		v := trimJSON{d.Name(), o.DryRun, r.Versions, r.Pages, r.Bytes, uint64(r.Oldest), []uint64{}}
		for _, k := range r.Kept {
			v.Kept = append(v.Kept, uint64(k))
		}
		return a.printJSON(v)
	}
	verb := "dropped"
	if o.DryRun {
		verb = "would drop"
	}
	text := verb + " " + countText(r.Versions, "version") + " of " + d.Name() + ": " + countText(r.Pages, "page record") + ", " + sizeText(r.Bytes) +
		"; kept from version " + versionText(r.Oldest)
	if len(r.Kept) > 0 {
		text += ", and before it " + versionList(r.Kept)
	}
	return a.say("%s", text)
}

func versionList(list []pagestore.Version) string {
	text := ""
	for i, v := range list {
		if i == 20 {
			return text + ", ... (" + countText(int64(len(list)), "version") + ")"
		}
		if i > 0 {
			text += ", "
		}
		text += versionText(v)
	}
	return text
}
