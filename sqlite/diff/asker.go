package diff

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"
	"modernc.org/sqlite/vfs"
)

// asker asks SQLite about the schemas of sources, and to evaluate constants.
type asker struct {
	sources map[string]*source
	fs      *vfs.FS
	vfsName string
	conns   map[string]*sql.DB // by side; "" is an empty database in memory
}

func newAsker(sources ...*source) *asker {
	a := &asker{sources: map[string]*source{}, conns: map[string]*sql.DB{}}
	for _, s := range sources {
		a.sources[s.side] = s
	}
	return a
}

// conn returns a connection to a side, or to an empty database for "".
func (a *asker) conn(side string) (*sql.DB, error) {
	if c := a.conns[side]; c != nil {
		return c, nil
	}
	dsn := ":memory:"
	if side != "" {
		if a.fs == nil {
			name, f, err := vfs.New(pageFS(a.sources))
			if err != nil {
				return nil, fmt.Errorf("registering a VFS with SQLite: %w", err)
			}
			a.fs, a.vfsName = f, name
		}
		dsn = "file:" + side + "?mode=ro&immutable=1&vfs=" + a.vfsName
	}
	c, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	c.SetMaxOpenConns(1)
	a.conns[side] = c
	return c, nil
}

func (a *asker) close() error {
	var errs []error
	for _, c := range a.conns {
		errs = append(errs, c.Close())
	}
	clear(a.conns)
	if a.fs != nil {
		errs = append(errs, a.fs.Close())
		a.fs = nil
	}
	return errors.Join(errs...)
}

// query calls f for each row of a query about a side's schema.
func (a *asker) query(side, what string, f func(scan func(...any) error) error, query string, args ...any) error {
	c, err := a.conn(side)
	if err != nil {
		return err
	}
	rows, err := c.QueryContext(context.Background(), query, args...)
	if err == nil {
		for err == nil && rows.Next() {
			err = f(rows.Scan)
		}
		err = errors.Join(err, rows.Err(), rows.Close())
	}
	if err == nil {
		return nil
	}
	if failed := a.sources[side].failed; failed != nil {
		err = failed
	}
	return fmt.Errorf("asking SQLite about %s in the %s database: %w", what, side, err)
}

// constant is the value that rows written before "ALTER TABLE ADD COLUMN" have
// in a column of the declared type and DEFAULT expression: NULL if SQLite does
// not take the expression for constant.
func (a *asker) constant(declared, expr string) (Value, error) {
	c, err := a.conn("")
	if err != nil {
		return Value{}, err
	}
	const make = "DROP TABLE IF EXISTS d; CREATE TABLE d(x); INSERT INTO d VALUES(1)"
	if _, err := c.Exec(make); err != nil {
		return Value{}, fmt.Errorf("evaluating the default %s: %w", expr, err)
	}
	if _, err := c.Exec("ALTER TABLE d ADD COLUMN c " + quoteName(declared) + " DEFAULT (" + expr + ")"); err != nil {
		return Value{}, nil
	}
	return a.scalar("SELECT typeof(c), +c FROM d")
}

// scalar evaluates a query for a value's storage class and the value.
func (a *asker) scalar(query string) (Value, error) {
	c, err := a.conn("")
	if err != nil {
		return Value{}, err
	}
	var kind string
	var got any
	if err := c.QueryRow(query).Scan(&kind, &got); err != nil {
		return Value{}, fmt.Errorf("evaluating %s: %w", query, err)
	}
	switch g := got.(type) {
	case int64:
		return Value{Kind: Integer, Int: g}, nil
	case float64:
		return Value{Kind: Real, Real: g}, nil
	case string:
		return Value{Kind: Text, Bytes: []byte(g)}, nil
	case []byte:
		v := Value{Kind: Blob, Bytes: g}
		if kind == "text" {
			v.Kind = Text
		}
		return v, nil
	case nil:
		if kind == "blob" {
			return Value{Kind: Blob}, nil // the driver scans an empty blob as nil
		}
	}
	return Value{}, nil
}

func quoteName(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

// pageFS shows sources as read-only files for SQLite.
type pageFS map[string]*source

func (p pageFS) Open(name string) (fs.File, error) {
	s := p[name]
	if s == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &pageFile{src: s}, nil
}

type pageFile struct {
	src *source
	off int64
}

func (f *pageFile) size() int64 { return int64(f.src.count) * int64(f.src.pageSize) }

func (f *pageFile) Seek(off int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		off += f.off
	case io.SeekEnd:
		off += f.size()
	}
	if off < 0 {
		return 0, fs.ErrInvalid
	}
	f.off = off
	return off, nil
}

func (f *pageFile) Read(b []byte) (int, error) {
	if f.off >= f.size() {
		return 0, io.EOF
	}
	p, err := f.src.page(uint32(f.off/int64(f.src.pageSize)) + 1)
	if err != nil {
		return 0, err
	}
	n := copy(b, p[f.off%int64(f.src.pageSize):])
	// A file in WAL mode cannot be opened without its WAL; that of a state of
	// pages is empty.
	for i := int64(18); i <= 19; i++ {
		if at := i - f.off; f.off < 100 && at >= 0 && at < int64(n) {
			b[at] = 1
		}
	}
	f.off += int64(n)
	return n, nil
}

func (f *pageFile) Stat() (fs.FileInfo, error) { return pageFileInfo{f.src.side, f.size()}, nil }
func (f *pageFile) Close() error               { return nil }

type pageFileInfo struct {
	name string
	size int64
}

func (i pageFileInfo) Name() string       { return i.name }
func (i pageFileInfo) Size() int64        { return i.size }
func (i pageFileInfo) Mode() fs.FileMode  { return 0o444 }
func (i pageFileInfo) ModTime() time.Time { return time.Time{} }
func (i pageFileInfo) IsDir() bool        { return false }
func (i pageFileInfo) Sys() any           { return nil }
