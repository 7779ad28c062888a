package cli

import (
	"github.com/hako-run/hako/pagestore"
	"github.com/spf13/cobra"
)

type tagJSON struct {
	Database string `json:"database"`
	Tag      string `json:"tag"`
	Version  uint64 `json:"version"`
}

func (a *app) tagCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tag SNAPSHOT TAG",
		Short: "Give a version a name, which also keeps it from being trimmed",
		Args:  arguments(2, 2),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := pagestore.CheckTag(args[1]); err != nil {
				return err
			}
			return a.withSnapshot(args[0], func(_ *pagestore.Store, at *pagestore.Snapshot) error {
				if err := at.Database().Tag(at.Version(), args[1]); err != nil {
					return err
				}
				return a.done(tagJSON{at.Database().Name(), args[1], uint64(at.Version())}, "tagged %s as %s", at, args[1])
			})
		},
		ValidArgsFunction: a.complete(completeSnapshot, completeNone),
	}
	a.jsonFlag(cmd)
	return cmd
}

func (a *app) untagCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "untag NAME TAG",
		Short: "Remove a tag; the version stays until it is trimmed",
		Args:  arguments(2, 2),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.withDatabase(args[0], func(d *pagestore.Database) error {
				if err := d.Untag(args[1]); err != nil {
					return err
				}
				return a.done(map[string]string{"database": d.Name(), "untagged": args[1]}, "removed the tag %s of %s", args[1], d.Name())
			})
		},
		ValidArgsFunction: a.complete(completeName, completeTag),
	}
	a.jsonFlag(cmd)
	return cmd
}
