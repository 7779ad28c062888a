package wasi

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// MemoryFS is a file system in memory, as for /tmp. It may be shared between
// Systems. The memory is free when nothing refers to it any more.
type MemoryFS struct {
	mu    sync.Mutex
	size  int64 // bytes that may be held, names included
	used  int64
	dev   uint64
	inode uint64
	root  *memNode
	now   func() time.Time
}

// Each name and file costs this much of a MemoryFS beside its bytes.
const memNodeCost = 256

// NewMemoryFS returns an empty file system that holds at most size bytes:
// ENOSPC beyond. A file costs 256 bytes beside its content and its name.
func NewMemoryFS(size int64) *MemoryFS {
	m := &MemoryFS{size: size, dev: nextDev(), now: time.Now}
	m.root = m.node(TypeDirectory)
	m.root.parent = m.root
	return m
}

// WriteFile makes a file of the content, and the directories that it is in.
func (m *MemoryFS) WriteFile(name string, content []byte) error {
	d := m.Root()
	for i, c := range name {
		if c == '/' && i > 0 {
			if err := d.Mkdir(name[:i]); err != nil && err != EEXIST {
				return fmt.Errorf("make directory %s in memory: %w", name[:i], err)
			}
		}
	}
	n, err := d.Open(name, OpenWrite|OpenCreate|OpenTruncate)
	if err != nil {
		return fmt.Errorf("write %s in memory: %w", name, err)
	}
	defer n.Close()
	if _, err := n.(File).WriteAt(content, 0); err != nil {
		return fmt.Errorf("write %s in memory: %w", name, err)
	}
	return nil
}

// Root returns the file system's uppermost directory.
func (m *MemoryFS) Root() Dir { return &memDir{m, m.root} }

// memNode is a file, a directory or a link. The MemoryFS's lock guards it.
type memNode struct {
	st     Stat
	data   []byte
	target string              // of a link
	names  map[string]*memName // of a directory
	order  []*memName          // the same by age, holes nil
	seq    uint64              // of the last name made: a cookie
	parent *memNode            // of a directory
	open   int                 // how many descriptors keep it alive
}

type memName struct {
	name   string
	cookie uint64
	node   *memNode
}

func (m *MemoryFS) node(t FileType) *memNode {
	m.inode++
	now := m.now().UnixNano()
	n := &memNode{st: Stat{Dev: m.dev, Ino: m.inode, Type: t, Nlink: 1, Atim: now, Mtim: now, Ctim: now}}
	if t == TypeDirectory {
		n.names = map[string]*memName{}
		n.seq = 2 // "." and ".." are 1 and 2
		n.st.Nlink = 2
	}
	return n
}

func (m *MemoryFS) claim(bytes int64) error {
	if m.used+bytes > m.size {
		return ENOSPC
	}
	m.used += bytes
	return nil
}

func (m *MemoryFS) changed(n *memNode) {
	now := m.now().UnixNano()
	n.st.Mtim, n.st.Ctim = now, now
}

func (m *MemoryFS) add(dir *memNode, name string, n *memNode) {
	dir.seq++
	e := &memName{name, dir.seq, n}
	dir.names[name] = e
	dir.order = append(dir.order, e)
	if n.st.Type == TypeDirectory {
		n.parent = dir
		dir.st.Nlink++
	}
	m.changed(dir)
}

func (m *MemoryFS) remove(dir *memNode, name string) {
	e := dir.names[name]
	delete(dir.names, name)
	i, _ := slices.BinarySearchFunc(dir.order, e.cookie, func(e *memName, c uint64) int {
		return int(int64(e.cookie) - int64(c))
	})
	dir.order = slices.Delete(dir.order, i, i+1)
	if e.node.st.Type == TypeDirectory {
		dir.st.Nlink--
	}
	m.changed(dir)
}

