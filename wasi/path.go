package wasi

import (
	"context"
	"path"
	"strings"
)

// at reads a directory's descriptor and a path in it.
func (s *System) at(m memory, fd uint64, right uint64, ptr, n uint64) (Dir, string, Errno) {
	d, errno := s.getDir(uint32(fd), right)
	if errno != Success {
		return nil, "", errno
	}
	name, errno := m.path(uint32(ptr), uint32(n))
	return d.dir, name, errno
}

const lookupFollow = 1 // the only flag of a lookup

func pathCreateDirectory(_ context.Context, s *System, m memory, p []uint64) Errno {
	dir, name, errno := s.at(m, p[0], rightCreateDirectory, p[1], p[2])
	if errno != Success {
		return errno
	}
	return errnoOf(dir.Mkdir(name))
}

func pathRemoveDirectory(_ context.Context, s *System, m memory, p []uint64) Errno {
	dir, name, errno := s.at(m, p[0], rightRemoveDirectory, p[1], p[2])
	if errno != Success {
		return errno
	}
	return errnoOf(dir.Rmdir(name))
}

func pathUnlinkFile(_ context.Context, s *System, m memory, p []uint64) Errno {
	dir, name, errno := s.at(m, p[0], rightUnlink, p[1], p[2])
	if errno != Success {
		return errno
	}
	return errnoOf(dir.Unlink(name))
}

func pathFilestatGet(_ context.Context, s *System, m memory, p []uint64) Errno {
	st, errno := s.lookup(m, p)
	if errno != Success {
		return errno
	}
	return m.putStat(uint32(p[4]), st)
}

// lookup does what path_filestat_get does but for the layout of the result.
func (s *System) lookup(m memory, p []uint64) (Stat, Errno) {
	dir, name, errno := s.at(m, p[0], rightPathStat, p[2], p[3])
	if errno != Success {
		return Stat{}, errno
	}
	st, err := dir.Lookup(name, p[1]&lookupFollow != 0)
	return st, errnoOf(err)
}

func pathFilestatSetTimes(_ context.Context, s *System, m memory, p []uint64) Errno {
	dir, name, errno := s.at(m, p[0], rightPathSetTimes, p[2], p[3])
	if errno != Success {
		return errno
	}
	t, errno := s.times(p[4], p[5], uint32(p[6]))
	if errno != Success {
		return errno
	}
	return errnoOf(dir.SetTimesOf(name, p[1]&lookupFollow != 0, t))
}

func pathLink(_ context.Context, s *System, m memory, p []uint64) Errno {
	from, name, errno := s.at(m, p[0], rightLinkSource, p[2], p[3])
	if errno != Success {
		return errno
	}
	to, newName, errno := s.at(m, p[4], rightLinkTarget, p[5], p[6])
	if errno != Success {
		return errno
	}
	to, errno = counterpart(from, to)
	if errno != Success {
		return errno
	}
	return errnoOf(from.Link(name, p[1]&lookupFollow != 0, to, newName))
}

func pathRename(_ context.Context, s *System, m memory, p []uint64) Errno {
	from, name, errno := s.at(m, p[0], rightRenameSource, p[1], p[2])
	if errno != Success {
		return errno
	}
	to, newName, errno := s.at(m, p[3], rightRenameTarget, p[4], p[5])
	if errno != Success {
		return errno
	}
	to, errno = counterpart(from, to)
	if errno != Success {
		return errno
	}
	return errnoOf(from.Rename(name, to, newName))
}

// counterpart refuses to move or link into what is read-only.
func counterpart(from, to Dir) (Dir, Errno) {
	_, fromFixed := from.(readOnlyDir)
	_, toFixed := to.(readOnlyDir)
	if fromFixed || toFixed {
		return nil, EROFS
	}
	return to, Success
}

// The flags of path_open. Of the rights that it is given, only those to read
// and to write matter: a descriptor gets all others that its directory hands
// down, since many guests ask for fewer than they use.
const (
	openCreat = 1 << iota
	openDirectory
	openExcl
	openTrunc
	allOpenFlags = 1<<iota - 1
)

