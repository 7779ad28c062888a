package wasi

import (
	"path"
	"strings"
)

// readOnlyDir refuses every change with EROFS. What it opens is read-only too.
type readOnlyDir struct{ Dir }

// readOnlyFile is a file out of a readOnlyDir.
type readOnlyFile struct{ File }

func (d readOnlyDir) Open(name string, flags OpenFlags) (Node, error) {
	if flags.mutates() {
		// As on a file system mounted read-only, what exists can be opened
		// with the wish to create it.
		st, err := d.Lookup(name, flags&OpenNoFollow == 0)
		switch {
		case err == ENOENT && flags&OpenCreate != 0:
			return nil, d.missing(name)
		case err != nil:
			return nil, err
		case flags&OpenCreate != 0 && flags&OpenExclusive != 0:
			return nil, EEXIST
		case st.Type == TypeDirectory:
			return nil, EISDIR
		case flags&(OpenWrite|OpenTruncate) != 0:
			return nil, EROFS
		}
		flags &^= OpenCreate
	}
	n, err := d.Dir.Open(name, flags)
	switch n := n.(type) {
	case Dir:
		return readOnlyDir{n}, err
	case File:
		return readOnlyFile{n}, err
	}
	return nil, err
}

// missing says why a name that is not there is not made.
func (d readOnlyDir) missing(name string) error {
	if parent := path.Dir(strings.TrimRight(name, "/")); parent != "." {
		if _, err := d.Lookup(parent, true); err != nil {
			return err
		}
	}
	return EROFS
}

func (d readOnlyDir) Lookup(name string, follow bool) (Stat, error) {
	st, err := d.Dir.Lookup(name, follow)
	if err != nil {
		return st, errnoOf(err)
	}
	return st, nil
}

func (readOnlyDir) SetTimes(Times) error                 { return EROFS }
func (readOnlyDir) SetTimesOf(string, bool, Times) error { return EROFS }
func (readOnlyDir) Mkdir(string) error                   { return EROFS }
func (readOnlyDir) Rmdir(string) error                   { return EROFS }
func (readOnlyDir) Unlink(string) error                  { return EROFS }
func (readOnlyDir) Rename(string, Dir, string) error     { return EROFS }
func (readOnlyDir) Link(string, bool, Dir, string) error { return EROFS }
func (readOnlyDir) Symlink(string, string) error         { return EROFS }
func (readOnlyDir) Sync(bool) error                      { return nil }
func (readOnlyFile) SetTimes(Times) error                { return EROFS }
func (readOnlyFile) Sync(bool) error                     { return nil }
func (readOnlyFile) WriteAt([]byte, int64) (int, error)  { return 0, EROFS }
func (readOnlyFile) Append([]byte) (int, int64, error)   { return 0, 0, EROFS }
func (readOnlyFile) Truncate(int64) error                { return EROFS }
func (readOnlyFile) Allocate(int64, int64) error         { return EROFS }