// unlinked is called when a name of n is gone.
func (m *MemoryFS) unlinked(n *memNode, name string) {
	m.used -= int64(len(name))
	n.st.Ctim = m.now().UnixNano()
	if n.st.Type == TypeDirectory {
		n.st.Nlink = 0
	} else {
		n.st.Nlink--
	}
	m.release(n)
}

// release gives the room of a file back that has no name and is not open.
func (m *MemoryFS) release(n *memNode) {
	if n.st.Nlink == 0 && n.open == 0 {
		m.used -= int64(cap(n.data)+len(n.target)) + memNodeCost
		n.data = nil
	}
}

// resize makes n's content size bytes long.
func (m *MemoryFS) resize(n *memNode, size int64) error {
	switch {
	case size < 0:
		return EINVAL
	case size > m.size:
		return ENOSPC
	case size <= int64(cap(n.data)):
		old := len(n.data)
		n.data = n.data[:size]
		if int(size) > old {
			clear(n.data[old:])
		}
	default:
		room := max(size, min(2*int64(cap(n.data)), int64(cap(n.data))+1<<20))
		if m.claim(room-int64(cap(n.data))) != nil {
			room = size
			if err := m.claim(room - int64(cap(n.data))); err != nil {
				return err
			}
		}
		grown := make([]byte, size, room)
		copy(grown, n.data)
		n.data = grown
	}
	n.st.Size = size
	m.changed(n)
	return nil
}

// memSpot is where a name leads: the directory it lies in, its last part, and
// what is there, if anything.
type memSpot struct {
	dir   *memNode
	name  string // "" for a name that ends in "." or ".."
	node  *memNode
	slash bool
}

// walk finds a name. No name leads above top.
func (m *MemoryFS) walk(top *memNode, name string, follow bool) (memSpot, error) {
	parts := strings.Split(name, "/")
	at := top
	links := 0
	slash := len(parts) > 1 && parts[len(parts)-1] == ""
	spot := memSpot{dir: at, node: at}
	for len(parts) > 0 {
		part := parts[0]
		parts = parts[1:]
		switch part {
		case "", ".":
			if at.st.Type != TypeDirectory {
				return spot, ENOTDIR
			}
			if part == "." {
				spot = memSpot{dir: at, node: at}
			}
			continue
		case "..":
			if at == top {
				return spot, EPERM
			}
			at = at.parent
			spot = memSpot{dir: at, node: at}
			continue
		}
		if len(part) > 255 {
			return spot, ENAMETOOLONG
		}
		if at.st.Type != TypeDirectory {
			return spot, ENOTDIR
		}
		last := len(strings.Trim(strings.Join(parts, "/"), "/")) == 0
		spot = memSpot{dir: at, name: part, slash: slash}
		e := at.names[part]
		if e == nil {
			if last {
				return spot, nil
			}
			return spot, ENOENT
		}
		spot.node = e.node
		if e.node.st.Type == TypeSymlink && (!last || follow || slash) {
			links++
			if links > 40 {
				return spot, ELOOP
			}
			if strings.HasPrefix(e.node.target, "/") {
				return spot, EPERM
			}
			parts = append(strings.Split(e.node.target, "/"), parts...)
			continue
		}
		if !last {
			at = e.node
			if at.st.Type != TypeDirectory {
				return spot, ENOTDIR
			}
		}
	}
	if spot.slash && spot.node != nil && spot.node.st.Type != TypeDirectory {
		return spot, ENOTDIR
	}
	return spot, nil
}

// memDir is an open directory of a MemoryFS.
type memDir struct {
	fs *MemoryFS
	n  *memNode
}

func (d *memDir) Stat() (Stat, error) {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	return d.n.st, nil
}

func (d *memDir) Sync(bool) error { return nil }
func (d *memDir) Close() error    { return nil }

func (d *memDir) SetTimes(t Times) error {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	d.n.setTimes(t)
	return nil
}

func (n *memNode) setTimes(t Times) {
	if t.Access != nil {
		n.st.Atim = t.Access.UnixNano()
	}
	if t.Modify != nil {
		n.st.Mtim = t.Modify.UnixNano()
	}
}

