package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/hako-run/hako/pagestore"
	"github.com/hako-run/hako/sqlite/vfscore"
	modernc "modernc.org/sqlite"
	"modernc.org/sqlite/lib"
)

// A source is a file, or a private copy of one, in a read transaction.
type source struct {
	user     *userFile // nil if it is a copy
	temp     string    // directory of the copy
	db       *sql.DB
	conn     *sql.Conn
	pageSize int
	pages    int64
}

// openSource opens and checks a file. temp is where a copy can lie.
func openSource(ctx context.Context, path, temp string, progress func(ImportProgress)) (_ *source, err error) {
	s := &source{}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.user, err = openUserFile(ctx, path); err != nil {
		return nil, err
	}
	settled, err := s.user.settled()
	if err != nil {
		return nil, err
	}
	// SQLite is told that nothing ever changes the file: else it would make
	// files beside it, of a database in WAL mode. The lock is ours.
	path, params := s.user.path, "?mode=ro&immutable=1"
	if settled {
		err = s.user.look(ctx)
	} else {
		params = "?mode=rw"
		path, err = s.copyAside(ctx, temp, progress)
	}
	if err != nil {
		return nil, err
	}
	u := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path)}
	if err = s.begin(ctx, "file:"+u.EscapedPath()+params, progress); err == nil {
		return s, nil
	}
	if e := s.unchanged(); e != nil {
		return nil, e // which may be why
	}
	var se *modernc.Error
	if errors.As(err, &se) && (se.Code()&0xff == sqlite3.SQLITE_CORRUPT || se.Code() == sqlite3.SQLITE_NOTADB) {
		err = fmt.Errorf("%w: %w: %w", ErrNotSQLite, ErrDamagedFile, err)
	}
	return nil, err
}

// copyAside makes the source a copy, in which SQLite can undo what a crash left
// half-done, or use a WAL.
func (s *source) copyAside(ctx context.Context, temp string, progress func(ImportProgress)) (path string, err error) {
	if s.temp, err = os.MkdirTemp(temp, "import-*"); err != nil {
		return "", err
	}
	begin := time.Now()
	path, err = s.user.copyTo(ctx, s.temp, func(done, total int64) {
		progress(ImportProgress{ImportAside, time.Since(begin), done, total})
	})
	if err != nil {
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			err = fmt.Errorf("%w: %w", pagestore.ErrDiskFull, err)
		}
		return "", fmt.Errorf("make a private copy: %w", err)
	}
	s.user.close()
	s.user = nil
	return path, nil
}

// unchanged returns errChanged if the file is no longer what is being read.
func (s *source) unchanged() error {
	if s.user == nil {
		return nil
	}
	return s.user.unchanged()
}

func (s *source) close() {
	if s.conn != nil {
		s.conn.Close()
	}
	if s.db != nil {
		s.db.Close()
	}
	if s.user != nil { // last: elsewhere than on Linux, closing the file ends all locks of it
		s.user.close()
	}
	if s.temp != "" {
		_ = os.RemoveAll(s.temp) // what stays is removed when the store is opened again
	}
}

// sourceCache is the memory for the source's pages, in KiB of SQLite's count:
// the check looks up every row in every index, and wants the inner pages of
// those at hand.
const sourceCache = 32 << 10

func (s *source) begin(ctx context.Context, dsn string, progress func(ImportProgress)) (err error) {
	dsn += fmt.Sprintf("&_pragma=trusted_schema(0)&_pragma=cell_size_check(1)&_pragma=synchronous(0)&_pragma=cache_size(-%d)", sourceCache)
	if s.db, err = sql.Open("sqlite", dsn); err != nil {
		return err
	}
	if s.conn, err = s.db.Conn(ctx); err != nil {
		return err
	}
	if _, err = s.conn.ExecContext(ctx, "BEGIN"); err != nil {
		return err
	}
	err = during(checkTick, func(elapsed time.Duration) {
		progress(ImportProgress{Step: ImportCheck, Elapsed: elapsed})
	}, func() error { return s.check(ctx) })
	if err != nil {
		return err
	}
	if err = s.conn.QueryRowContext(ctx, "PRAGMA page_size").Scan(&s.pageSize); err != nil {
		return err
	}
	return s.conn.QueryRowContext(ctx, "PRAGMA page_count").Scan(&s.pages)
}

// checkTick is how often the time that a check takes is told.
const checkTick = time.Second

// during calls tell when work begins and at intervals until it has ended.
func during(interval time.Duration, tell func(elapsed time.Duration), work func() error) error {
	begin := time.Now()
	tell(0)
	done := make(chan error, 1)
	go func() { done <- work() }()
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-t.C:
			tell(time.Since(begin))
		}
	}
}

// check runs SQLite's own check of the file.
func (s *source) check(ctx context.Context) error {
	rows, err := s.conn.QueryContext(ctx, "PRAGMA integrity_check(5)")
	if err != nil {
		return err
	}
	defer rows.Close()
	var wrong []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return err
		}
		if line != "ok" {
			wrong = append(wrong, strings.TrimSpace(line))
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%w: %w: PRAGMA integrity_check says: %s", ErrNotSQLite, ErrDamagedFile, strings.Join(wrong, "; "))
	}
	return nil
}

// copyTo writes every page into tx in its stored form.
func (s *source) copyTo(ctx context.Context, tx *pagestore.Tx, progress func(ImportProgress)) error {
	begin, total := time.Now(), s.pages*int64(s.pageSize)
	tell := func(pages int64) {
		progress(ImportProgress{ImportCopy, time.Since(begin), pages * int64(s.pageSize), total})
	}
	rows, err := s.conn.QueryContext(ctx, "SELECT pgno, data FROM sqlite_dbpage('main') WHERE pgno <= ?", s.pages)
	if err != nil {
		return err
	}
	defer rows.Close()
	lockPage := int64(1<<30)/int64(s.pageSize) + 1
	next := int64(1)
	for ; rows.Next(); next++ {
		var n int64
		var data sql.RawBytes
		if err := rows.Scan(&n, &data); err != nil {
			return err
		}
		if n != next || len(data) != s.pageSize {
			return fmt.Errorf("SQLite gave %d bytes of page %d for page %d, of %d bytes", len(data), n, next, s.pageSize)
		}
		if n == 1 {
			tx.SetMeta(importHeader(vfscore.Header(data)).AppendMeta(nil))
		}
		if n == lockPage {
			continue // nobody uses it: a hole, which reads as zeros
		}
		if err := tx.WritePage(uint32(n), data); err != nil {
			return err
		}
		if n&0xff == 0 {
			tell(n)
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if next != s.pages+1 {
		return fmt.Errorf("SQLite gave %d of %d pages", next-1, s.pages)
	}
	tx.Truncate(uint32(s.pages))
	tell(s.pages)
	return nil
}
