package image

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// A tree is the files of a build context or of a stage, by their clean paths
// relative to its root. The root itself is always there and has no node.
type tree struct {
	nodes  map[string]*node
	sorted []string // the paths in order, nil after a change
}

// A node is a file, a folder, a symbolic link, or something that cannot be
// copied.
type node struct {
	mode   fs.FileMode // type, and 0o644 or 0o755 for a file
	size   int64
	target string // of a link

	// Where a file's bytes are: in data if root is nil.
	root *os.Root
	name string
	data []byte
}

func newTree() *tree { return &tree{nodes: map[string]*node{}} }

var dirNode = &node{mode: fs.ModeDir | 0o755}

func (n *node) isDir() bool { return n.mode.IsDir() }

// open opens a file's bytes.
func (n *node) open() (io.ReadCloser, error) {
	if n.root == nil {
		return io.NopCloser(bytes.NewReader(n.data)), nil
	}
	return n.root.Open(n.name)
}

// fileMode is a mode as it is in images: whoever runs them is nobody special.
func fileMode(m fs.FileMode) fs.FileMode {
	if m&0o100 != 0 {
		return 0o755
	}
	return 0o644
}

// readTree lists the files below a root, but for those that skip names. Skip
// may be nil; it says also whether all below a skipped folder is skipped.
func readTree(root *os.Root, skip func(name string) (skip, all bool, err error)) (*tree, error) {
	t := newTree()
	var walk func(dir string) error
	walk = func(dir string) error {
		d, err := root.Open(dir)
		if err != nil {
			return err
		}
		list, err := d.ReadDir(-1)
		d.Close()
		if err != nil {
			return err
		}
		for _, e := range list {
			name := path.Join(dir, e.Name())
			var skipped, all bool
			if skip != nil {
				if skipped, all, err = skip(name); err != nil {
					return err
				}
			}
			if e.IsDir() {
				before := len(t.nodes)
				if !all {
					if err := walk(name); err != nil {
						return err
					}
				}
				if !skipped || len(t.nodes) > before {
					t.nodes[name] = dirNode
				}
				continue
			}
			if skipped {
				continue
			}
			n, err := readNode(root, name)
			if err != nil {
				return err
			}
			t.nodes[name] = n
		}
		return nil
	}
	return t, walk(".")
}

func readNode(root *os.Root, name string) (*node, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	switch info.Mode().Type() {
	case 0:
		return &node{mode: fileMode(info.Mode()), size: info.Size(), root: root, name: name}, nil
	case fs.ModeSymlink:
		target, err := root.Readlink(name)
		return &node{mode: fs.ModeSymlink, target: target}, err
	}
	return &node{mode: info.Mode().Type()}, nil
}

// get returns the node of a real path, nil if there is none.
func (t *tree) get(name string) *node {
	if name == "." {
		return dirNode
	}
	return t.nodes[name]
}

// resolve follows the symbolic links of a name.
func (t *tree) resolve(name string) (string, error) {
	return resolveLinks(name, func(at string) (string, error) {
		n := t.nodes[at]
		if n == nil {
			return "", fs.ErrNotExist
		}
		return n.target, nil
	})
}

// paths returns all paths in the order of layers: folders before what is in
// them.
func (t *tree) paths() []string {
	if t.sorted == nil {
		t.sorted = make([]string, 0, len(t.nodes))
		for name := range t.nodes {
			t.sorted = append(t.sorted, name)
		}
		slices.SortFunc(t.sorted, comparePaths)
	}
	return t.sorted
}

// comparePaths compares part by part.
func comparePaths(a, b string) int {
	return strings.Compare(strings.ReplaceAll(a, "/", "\x00"), strings.ReplaceAll(b, "/", "\x00"))
}

// below returns the paths in a folder, at any depth.
func (t *tree) below(dir string) []string {
	if dir == "." {
		return t.paths()
	}
	all := t.paths()
	from, _ := slices.BinarySearchFunc(all, dir+"/", comparePaths)
	to := from
	for to < len(all) && strings.HasPrefix(all[to], dir+"/") {
		to++
	}
	return all[from:to]
}

// match returns the paths that a pattern of COPY matches. Without a wildcard
// that is the name itself, be it there or not.
func (t *tree) match(pattern string) ([]string, error) {
	if !strings.ContainsAny(pattern, `*?[\`) {
		return []string{pattern}, nil
	}
	if _, err := path.Match(pattern, ""); err != nil {
		return nil, fmt.Errorf("the pattern %q is wrong: %w", pattern, err)
	}
	var found []string
	for _, name := range t.paths() {
		if ok, _ := path.Match(pattern, name); ok {
			found = append(found, name)
		}
	}
	return found, nil
}

// A change is what one instruction does to a tree: the content of a layer.
type change struct {
	to  *tree
	set map[string]*node
}

// put sets a node and makes the folders above it.
func (c *change) put(name string, n *node) error {
	if name == "." {
		return nil
	}
	old := c.to.get(name)
	switch {
	case n.isDir() && old != nil && old.isDir():
		return nil
	case n.isDir() && old != nil:
		return fmt.Errorf("%s cannot be a folder: it is a file or a link there already", "/"+name)
	case old != nil && old.isDir():
		return fmt.Errorf("%s cannot be a file: it is a folder there already", "/"+name)
	}
	if err := c.put(path.Dir(name), dirNode); err != nil {
		return err
	}
	c.to.nodes[name], c.set[name] = n, n
	c.to.sorted = nil
	return nil
}

// errNotCopied is for pipes, sockets and devices.
var errNotCopied = errors.New("only files, folders and symbolic links can be in an image")

// copyOne copies what is at a real path of from: a folder's content into the
// folder dest, a file as dest. Mode, unless 0, is that of files.
func (c *change) copyOne(from *tree, source, dest string, mode fs.FileMode) error {
	put := func(name string, n *node) error {
		switch n.mode.Type() {
		case 0:
			if mode != 0 {
				changed := *n
				changed.mode = mode
				n = &changed
			}
		case fs.ModeDir, fs.ModeSymlink:
		default:
			return fmt.Errorf("%s: %w", name, errNotCopied)
		}
		return c.put(name, n)
	}
	n := from.get(source)
	if !n.isDir() {
		return put(dest, n)
	}
	if err := c.put(dest, dirNode); err != nil {
		return err
	}
	prefix := source + "/"
	if source == "." {
		prefix = ""
	}
	for _, name := range slices.Clone(from.below(source)) {
		if err := put(path.Join(dest, strings.TrimPrefix(name, prefix)), from.nodes[name]); err != nil {
			return err
		}
	}
	return nil
}