// existing is walk for a name that must be there.
func (d *memDir) existing(name string, follow bool) (memSpot, error) {
	spot, err := d.fs.walk(d.n, name, follow)
	if err == nil && spot.node == nil {
		err = ENOENT
	}
	return spot, err
}

func (d *memDir) Lookup(name string, follow bool) (Stat, error) {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	spot, err := d.existing(name, follow)
	if err != nil {
		return Stat{}, err
	}
	return spot.node.st, nil
}

func (d *memDir) SetTimesOf(name string, follow bool, t Times) error {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	spot, err := d.existing(name, follow)
	if err == nil {
		spot.node.setTimes(t)
	}
	return err
}

func (d *memDir) Open(name string, flags OpenFlags) (Node, error) {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	exclusive := flags&(OpenCreate|OpenExclusive) == OpenCreate|OpenExclusive
	spot, err := d.fs.walk(d.n, name, flags&OpenNoFollow == 0 && !exclusive)
	switch {
	case err != nil:
		return nil, err
	case spot.node == nil && flags&OpenCreate == 0:
		return nil, ENOENT
	case spot.node == nil:
		if spot.slash {
			return nil, EISDIR
		}
		n, err := d.fs.create(spot, TypeRegular)
		if err != nil {
			return nil, err
		}
		n.open++
		return &memFile{fs: d.fs, n: n}, nil
	case exclusive:
		return nil, EEXIST
	}
	switch spot.node.st.Type {
	case TypeDirectory:
		if flags.mutates() {
			return nil, EISDIR
		}
		return &memDir{d.fs, spot.node}, nil
	case TypeSymlink:
		if flags&OpenDirectory != 0 {
			return nil, ENOTDIR
		}
		return nil, ELOOP
	}
	if flags&OpenDirectory != 0 {
		return nil, ENOTDIR
	}
	if flags&OpenTruncate != 0 {
		if err := d.fs.resize(spot.node, 0); err != nil {
			return nil, err
		}
	}
	spot.node.open++
	return &memFile{fs: d.fs, n: spot.node}, nil
}

// create makes an empty file, directory or link where spot has none.
func (m *MemoryFS) create(spot memSpot, t FileType) (*memNode, error) {
	if spot.dir.st.Nlink == 0 {
		return nil, ENOENT // the directory itself is removed
	}
	if err := m.claim(memNodeCost + int64(len(spot.name))); err != nil {
		return nil, err
	}
	n := m.node(t)
	m.add(spot.dir, spot.name, n)
	return n, nil
}

// vacant is walk for a name that must not be there.
func (d *memDir) vacant(name string) (memSpot, error) {
	spot, err := d.fs.walk(d.n, name, false)
	if err == nil && spot.node != nil {
		err = EEXIST
	}
	return spot, err
}

func (d *memDir) Mkdir(name string) error {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	spot, err := d.vacant(name)
	if err == nil {
		_, err = d.fs.create(spot, TypeDirectory)
	}
	return err
}

func (d *memDir) Symlink(target, name string) error {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	spot, err := d.vacant(name)
	switch {
	case err != nil:
		return err
	case spot.slash:
		return ENOENT
	}
	if err := d.fs.claim(int64(len(target))); err != nil {
		return err
	}
	n, err := d.fs.create(spot, TypeSymlink)
	if err != nil {
		d.fs.used -= int64(len(target))
		return err
	}
	n.target, n.st.Size = target, int64(len(target))
	return nil
}

func (d *memDir) Readlink(name string) (string, error) {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	spot, err := d.existing(name, false)
	switch {
	case err != nil:
		return "", err
	case spot.node.st.Type != TypeSymlink:
		return "", EINVAL
	}
	return spot.node.target, nil
}

