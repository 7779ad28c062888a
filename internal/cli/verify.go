package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/hako-run/hako/pagestore"
	"github.com/spf13/cobra"
)

type verifyJSON struct {
	Name     string   `json:"name"`
	Version  uint64   `json:"version"`
	OK       bool     `json:"ok"`
	Findings []string `json:"findings"`
}

func (a *app) verifyCommand() *cobra.Command {
	var accept bool
	cmd := &cobra.Command{
		Use:   "verify [NAME]",
		Short: "Check a database, or all: hash chain, page checksums, SQLite's integrity_check of the newest version",
		Long: `Check a database, or all: the hash chain of its versions, the checksums of its
pages, and SQLite's integrity_check of the newest version.

A store whose newest part is damaged, so that acknowledged commits are lost, is
not opened by any command. With --accept-loss this one opens it without them; the
damaged log is kept in the folder lost of the store.`,
		Args: arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				if err := pagestore.CheckName(args[0]); err != nil {
					return nameError(args[0], err)
				}
			}
			a.storeOptions.AcceptLoss = accept
			return a.withStore(false, func(s *pagestore.Store) error {
				if lost := s.Lost(); lost != nil {
					fmt.Fprintf(a.Err, "hako: went on without what was lost: %v\n", lost)
				}
				names := args
				if len(names) == 0 {
					var err error
					if names, err = s.Names(); err != nil {
						return err
					}
				}
				return a.verify(cmd.Context(), s, names)
			})
		},
		ValidArgsFunction: a.complete(completeName),
	}
	cmd.Flags().BoolVar(&accept, "accept-loss", false, "open a store whose newest commits are damaged, without them")
	a.jsonFlag(cmd)
	return cmd
}

// verify reports on each database, and fails if any is damaged.
func (a *app) verify(ctx context.Context, s *pagestore.Store, names []string) error {
	damaged := 0
	results := []verifyJSON{}
	for _, name := range names {
		r, err := a.verifyOne(ctx, s, name)
		if err != nil {
			return fmt.Errorf("verify %s: %w", name, err)
		}
		results = append(results, r)
		if !r.OK {
			damaged++
		}
		if a.json {
			continue
		}
		if r.OK {
			err = a.say("%s: ok, up to version %d", name, r.Version)
		} else {
			err = a.say("%s: DAMAGED", name)
		}
		for _, f := range r.Findings {
			if err == nil {
				err = a.say("  %s", f)
			}
		}
		if err != nil {
			return err
		}
	}
	if a.json {
		if err := a.printJSON(results); err != nil {
			return err
		}
	}
	if damaged > 0 {
		return errors.New(countText(int64(damaged), "damaged database") + " of " + fmt.Sprint(len(names)) + ": export what can still be read, and restore the rest from a backup")
	}
	return nil
}

func (a *app) verifyOne(ctx context.Context, s *pagestore.Store, name string) (verifyJSON, error) {
	r := verifyJSON{Name: name, Findings: []string{}}
	d, err := s.Database(name)
	if err != nil {
		if !errors.Is(err, pagestore.ErrDamaged) {
			return r, err
		}
		r.Findings = append(r.Findings, err.Error())
		return r, nil
	}
	r.Version = uint64(d.Head().Version)
	p := a.progress("verify "+name, "", true)
	defer p.end()
	found, err := d.Verify(ctx, p.update)
	if err != nil {
		return r, err
	}
	for _, f := range found {
		r.Findings = append(r.Findings, f.Error())
	}
	text, err := a.integrityCheck(ctx, d, p)
	if err != nil {
		if ctx.Err() != nil {
			return r, err
		}
		text = []string{err.Error()}
	}
	for _, t := range text {
		r.Findings = append(r.Findings, "integrity_check: "+t)
	}
	r.OK = len(r.Findings) == 0
	return r, nil
}
