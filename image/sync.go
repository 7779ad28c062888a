package image

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sync/errgroup"
)

// syncJobs is how many files are made durable at once. File systems write
// what comes together together.
const syncJobs = 16

// syncFile makes a file durable.
func (s *Store) syncFile(f *os.File) error {
	if err := s.check(opSync, f.Name()); err != nil || s.noSync {
		return err
	}
	return f.Sync()
}

// syncDir makes the names in a directory durable, where systems can.
func (s *Store) syncDir(dir string) error {
	if runtime.GOOS == "windows" || s.noSync {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// syncTree makes everything in dir durable.
func (s *Store) syncTree(dir string) error {
	if err := s.check(opSync, dir); err != nil || s.noSync {
		return err
	}
	var g errgroup.Group
	g.SetLimit(syncJobs)
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir():
			g.Go(func() error { return s.syncDir(path) })
		case e.Type().IsRegular():
			g.Go(func() error {
				f, err := os.Open(path)
				if err != nil {
					return err
				}
				return errors.Join(f.Sync(), f.Close())
			})
		}
		return nil
	})
	return errors.Join(g.Wait(), err)
}
