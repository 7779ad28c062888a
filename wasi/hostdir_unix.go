//go:build linux || darwin

package wasi

import (
	"errors"
	"os"
	"path"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// hostDir is a directory of the host. It walks to the directory that holds the
// last part of a name by openBeneath, which cannot leave it, and acts on that
// last part with the calls that take a directory's descriptor and do not
// follow links.
type hostDir struct {
	mu   sync.RWMutex // held for reading while fd is in use
	fd   int          // -1 once closed
	root *os.Root     // the same directory, for where openat2 is missing
	top  bool         // a grant's own directory: its ".." is not told
	tree *tree        // the grant that it belongs to

	dirReader // what reading the directory needs
}

// tree is what the directories of one grant have in common. Nothing is moved
// or linked from one to another, even if they are on one file system.
type tree struct{ _ byte }

// openHostDir opens a directory that was granted.
func openHostDir(name string) (*hostDir, error) {
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	d, err := newHostDir(root)
	if err != nil {
		return nil, err
	}
	d.top, d.tree = true, new(tree)
	return d, nil
}

// newHostDir takes root over.
func newHostDir(root *os.Root) (*hostDir, error) {
	f, err := root.OpenFile(".", os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		root.Close()
		return nil, err
	}
	defer f.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		root.Close()
		return nil, err
	}
	return &hostDir{fd: fd, root: root}, nil
}

// use keeps the descriptor open until done is called.
func (d *hostDir) use() error {
	d.mu.RLock()
	if d.fd < 0 {
		d.mu.RUnlock()
		return EBADF
	}
	return nil
}

func (d *hostDir) done() { d.mu.RUnlock() }

func (d *hostDir) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fd < 0 {
		return EBADF
	}
	err := unix.Close(d.fd)
	d.fd = -1
	if d.root != nil {
		err = errors.Join(err, d.root.Close())
	}
	return err
}

// place is where the last part of a name lies.
type place struct {
	dir   int    // descriptor of the directory
	base  string // last part; "." for a name that ends in "." or ".."
	slash bool   // the name ended in a slash: it must be a directory
	owned bool   // dir is to be closed
	file  *os.File
}

func (p *place) close() {
	switch {
	case p.file != nil:
		p.file.Close()
	case p.owned:
		unix.Close(p.dir)
	}
}

// locate finds the place of name. The caller holds use.
func (d *hostDir) locate(name string) (place, error) {
	trimmed := strings.TrimRight(name, "/")
	p := place{slash: len(trimmed) < len(name)}
	dir := ""
	if i := strings.LastIndexByte(trimmed, '/'); i >= 0 {
		dir, p.base = trimmed[:i], trimmed[i+1:]
	} else {
		p.base = trimmed
	}
	if p.base == "." || p.base == ".." {
		dir, p.base, p.slash = trimmed, ".", true
	}
	if dir == "" || dir == "." {
		p.dir = d.fd
		return p, nil
	}
	var err error
	p.dir, p.file, err = d.openBeneath(dir)
	p.owned = true
	return p, err
}

// openByRoot opens a directory beneath d by os.Root.
func (d *hostDir) openByRoot(name string) (int, *os.File, error) {
	if d.root == nil {
		return -1, nil, ENOSYS
	}
	f, err := d.root.OpenFile(name, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, nil, err
	}
	return int(f.Fd()), f, nil
}

func (d *hostDir) Stat() (Stat, error) {
	if err := d.use(); err != nil {
		return Stat{}, err
	}
	defer d.done()
	return fstat(d.fd)
}

func (d *hostDir) Sync(bool) error {
	if err := d.use(); err != nil {
		return err
	}
	defer d.done()
	return retry(func() error { return unix.Fsync(d.fd) })
}

func (d *hostDir) SetTimes(t Times) error {
	if err := d.use(); err != nil {
		return err
	}
	defer d.done()
	return setTimesAt(d.fd, ".", t)
}

