package wordpress

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// maxUnpacked bounds the bytes of an archive's files together.
const maxUnpacked = 1 << 30

// writeFile writes a file below dir; name, with slashes, is not trusted.
func writeFile(dir, name string, from io.Reader) error {
	if !fs.ValidPath(name) {
		return fmt.Errorf("the archive has a file %q, which would not lie within it", name)
	}
	file := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Close())
}

// A place says where a file of an archive or folder goes: below which folder,
// under what name; ok is false for what is left out.
type place func(name string) (dir, to string, ok bool)

// openFiles opens a folder, or a zip archive, as a file system. The closer is
// to be closed after it.
func openFiles(from string) (fs.FS, io.Closer, error) {
	info, err := os.Stat(from)
	if err != nil {
		return nil, nil, err
	}
	if info.IsDir() {
		root, err := os.OpenRoot(from)
		if err != nil {
			return nil, nil, err
		}
		return root.FS(), root, nil
	}
	archive, err := zip.OpenReader(from)
	if errors.Is(err, zip.ErrFormat) {
		return nil, nil, fmt.Errorf("%s is neither a folder nor a zip archive", from)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", from, err)
	}
	return archive, archive, nil
}

// copyFiles copies what regular files the file system has below top.
func copyFiles(files fs.FS, top string, where place) error {
	left := int64(maxUnpacked)
	return fs.WalkDir(files, top, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !d.Type().IsRegular() {
			return err
		}
		short := name
		if top != "." {
			short = strings.TrimPrefix(name, top+"/")
		}
		dir, to, ok := where(short)
		if !ok {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if left -= info.Size(); left < 0 {
			return fmt.Errorf("there are more than %d bytes of files", int64(maxUnpacked))
		}
		f, err := files.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		return writeFile(dir, to, io.LimitReader(f, info.Size()))
	})
}

// find returns the folder, of the top or right below it, that has a file of
// that name; "" if there is none.
func find(files fs.FS, file string) string {
	if _, err := fs.Stat(files, file); err == nil {
		return "."
	}
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		return ""
	}
	for _, e := range entries {
		if _, err := fs.Stat(files, path.Join(e.Name(), file)); err == nil {
			return e.Name()
		}
	}
	return ""
}
