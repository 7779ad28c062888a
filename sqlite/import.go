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
	Progress func(done, total int64) // bytes; called now and then
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
	src, err := openSource(ctx, path)
	if err != nil {
		return nil, err
	}
	defer src.close()
	db, err := s.Create(name, pagestore.CreateOptions{PageSize: src.pageSize, Retain: o.Retain})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Delete(name))
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
	return db, nil
}

// checkMagic tells early, and in words, that a file is something else.
func checkMagic(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: it is not a regular file", ErrNotSQLite)
	}
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

func openSource(ctx context.Context, path string) (_ *source, err error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	u := (&url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(abs)}).EscapedPath()
	// Without writing first; only the recovery of a crash needs that.
	s, err := beginSource(ctx, "file:"+u+"?mode=ro")
	if err != nil && !errors.Is(err, ErrNotSQLite) && ctx.Err() == nil {
		s, err = beginSource(ctx, "file:"+u+"?mode=rw")
	}
	var se *modernc.Error
	if errors.As(err, &se) && (se.Code()&0xff == sqlite3.SQLITE_CORRUPT || se.Code() == sqlite3.SQLITE_NOTADB) {
		err = fmt.Errorf("%w: %w", ErrNotSQLite, err)
	}
	return s, err
}

func beginSource(ctx context.Context, dsn string) (_ *source, err error) {
	s := &source{}
	if s.db, err = sql.Open("sqlite", dsn+"&_busy_timeout=5000&_pragma=trusted_schema(0)&_pragma=cell_size_check(1)"); err != nil {
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
	if err = s.check(ctx); err != nil {
		return nil, err
	}
	if err = s.conn.QueryRowContext(ctx, "PRAGMA page_size").Scan(&s.pageSize); err != nil {
		return nil, err
	}
	return s, s.conn.QueryRowContext(ctx, "PRAGMA page_count").Scan(&s.pages)
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
func (s *source) copyTo(ctx context.Context, tx *pagestore.Tx, progress func(done, total int64)) error {
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
		if progress != nil && n&0xff == 0 {
			progress(n*int64(s.pageSize), s.pages*int64(s.pageSize))
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if next != s.pages+1 {
		return fmt.Errorf("SQLite gave %d of %d pages", next-1, s.pages)
	}
	tx.Truncate(uint32(s.pages))
	if progress != nil {
		progress(s.pages*int64(s.pageSize), s.pages*int64(s.pageSize))
	}
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
