package sqlite

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hako-run/hako/pagestore"
	"github.com/hako-run/hako/sqlite/vfscore"
)

// ExportOptions tune Export. The zero value works.
type ExportOptions struct {
	Overwrite bool                    // replace a file that exists
	Progress  func(done, total int64) // bytes; called now and then
}

// ErrFileExists is returned, wrapped, by Export if it would replace a file.
var ErrFileExists = errors.New("file exists")

// Export writes the snapshot to an ordinary SQLite file. What was imported and
// not changed since is byte for byte what it was. The file appears under its
// name when it is complete.
func Export(ctx context.Context, at *pagestore.Snapshot, path string, o ExportOptions) error {
	if err := export(ctx, at, path, o); err != nil {
		return fmt.Errorf("export %s to %s: %w", at, path, err)
	}
	return nil
}

func export(ctx context.Context, at *pagestore.Snapshot, path string, o ExportOptions) (err error) {
	switch info, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case info.IsDir():
		return fmt.Errorf("%w, and is a directory: name a file in it", ErrFileExists)
	case !o.Overwrite:
		return fmt.Errorf("%w: choose another name, or ask to overwrite it", ErrFileExists)
	case info.Mode()&fs.ModeSymlink != 0: // the file that it names is to be replaced, not the link
		if path, err = filepath.EvalSymlinks(path); err != nil {
			return err
		}
		return export(ctx, at, path, o)
	case !info.Mode().IsRegular(): // a device such as /dev/null
		return fmt.Errorf("%w, and it is no regular file: choose another name", ErrFileExists)
	}
	for _, suffix := range []string{"-journal", "-wal"} { // SQLite would take it for the new file's
		if _, err := os.Lstat(path + suffix); err == nil {
			return fmt.Errorf("%s%s exists: it belongs to a database that is open or was not closed: open that with SQLite, or remove it", path, suffix)
		}
	}
	dir, base := filepath.Split(path)
	dir = filepath.Clean(dir + ".")
	if _, err := os.Stat(dir); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+base+".*")
	if err != nil {
		return err
	}
	defer func() {
		f.Close()
		os.Remove(f.Name()) // gone already if all went well
	}()
	w := bufio.NewWriterSize(f, 1<<20)
	if err := WritePages(ctx, at, w, o.Progress); err != nil {
		return err
	}
	if err := errors.Join(w.Flush(), f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := publish(f.Name(), path, o.Overwrite); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// publish gives a file its name. Without overwrite it does not replace what has
// come there meanwhile.
func publish(temp, path string, overwrite bool) error {
	if !overwrite {
		err := os.Link(temp, path)
		if err == nil {
			return nil
		}
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%w: choose another name, or ask to overwrite it", ErrFileExists)
		} // else the file system has no links
	}
	return os.Rename(temp, path)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	d.Sync() // not all file systems can
	return nil
}

// WritePages writes the snapshot's pages as an SQLite file holds them.
func WritePages(ctx context.Context, at *pagestore.Snapshot, w io.Writer, progress func(done, total int64)) error {
	c := at.Commit()
	meta, err := vfscore.MetaOf(c)
	if err != nil {
		return err
	}
	total := int64(c.PageCount) * int64(c.PageSize)
	page := make([]byte, c.PageSize)
	for n := uint32(1); n <= c.PageCount; n++ {
		if err := at.ReadPage(n, page); err != nil {
			return err
		}
		if n == 1 {
			vfscore.Header(page).Restore(meta, meta.ChangeCounter(c.Version))
		}
		if _, err := w.Write(page); err != nil {
			return err
		}
		if n&0xff == 0 || n == c.PageCount {
			if err := ctx.Err(); err != nil {
				return err
			}
			if progress != nil {
				progress(int64(n)*int64(c.PageSize), total)
			}
		}
	}
	return nil
}
