package wasi

import (
	"io"
	"path"
	"strings"
)

// device is one file in /dev.
type device int

const (
	deviceNull device = iota
	deviceZero
	deviceFull
	deviceRandom
	deviceUrandom
)

var deviceNames = [...]string{"null", "zero", "full", "random", "urandom"}

// devDir is /dev with the few devices that programs count on. The names cannot
// be changed; what is written goes nowhere.
type devDir struct {
	readOnlyDir // refuses the changes; its Dir is nil
	random      io.Reader
	born        int64
}

func newDevDir(s *System) *devDir { return &devDir{random: s.random, born: s.clock.Realtime()} }

const devDev = 1 << 40 // below those of nextDev

func (d *devDir) Close() error        { return nil }
func (d *devDir) Stat() (Stat, error) { return d.stat(0, TypeDirectory), nil }

func (d *devDir) stat(ino uint64, t FileType) Stat {
	return Stat{Dev: devDev, Ino: ino + 1, Type: t, Nlink: 1, Atim: d.born, Mtim: d.born, Ctim: d.born}
}

// find returns the device of a name, ok false for the directory itself.
func (d *devDir) find(name string) (dev device, ok bool, err error) {
	switch at := path.Clean(name); {
	case at == ".":
		return 0, false, nil
	case at == "..", strings.HasPrefix(at, "../"):
		return 0, false, EPERM
	default:
		for i, n := range deviceNames {
			if at == n && !strings.HasSuffix(name, "/") {
				return device(i), true, nil
			}
			if strings.HasPrefix(at+"/", n+"/") {
				return 0, false, ENOTDIR
			}
		}
	}
	return 0, false, ENOENT
}

func (d *devDir) Lookup(name string, _ bool) (Stat, error) {
	dev, ok, err := d.find(name)
	switch {
	case err != nil:
		return Stat{}, err
	case !ok:
		return d.Stat()
	}
	return d.stat(uint64(dev)+1, TypeCharacterDevice), nil
}

func (d *devDir) Open(name string, flags OpenFlags) (Node, error) {
	dev, ok, err := d.find(name)
	switch {
	case err == ENOENT && flags&OpenCreate != 0:
		return nil, EROFS
	case err != nil:
		return nil, err
	case flags&OpenCreate != 0 && flags&OpenExclusive != 0:
		return nil, EEXIST
	case !ok && flags.mutates():
		return nil, EISDIR
	case !ok:
		return &devDir{random: d.random, born: d.born}, nil
	case flags&OpenDirectory != 0:
		return nil, ENOTDIR
	}
	return &devFile{d: d, dev: dev}, nil
}

func (d *devDir) Readlink(name string) (string, error) {
	if _, _, err := d.find(name); err != nil {
		return "", err
	}
	return "", EINVAL
}

func (d *devDir) ReadDir(cookie uint64, yield func(DirEntry) bool) error {
	entries := []DirEntry{{Name: ".", Ino: 1, Type: TypeDirectory}, {Name: "..", Ino: 1, Type: TypeDirectory}}
	for i, n := range deviceNames {
		entries = append(entries, DirEntry{Name: n, Ino: uint64(i) + 2, Type: TypeCharacterDevice})
	}
	return yieldFrom(entries, cookie, yield)
}

// devFile is an open device.
type devFile struct {
	readOnlyFile // refuses the changes; its File is nil
	d            *devDir
	dev          device
}

func (f *devFile) Close() error        { return nil }
func (f *devFile) Stat() (Stat, error) { return f.d.stat(uint64(f.dev)+1, TypeCharacterDevice), nil }

func (f *devFile) ReadAt(p []byte, _ int64) (int, error) {
	switch f.dev {
	case deviceZero, deviceFull:
		clear(p)
		return len(p), nil
	case deviceRandom, deviceUrandom:
		return io.ReadFull(f.d.random, p)
	}
	return 0, nil
}

func (f *devFile) WriteAt(p []byte, _ int64) (int, error) {
	if f.dev == deviceFull {
		return 0, ENOSPC
	}
	return len(p), nil
}

func (f *devFile) Append(p []byte) (int, int64, error) {
	n, err := f.WriteAt(p, 0)
	return n, 0, err
}

func (f *devFile) Truncate(int64) error        { return EINVAL }
func (f *devFile) Allocate(int64, int64) error { return ENODEV }