func (d *hostDir) Lookup(name string, follow bool) (Stat, error) {
	if err := d.use(); err != nil {
		return Stat{}, err
	}
	defer d.done()
	p, err := d.locate(name)
	if err != nil {
		return Stat{}, err
	}
	defer p.close()
	return d.lookup(name, p, follow)
}

func (d *hostDir) lookup(name string, p place, follow bool) (Stat, error) {
	st, err := fstatat(p.dir, p.base)
	if err != nil {
		return st, err
	}
	if st.Type == TypeSymlink && (follow || p.slash) {
		return d.follow(name)
	}
	if p.slash && st.Type != TypeDirectory {
		return st, ENOTDIR
	}
	return st, nil
}

func (d *hostDir) Open(name string, flags OpenFlags) (Node, error) {
	if err := d.use(); err != nil {
		return nil, err
	}
	defer d.done()
	p, err := d.locate(name)
	if err != nil {
		return nil, err
	}
	defer p.close()
	exclusive := flags&(OpenCreate|OpenExclusive) == OpenCreate|OpenExclusive
	st, err := fstatat(p.dir, p.base)
	switch {
	case err == unix.ENOENT && flags&OpenCreate != 0:
		if p.slash {
			return nil, EISDIR
		}
		return d.openFile(name, p, flags)
	case err != nil:
		return nil, err
	case exclusive:
		return nil, EEXIST
	case st.Type == TypeSymlink:
		if flags&OpenNoFollow != 0 && !p.slash {
			if flags&OpenDirectory != 0 {
				return nil, ENOTDIR
			}
			return nil, ELOOP
		}
		return d.openLinked(name, p, flags)
	}
	return d.openKnown(name, p, flags, st)
}

// openKnown opens what st was a moment ago.
func (d *hostDir) openKnown(name string, p place, flags OpenFlags, st Stat) (Node, error) {
	if st.Type == TypeDirectory {
		if flags&(OpenWrite|OpenCreate|OpenTruncate) != 0 {
			return nil, EISDIR
		}
		return d.openDir(name, p)
	}
	if p.slash || flags&OpenDirectory != 0 {
		return nil, ENOTDIR
	}
	if err := st.openable(); err != nil {
		return nil, err
	}
	return d.openFile(name, p, flags)
}

// openLinked opens a name whose last part is a symbolic link, by walking again
// to where the link leads.
func (d *hostDir) openLinked(name string, p place, flags OpenFlags) (Node, error) {
	target := name
	for range 40 {
		link, err := readlinkat(p.dir, p.base)
		if err == unix.EINVAL {
			break // no link any more
		}
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(link, "/") {
			return nil, EPERM
		}
		// The link is relative to the directory that holds it.
		dir := ""
		if i := strings.LastIndexByte(strings.TrimRight(target, "/"), '/'); i >= 0 {
			dir = target[:i+1]
		}
		if strings.HasSuffix(target, "/") && !strings.HasSuffix(link, "/") {
			link += "/"
		}
		target = dir + link
		if len(target) > maxPath {
			return nil, ENAMETOOLONG
		}
		next, err := d.locate(target)
		if err != nil {
			return nil, err
		}
		defer next.close()
		st, err := fstatat(next.dir, next.base)
		switch {
		case err == unix.ENOENT && flags&OpenCreate != 0 && !next.slash:
			return d.openFile(target, next, flags)
		case err != nil:
			return nil, err
		case st.Type != TypeSymlink:
			return d.openKnown(target, next, flags, st)
		}
		p = next
	}
	return nil, ELOOP
}

