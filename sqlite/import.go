package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hako-run/hako/pagestore"
	"github.com/hako-run/hako/sqlite/vfscore"
	modernc "modernc.org/sqlite"
	"modernc.org/sqlite/lib"
)

// ErrNotSQLite is returned, wrapped, by Import for a file that is no sound
// SQLite database.
var ErrNotSQLite = errors.New("not a sound SQLite database")

// ImportOptions tune Import. The zero value works.
type ImportOptions struct {
	Retain   pagestore.Retention
	Progress func(ImportProgress) // called now and then; the calls do not overlap
}

// An ImportStep is a part of the work of Import, in words for people.
type ImportStep string

// The steps, in their order.
const (
	ImportCheck ImportStep = "checking the file"
	ImportCopy  ImportStep = "copying"
)

// An ImportProgress tells how far Import is.
type ImportProgress struct {
	Step        ImportStep
	Elapsed     time.Duration // since the step began
	Done, Total int64         // bytes copied; SQLite does not tell how far a check is
}

// Import makes a database of an ordinary SQLite file: its version 1 is the
// file's content, that of a hot journal or a WAL beside it included. The file
// is checked first, and if anything goes wrong there is no database.
func Import(ctx context.Context, s *pagestore.Store, name, path string, o ImportOptions) (*pagestore.Database, error) {
	db, err := importFile(ctx, s, name, path, o)
	if err != nil {
		return nil, fmt.Errorf("import %s: %w", path, err)
	}
	return db, nil
}

func importFile(ctx context.Context, s *pagestore.Store, name, path string, o ImportOptions) (_ *pagestore.Database, err error) {
	if err := pagestore.CheckName(name); err != nil {
		return nil, err
	}
	if _, err := s.Database(name); err == nil {
		return nil, fmt.Errorf("%w: a database %q exists: choose another name", pagestore.ErrExists, name)
	}
	if err := checkMagic(path); err != nil {
		return nil, err
	}
	if o.Progress == nil {
		o.Progress = func(ImportProgress) {}
	}
	src, err := openSource(ctx, path, o.Progress)
	if err != nil {
		return nil, err
	}
	defer src.close()
	db, err := s.Create(name, pagestore.CreateOptions{PageSize: src.pageSize, Retain: o.Retain, Unpublished: true})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Discard(db))
		}
	}()
	w, err := db.TryWriter()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	tx, err := db.Begin(pagestore.TxOptions{Writer: w, Note: "import of " + filepath.Base(path)})
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()
	if err := src.copyTo(ctx, tx, o.Progress); err != nil {
		return nil, err
	}
	if _, err := tx.Commit(ctx); err != nil {
		return nil, err
	}
	return db, s.Publish(db)
}

// checkMagic tells early, and in words, that a file is something else.
func checkMagic(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() { // before it is opened: a pipe would wait for its writer
		return fmt.Errorf("%w: it is not a regular file", ErrNotSQLite)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var head [vfscore.HeaderSize]byte
	switch n, err := io.ReadFull(f, head[:]); {
	case n == 0:
		return fmt.Errorf("%w: the file is empty: create an empty database instead", ErrNotSQLite)
	case err != nil || string(head[:16]) != "SQLite format 3\x00":
		return fmt.Errorf("%w: it does not begin as SQLite files do", ErrNotSQLite)
	case vfscore.Header(head[:]).PageSize() == 0:
		return fmt.Errorf("%w: its header names an impossible page size", ErrNotSQLite)
	}
	return nil
}

// A source is a file in a read transaction.
type source struct {
	db       *sql.DB
	conn     *sql.Conn
	pageSize int
	pages    int64
}

func openSource(ctx context.Context, path string, progress func(ImportProgress)) (_ *source, err error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	u := (&url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(abs)}).EscapedPath()
	// Without writing first; only the recovery of a crash needs that.
	s, err := beginSource(ctx, "file:"+u+"?mode=ro", progress)
	if err != nil && !errors.Is(err, ErrNotSQLite) && ctx.Err() == nil {
		s, err = beginSource(ctx, "file:"+u+"?mode=rw", progress)
	}
	var se *modernc.Error
	if errors.As(err, &se) && (se.Code()&0xff == sqlite3.SQLITE_CORRUPT || se.Code() == sqlite3.SQLITE_NOTADB) {
		err = fmt.Errorf("%w: %w", ErrNotSQLite, err)
	}
	return s, err
}

// sourceCache is the memory for the source's pages, in KiB of SQLite's count:
// the check looks up every row in every index, and wants the inner pages of
// those at hand.
const sourceCache = 32 << 10

func beginSource(ctx context.Context, dsn string, progress func(ImportProgress)) (_ *source, err error) {
	s := &source{}
	dsn += fmt.Sprintf("&_busy_timeout=5000&_pragma=trusted_schema(0)&_pragma=cell_size_check(1)&_pragma=cache_size(-%d)", sourceCache)
	if s.db, err = sql.Open("sqlite", dsn); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.conn, err = s.db.Conn(ctx); err != nil {
		return nil, err
	}
	if _, err = s.conn.ExecContext(ctx, "BEGIN"); err != nil {
		return nil, err
	}
	err = during(checkTick, func(elapsed time.Duration) {
		progress(ImportProgress{Step: ImportCheck, Elapsed: elapsed})
	}, func() error { return s.check(ctx) })
	if err != nil {
		return nil, err
	}
	if err = s.conn.QueryRowContext(ctx, "PRAGMA page_size").Scan(&s.pageSize); err != nil {
		return nil, err
	}
	return s, s.conn.QueryRowContext(ctx, "PRAGMA page_count").Scan(&s.pages)
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
		return fmt.Errorf("%w: PRAGMA integrity_check says: %s", ErrNotSQLite, strings.Join(wrong, "; "))
	}
	return nil
}

func (s *source) close() {
	if s.conn != nil {
		s.conn.Close()
	}
	s.db.Close()
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

// importHeader gives page 1 its stored form and returns what that loses.
func importHeader(h vfscore.Header) vfscore.Meta {
	m := vfscore.Meta{
		Base:     h.Counter() - 1, // of version 1
		Cookie:   h.Cookie(),
		Imported: true,
		Counter:  h.Counter(),
		ValidFor: h.ValidFor(),
	}
	m.WriteMode, m.ReadMode = h.Modes()
	h.Normalise()
	return m
}
