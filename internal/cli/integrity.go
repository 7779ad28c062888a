package cli

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/hako-run/hako/pagestore"
	"github.com/hako-run/hako/sqlite"
)

const (
	// checkMemory is the size in bytes of the largest database that is checked
	// in memory.
	checkMemory = 128 << 20
	// fileCache is SQLite's cache for the check of a file, in KiB.
	fileCache = 32 << 10
)

// integrityCheck returns what SQLite finds wrong with the newest version.
//
// The check looks up every row in every index, all over the database. The
// store takes long to find single pages that are not in memory; so a large
// database is first written to a file, in one go.
func (a *app) integrityCheck(ctx context.Context, d *pagestore.Database, p *progress) ([]string, error) {
	at, err := d.HeadSnapshot()
	if err != nil {
		return nil, err
	}
	defer at.Close()
	if commitSize(at.Commit()) > a.checkMemory {
		found, err := checkFile(ctx, at, p)
		if err == nil || ctx.Err() != nil {
			return found, err
		} // the disk has no room for the file, or a page of it cannot be read
	}
	p.begins("integrity_check")
	db, err := sqlite.OpenDB(d.Store(), fmt.Sprintf("%s?_pragma=cache_size(-%d)", at, checkMemory>>10))
	if err != nil {
		return nil, err
	}
	return runCheck(ctx, db)
}

// checkFile checks a copy of the snapshot.
func checkFile(ctx context.Context, at *pagestore.Snapshot, p *progress) (_ []string, err error) {
	f, err := os.CreateTemp(filepath.Join(at.Database().Store().Dir(), "tmp"), "verify-*") // the next opening of the store removes what a crash leaves there
	if err != nil {
		return nil, err
	}
	defer func() {
		if e := errors.Join(f.Close(), os.Remove(f.Name())); err == nil {
			err = e
		}
	}()
	w := bufio.NewWriterSize(f, 1<<20)
	if err := errors.Join(sqlite.WritePages(ctx, at, w, p.update), w.Flush()); err != nil {
		return nil, err
	}
	p.begins("integrity_check")
	u := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(f.Name())}
	db, err := sql.Open("sqlite", fmt.Sprintf("%s?mode=ro&immutable=1&_pragma=cache_size(-%d)", u.String(), fileCache))
	if err != nil {
		return nil, err
	}
	return runCheck(ctx, db)
}

// runCheck runs PRAGMA integrity_check and closes db.
func runCheck(ctx context.Context, db *sql.DB) (found []string, err error) {
	defer func() {
		if e := db.Close(); err == nil {
			err = e
		}
	}()
	rows, err := db.QueryContext(ctx, "PRAGMA integrity_check")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		if text != "ok" {
			found = append(found, text)
		}
	}
	return found, rows.Err()
}