func pathOpen(_ context.Context, s *System, m memory, p []uint64) Errno {
	d, errno := s.getDir(uint32(p[0]), rightOpen)
	if errno != Success {
		return errno
	}
	name, errno := m.path(uint32(p[2]), uint32(p[3]))
	if errno != Success {
		return errno
	}
	if _, errno := m.bytes(uint32(p[8]), 4); errno != Success {
		return errno
	}
	oflags, rights, fdflags := uint32(p[4]), p[5], uint32(p[7])
	if oflags > allOpenFlags || fdflags > allFlags {
		return EINVAL
	}
	if oflags&openDirectory != 0 && oflags&openCreat != 0 {
		return EINVAL
	}
	var flags OpenFlags
	set := func(on bool, f OpenFlags) {
		if on {
			flags |= f
		}
	}
	writes := rights&rightWrite != 0
	reads := rights&rightRead != 0 || !writes
	// A directory is opened with every right there is; asking to write to one
	// that must be a directory is no wish to write.
	set(reads, OpenRead)
	set(writes && oflags&openDirectory == 0, OpenWrite)
	set(oflags&openCreat != 0, OpenCreate)
	set(oflags&openExcl != 0, OpenExclusive)
	set(oflags&openTrunc != 0, OpenTruncate)
	set(oflags&openDirectory != 0, OpenDirectory)
	set(p[1]&lookupFollow == 0, OpenNoFollow)
	set(uint16(fdflags)&(flagDsync|flagSync) != 0, OpenSync)
	switch {
	case rights&(rightRead|rightWrite)&^d.inheriting != 0:
		return ENOTCAPABLE
	case oflags&openCreat != 0 && d.rights&rightCreateFile == 0, oflags&openTrunc != 0 && d.rights&rightPathSetSize == 0:
		return ENOTCAPABLE
	case s.full():
		return EMFILE
	}
	n, err := d.dir.Open(name, flags)
	if err != nil {
		return errnoOf(err)
	}
	opened := &descriptor{flags: uint16(fdflags)}
	switch n := n.(type) {
	case File:
		opened.file = n
		opened.rights = fileRights & d.inheriting
		if !reads {
			opened.rights &^= rightRead
		}
		if !writes {
			opened.rights &^= rightWrite
		}
	case Dir:
		opened.dir = n
		opened.rights = dirRights & d.inheriting
		opened.inheriting = d.inheriting
	default:
		return EIO
	}
	fd, errno := s.add(opened)
	if errno != Success {
		opened.close()
		return errno
	}
	return m.putUint32(uint32(p[8]), fd)
}

func pathReadlink(_ context.Context, s *System, m memory, p []uint64) Errno {
	dir, name, errno := s.at(m, p[0], rightReadlink, p[1], p[2])
	if errno != Success {
		return errno
	}
	b, errno := m.bytes(uint32(p[3]), uint32(p[4]))
	if errno != Success {
		return errno
	}
	if _, errno := m.bytes(uint32(p[5]), 4); errno != Success {
		return errno
	}
	target, err := dir.Readlink(name)
	if err != nil {
		return errnoOf(err)
	}
	return m.putUint32(uint32(p[5]), uint32(copy(b, target)))
}

// pathSymlink refuses links that lead out of the directory: the guest could
// not follow them, but programs of the host would.
func pathSymlink(_ context.Context, s *System, m memory, p []uint64) Errno {
	dir, name, errno := s.at(m, p[2], rightSymlink, p[3], p[4])
	if errno != Success {
		return errno
	}
	target, errno := m.path(uint32(p[0]), uint32(p[1]))
	if errno != Success {
		return errno
	}
	if leadsOut(name, target) {
		return EPERM
	}
	return errnoOf(dir.Symlink(target, name))
}

// leadsOut tells whether a link of that name and target leads, by its text
// alone, above the directory that the name is relative to.
func leadsOut(name, target string) bool {
	at := path.Join("/", path.Dir(path.Clean(strings.TrimRight(name, "/"))))
	depth := strings.Count(at, "/")
	if at == "/" {
		depth = 0
	}
	for part := range strings.SplitSeq(target, "/") {
		switch part {
		case "", ".":
		case "..":
			if depth--; depth < 0 {
				return true
			}
		default:
			depth++
		}
	}
	return false
}
