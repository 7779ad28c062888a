//go:build !linux

package wasi

import (
	"errors"
	"io"
	"os"
)

// list reads a whole directory of the host, where its own cookies cannot be had.
func list(root *os.Root, top bool) ([]DirEntry, error) {
	f, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.ReadDir(-1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	entries := make([]DirEntry, 0, len(names)+2)
	for _, name := range []string{".", ".."} {
		e := DirEntry{Name: name, Type: TypeDirectory}
		if name == "." || top {
			if info, err := root.Stat("."); err == nil {
				e.Ino = statOf(info).Ino
			}
		}
		entries = append(entries, e)
	}
	for _, name := range names {
		e := DirEntry{Name: name.Name(), Type: typeOf(name.Type())}
		if info, err := name.Info(); err == nil {
			e.Ino = statOf(info).Ino
		}
		entries = append(entries, e)
	}
	return entries, nil
}
