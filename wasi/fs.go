package wasi

import (
	"io/fs"
	"time"

	"github.com/tetratelabs/wazero/sys"
)

// FileType is what a path or a descriptor is, numbered as in preview 1.
type FileType uint8

// The types of files.
const (
	TypeUnknown FileType = iota
	TypeBlockDevice
	TypeCharacterDevice
	TypeDirectory
	TypeRegular
	TypeSocketDgram
	TypeSocketStream
	TypeSymlink
)

// Stat is what a guest learns of a file. Times are in nanoseconds since 1970.
type Stat struct {
	Dev, Ino         uint64
	Type             FileType
	Nlink            uint64
	Size             int64
	Atim, Mtim, Ctim int64
}

// Times are what is to become of a file's times; nil leaves one as it is.
type Times struct {
	Access, Modify *time.Time
}

// OpenFlags are how a path is opened.
type OpenFlags uint16

// The ways to open a path. A path that is opened neither to read nor to write
// is opened to read.
const (
	OpenRead OpenFlags = 1 << iota
	OpenWrite
	OpenCreate    // make a regular file if there is none
	OpenExclusive // with OpenCreate: EEXIST if there is something
	OpenTruncate  // make a regular file empty
	OpenDirectory // ENOTDIR if it is something else
	OpenNoFollow  // ELOOP if the last part is a symbolic link
	OpenSync      // writes are on the disk before they return
)

// mutates tells whether opening so may change the file or let it be changed.
func (f OpenFlags) mutates() bool { return f&(OpenWrite|OpenCreate|OpenTruncate) != 0 }

// A Node is an open file or directory: a [File] or a [Dir].
type Node interface {
	Stat() (Stat, error)
	SetTimes(Times) error
	// Sync puts what was written on the disk; with dataOnly, times may be left.
	Sync(dataOnly bool) error
	Close() error
}

// A File is an open regular file. It has no position: the descriptor keeps it.
// ReadAt and WriteAt follow io.ReaderAt and io.WriterAt except that a short
// read without an error is allowed; the end of the file is 0, nil or io.EOF.
type File interface {
	Node
	ReadAt(p []byte, off int64) (int, error)
	WriteAt(p []byte, off int64) (int, error)
	// Append writes at the end of the file, wherever that is by then, and
	// returns the file's size after it.
	Append(p []byte) (n int, end int64, err error)
	Truncate(size int64) error
	// Allocate makes the file at least off+n bytes long and claims the room.
	Allocate(off, n int64) error
}

// A DirEntry is one name in a directory. Next is the cookie to go on behind it.
type DirEntry struct {
	Name string
	Ino  uint64
	Type FileType
	Next uint64
}

// A Dir is an open directory. Names are relative to it, divided by slashes,
// never empty, without zero bytes and without a leading slash; they may hold
// "..", which must never lead out of the directory, nor may symbolic links.
// Errors should be an [Errno] or wrap one of the host's.
//
// A guest may hold many Dirs of one tree; all are used by one goroutine at a
// time, but Dirs of different guests at the same time.
type Dir interface {
	Node
	Open(name string, flags OpenFlags) (Node, error)
	Lookup(name string, follow bool) (Stat, error)
	SetTimesOf(name string, follow bool, times Times) error
	Mkdir(name string) error
	Rmdir(name string) error
	Unlink(name string) error
	// Rename and Link get the Dir that the new name is relative to, which may
	// be of another kind: EXDEV then.
	Rename(name string, to Dir, newName string) error
	Link(name string, follow bool, to Dir, newName string) error
	Symlink(target, name string) error
	Readlink(name string) (string, error)
	// ReadDir calls yield for the entries behind cookie, 0 being the start,
	// until there are no more or yield returns false. "." and ".." are among
	// them. A cookie stays good while names come and go.
	ReadDir(cookie uint64, yield func(DirEntry) bool) error
}

// statOf makes a Stat of what package os says.
func statOf(info fs.FileInfo) Stat {
	st := sys.NewStat_t(info)
	s := Stat{
		Dev: st.Dev, Ino: st.Ino, Nlink: st.Nlink, Size: st.Size,
		Atim: st.Atim, Mtim: st.Mtim, Ctim: st.Ctim,
	}
	s.Type = typeOf(info.Mode())
	return s
}

// typeOf translates a mode. WASI has no type for named pipes: they are unknown.
func typeOf(mode fs.FileMode) FileType {
	switch {
	case mode.IsRegular():
		return TypeRegular
	case mode.IsDir():
		return TypeDirectory
	case mode&fs.ModeSymlink != 0:
		return TypeSymlink
	case mode&fs.ModeCharDevice != 0:
		return TypeCharacterDevice
	case mode&fs.ModeDevice != 0:
		return TypeBlockDevice
	case mode&fs.ModeSocket != 0:
		return TypeSocketStream
	}
	return TypeUnknown
}

// openable says whether a guest may open what st describes: files and
// directories, and nothing that could block or that acts when opened.
func (s Stat) openable() error {
	if s.Type == TypeRegular || s.Type == TypeDirectory {
		return nil
	}
	return ENXIO
}