func (d *hostDir) openFile(name string, p place, flags OpenFlags) (Node, error) {
	how := unix.O_CLOEXEC | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_NOCTTY
	switch {
	case flags&OpenWrite == 0:
		how |= unix.O_RDONLY
	case flags&OpenRead == 0:
		how |= unix.O_WRONLY
	default:
		how |= unix.O_RDWR
	}
	if flags&OpenCreate != 0 {
		how |= unix.O_CREAT
	}
	if flags&OpenExclusive != 0 {
		how |= unix.O_EXCL
	}
	if flags&OpenTruncate != 0 {
		how |= unix.O_TRUNC
	}
	if flags&OpenSync != 0 {
		how |= unix.O_SYNC
	}
	fd, err := openat(p.dir, p.base, how, 0o666)
	if err != nil {
		return nil, err
	}
	// What lies there now may be another thing than what was looked at.
	st, err := fstat(fd)
	switch {
	case err != nil:
	case st.Type == TypeDirectory:
		unix.Close(fd)
		return d.openDir(name, p)
	default:
		err = st.openable()
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &hostFile{fd: fd}, nil
}

func (d *hostDir) openDir(name string, p place) (Node, error) {
	if haveBeneath() {
		fd, err := openat(p.dir, p.base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		return &hostDir{fd: fd, top: d.top && path.Clean(name) == ".", tree: d.tree}, nil
	}
	root, err := d.root.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	sub, err := newHostDir(root)
	if err != nil {
		return nil, err
	}
	sub.top, sub.tree = d.top && path.Clean(name) == ".", d.tree
	return sub, nil
}

// change locates a name that is to be made, moved or removed. Names that end
// in "." or ".." give onDot.
func (d *hostDir) change(name string, onDot Errno, act func(p place) error) error {
	if err := d.use(); err != nil {
		return err
	}
	defer d.done()
	return d.changeInUse(name, onDot, act)
}

func (d *hostDir) changeInUse(name string, onDot Errno, act func(p place) error) error {
	p, err := d.locate(name)
	if err != nil {
		return err
	}
	defer p.close()
	if p.base == "." {
		return onDot
	}
	return retry(func() error { return act(p) })
}

// changeTwo is change of two names at once.
func (d *hostDir) changeTwo(name string, to Dir, newName string, onDot Errno, act func(from, into place) error) error {
	o, ok := to.(*hostDir)
	if !ok || o.tree != d.tree {
		return EXDEV
	}
	return d.change(name, onDot, func(from place) error {
		into := o.change
		if o == d {
			into = o.changeInUse
		}
		return into(newName, onDot, func(into place) error { return act(from, into) })
	})
}

// mustBeDir refuses a name with a slash behind it that is no directory.
func (p place) mustBeDir() error {
	if !p.slash {
		return nil
	}
	st, err := fstatat(p.dir, p.base)
	if err == nil && st.Type != TypeDirectory {
		return ENOTDIR
	}
	return err
}

func (d *hostDir) Mkdir(name string) error {
	return d.change(name, EEXIST, func(p place) error { return unix.Mkdirat(p.dir, p.base, 0o777) })
}

func (d *hostDir) Rmdir(name string) error {
	return d.change(name, EINVAL, func(p place) error { return unix.Unlinkat(p.dir, p.base, unix.AT_REMOVEDIR) })
}

func (d *hostDir) Unlink(name string) error {
	return d.change(name, EISDIR, func(p place) error {
		if err := p.mustBeDir(); err != nil {
			return err
		}
		err := unix.Unlinkat(p.dir, p.base, 0)
		if err == unix.EPERM { // POSIX's error for a directory
			if st, serr := fstatat(p.dir, p.base); serr == nil && st.Type == TypeDirectory {
				return EISDIR
			}
		}
		return err
	})
}

func (d *hostDir) Symlink(target, name string) error {
	return d.change(name, EEXIST, func(p place) error {
		if p.slash {
			return ENOENT
		}
		return unix.Symlinkat(target, p.dir, p.base)
	})
}

func (d *hostDir) Readlink(name string) (string, error) {
	var link string
	err := d.change(name, EINVAL, func(p place) (err error) {
		if p.slash {
			return EINVAL
		}
		link, err = readlinkat(p.dir, p.base)
		return err
	})
	return link, err
}

func (d *hostDir) Rename(name string, to Dir, newName string) error {
	return d.changeTwo(name, to, newName, EBUSY, func(from, into place) error {
		if from.slash || into.slash {
			if st, err := fstatat(from.dir, from.base); err != nil {
				return err
			} else if st.Type != TypeDirectory {
				return ENOTDIR
			}
		}
		return unix.Renameat(from.dir, from.base, into.dir, into.base)
	})
}

func (d *hostDir) Link(name string, follow bool, to Dir, newName string) error {
	if follow {
		return EINVAL
	}
	return d.changeTwo(name, to, newName, EPERM, func(from, into place) error {
		if err := from.mustBeDir(); err != nil {
			return err
		}
		if into.slash {
			return ENOENT
		}
		// A hard link to a device or a pipe would be a second way to it.
		st, err := fstatat(from.dir, from.base)
		if err == nil && st.Type != TypeRegular && st.Type != TypeSymlink {
			err = EPERM
		}
		if err != nil {
			return err
		}
		return unix.Linkat(from.dir, from.base, into.dir, into.base, 0)
	})
}

func (d *hostDir) SetTimesOf(name string, follow bool, t Times) error {
	if err := d.use(); err != nil {
		return err
	}
	defer d.done()
	p, err := d.locate(name)
	if err != nil {
		return err
	}
	defer p.close()
	st, err := fstatat(p.dir, p.base)
	switch {
	case err != nil:
		return err
	case st.Type == TypeSymlink && (follow || p.slash):
		n, err := d.openLinked(name, p, OpenRead)
		if err != nil {
			return err
		}
		defer n.Close()
		return n.SetTimes(t)
	case p.slash && st.Type != TypeDirectory:
		return ENOTDIR
	}
	return setTimesAt(p.dir, p.base, t)
}

// follow is Lookup through a symbolic link.
func (d *hostDir) follow(name string) (Stat, error) {
	if d.root != nil && !haveBeneath() {
		info, err := d.root.Stat(name)
		if err != nil {
			return Stat{}, err
		}
		return statOf(info), nil
	}
	fd, err := beneath(d.fd, name, unix.O_CLOEXEC)
	if err != nil {
		return Stat{}, err
	}
	defer unix.Close(fd)
	return fstat(fd)
}

// readlinkat reads a link's target, whole.
func readlinkat(dir int, base string) (string, error) {
	for size := 256; ; size *= 2 {
		b := make([]byte, size)
		n, err := unix.Readlinkat(dir, base, b)
		if err != nil {
			return "", err
		}
		if n < size {
			return string(b[:n]), nil
		}
	}
}

// openat is unix.Openat, again when a signal came between.
func openat(dir int, base string, how int, perm uint32) (fd int, err error) {
	err = retry(func() error {
		fd, err = unix.Openat(dir, base, how, perm)
		return err
	})
	return fd, err
}

// retry calls again what a signal interrupted.
func retry(f func() error) error {
	for {
		if err := f(); err != unix.EINTR {
			return err
		}
	}
}

func fstat(fd int) (Stat, error) {
	var st unix.Stat_t
	err := retry(func() error { return unix.Fstat(fd, &st) })
	return unixStat(&st), err
}

func fstatat(dir int, base string) (Stat, error) {
	var st unix.Stat_t
	err := retry(func() error { return unix.Fstatat(dir, base, &st, unix.AT_SYMLINK_NOFOLLOW) })
	return unixStat(&st), err
}

func unixStat(st *unix.Stat_t) Stat {
	s := Stat{Dev: uint64(st.Dev), Ino: st.Ino, Nlink: uint64(st.Nlink), Size: st.Size}
	s.Atim, s.Mtim, s.Ctim = unixTimes(st)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		s.Type = TypeRegular
	case unix.S_IFDIR:
		s.Type = TypeDirectory
	case unix.S_IFLNK:
		s.Type = TypeSymlink
	case unix.S_IFCHR:
		s.Type = TypeCharacterDevice
	case unix.S_IFBLK:
		s.Type = TypeBlockDevice
	case unix.S_IFSOCK:
		s.Type = TypeSocketStream
	}
	return s
}