func (d *memDir) Rmdir(name string) error {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	spot, err := d.existing(name, false)
	switch {
	case err != nil:
		return err
	case spot.node.st.Type != TypeDirectory:
		return ENOTDIR
	case spot.name == "":
		return EINVAL
	case len(spot.node.names) > 0:
		return ENOTEMPTY
	}
	d.fs.remove(spot.dir, spot.name)
	d.fs.unlinked(spot.node, spot.name)
	return nil
}

func (d *memDir) Unlink(name string) error {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	spot, err := d.existing(name, false)
	switch {
	case err != nil:
		return err
	case spot.node.st.Type == TypeDirectory:
		return EISDIR
	}
	d.fs.remove(spot.dir, spot.name)
	d.fs.unlinked(spot.node, spot.name)
	return nil
}

func (d *memDir) Link(name string, follow bool, to Dir, newName string) error {
	o, ok := to.(*memDir)
	if !ok || o.fs != d.fs {
		return EXDEV
	}
	if follow {
		return EINVAL
	}
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	from, err := d.existing(name, false)
	if err != nil {
		return err
	}
	into, err := o.vacant(newName)
	switch {
	case err != nil:
		return err
	case from.node.st.Type == TypeDirectory:
		return EPERM
	case into.slash || into.dir.st.Nlink == 0:
		return ENOENT
	}
	if err := d.fs.claim(int64(len(into.name))); err != nil {
		return err
	}
	from.node.st.Nlink++
	from.node.st.Ctim = d.fs.now().UnixNano()
	d.fs.add(into.dir, into.name, from.node)
	return nil
}

func (d *memDir) Rename(name string, to Dir, newName string) error {
	o, ok := to.(*memDir)
	if !ok || o.fs != d.fs {
		return EXDEV
	}
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	from, err := d.existing(name, false)
	if err != nil {
		return err
	}
	into, err := d.fs.walk(o.n, newName, false)
	if err != nil {
		return err
	}
	if from.name == "" || into.name == "" {
		return EBUSY
	}
	isDir := from.node.st.Type == TypeDirectory
	if isDir {
		for up := into.dir; ; up = up.parent {
			if up == from.node {
				return EINVAL // into itself
			}
			if up == up.parent {
				break
			}
		}
	} else if into.slash {
		return ENOTDIR
	}
	switch old := into.node; {
	case into.dir.st.Nlink == 0:
		return ENOENT
	case old == from.node:
		return nil
	case old == nil:
	case isDir && old.st.Type != TypeDirectory:
		return ENOTDIR
	case !isDir && old.st.Type == TypeDirectory:
		return EISDIR
	case len(old.names) > 0:
		return ENOTEMPTY
	}
	if grow := int64(len(into.name) - len(from.name)); grow > 0 && d.fs.used+grow > d.fs.size {
		return ENOSPC
	}
	if into.node != nil {
		d.fs.remove(into.dir, into.name)
		d.fs.unlinked(into.node, into.name)
	}
	d.fs.remove(from.dir, from.name)
	d.fs.used += int64(len(into.name) - len(from.name))
	d.fs.add(into.dir, into.name, from.node)
	from.node.st.Ctim = d.fs.now().UnixNano()
	return nil
}

// ReadDir's cookies are the numbers that names got when they were made.
func (d *memDir) ReadDir(cookie uint64, yield func(DirEntry) bool) error {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	if d.n.st.Nlink == 0 {
		return nil
	}
	up := d.n.parent
	if cookie < 1 && !yield(DirEntry{".", d.n.st.Ino, TypeDirectory, 1}) {
		return nil
	}
	if cookie < 2 && !yield(DirEntry{"..", up.st.Ino, TypeDirectory, 2}) {
		return nil
	}
	i, _ := slices.BinarySearchFunc(d.n.order, cookie, func(e *memName, c uint64) int {
		if e.cookie <= c {
			return -1
		}
		return 1
	})
	for ; i < len(d.n.order); i++ {
		e := d.n.order[i]
		if !yield(DirEntry{e.name, e.node.st.Ino, e.node.st.Type, e.cookie}) {
			break
		}
	}
	return nil
}
