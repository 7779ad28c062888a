package image

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"
)

// An unpacker applies layers to a root file system.
//
// Names are resolved as within a chroot, but step by step, so that what
// reaches the operating system holds no symbolic link any more; os.Root, which
// refuses to follow one outside, is the second line.
type unpacker struct {
	store   *Store
	root    *os.Root
	bytes   int64           // that may still come out of layers
	entries int             // that may still come
	own     map[string]bool // resolved paths that this layer made
}

// The prefix of the names by which layers take away what is below them.
const (
	whiteout       = ".wh."
	whiteoutOpaque = ".wh..wh..opq"
	whiteoutMeta   = ".wh..wh."
)

// entry applies one entry.
func (u *unpacker) entry(h *tar.Header, content io.Reader) error {
	name, err := cleanName(h.Name)
	if err != nil {
		return err
	}
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	if name == "." {
		if h.Typeflag != tar.TypeDir {
			return errorOf(ErrUnsafe, "the root of an image must be a folder")
		}
		return nil
	}
	dir, base := path.Split(name)
	if strings.Contains("/"+dir, "/"+whiteout) {
		return errorOf(ErrUnsafe, "the name has a whiteout in its middle")
	}
	if strings.HasPrefix(base, whiteout) {
		return u.whiteout(path.Clean(dir), base)
	}
	parent, err := u.makeDir(path.Clean(dir))
	if err != nil {
		return err
	}
	at := path.Join(parent, base)
	switch h.Typeflag {
	case tar.TypeDir:
		err = u.dir(at)
	case tar.TypeReg, tar.TypeGNUSparse:
		err = u.file(at, h, content)
	case tar.TypeSymlink:
		err = u.symlink(at, h.Linkname)
	case tar.TypeLink:
		err = u.link(at, h.Linkname)
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		return errorOf(ErrUnsafe, "it is a device or a pipe, which images of Wasm modules cannot have")
	default:
		return errorOf(ErrUnsafe, "it is of the unknown type %q", h.Typeflag)
	}
	u.made(at)
	return err
}

// cleanName makes a name relative to the root. A leading slash means the
// image's root; a ".." is refused, wherever it leads.
func cleanName(name string) (string, error) {
	if len(name) > maxPath {
		return "", errorOf(ErrTooLarge, "the name has %d bytes; %d are allowed", len(name), maxPath)
	}
	if strings.ContainsRune(name, 0) {
		return "", errorOf(ErrUnsafe, "the name has a zero byte")
	}
	parts := strings.Split(name, "/")
	if len(parts) > maxDepth {
		return "", errorOf(ErrTooLarge, "the name is %d folders deep; %d are allowed", len(parts), maxDepth)
	}
	for _, part := range parts {
		if part == ".." {
			return "", errorOf(ErrUnsafe, "the name leads out of the image")
		}
		if len(part) > maxName {
			return "", errorOf(ErrTooLarge, "a part of the name has %d bytes; %d are allowed", len(part), maxName)
		}
	}
	return strings.TrimPrefix(path.Clean("/"+name), "/") + dotIfEmpty(path.Clean("/"+name)), nil
}

func dotIfEmpty(clean string) string {
	if clean == "/" {
		return "."
	}
	return ""
}

// made notes that this layer made the path, and the folders above it.
func (u *unpacker) made(at string) {
	for ; at != "." && !u.own[at]; at = path.Dir(at) {
		u.own[at] = true
	}
}

// resolve returns the real path of a clean relative name.
func (u *unpacker) resolve(name string) (string, error) {
	return resolveLinks(name, func(at string) (string, error) {
		info, err := u.root.Lstat(at)
		if err != nil || info.Mode().Type() != fs.ModeSymlink {
			return "", err
		}
		return u.root.Readlink(at)
	})
}

// makeDir makes the folder of that name and those above it, and returns its
// real path.
func (u *unpacker) makeDir(name string) (string, error) {
	at, err := u.resolve(name)
	if err != nil || at == "." {
		return at, err
	}
	info, err := u.root.Lstat(at)
	if err == nil && info.IsDir() {
		return at, nil
	}
	if err == nil { // a file of a lower layer, where this one has a folder
		if err := u.clear(at); err != nil {
			return "", err
		}
	}
	parent, err := u.makeDir(path.Dir(at))
	if err != nil {
		return "", err
	}
	at = path.Join(parent, path.Base(at))
	return at, u.mkdir(at)
}

func (u *unpacker) mkdir(at string) error {
	if err := u.store.check(opCreate, at); err != nil {
		return err
	}
	if err := u.root.Mkdir(at, 0o755); err != nil {
		return err
	}
	return u.root.Chmod(at, 0o755) // whatever the umask
}

// clear removes what is at a path, so that something else can be there.
func (u *unpacker) clear(at string) error {
	prefix := at + "/"
	for p := range u.own {
		if p == at || strings.HasPrefix(p, prefix) {
			delete(u.own, p)
		}
	}
	return u.root.RemoveAll(at)
}

func (u *unpacker) dir(at string) error {
	info, err := u.root.Lstat(at)
	switch {
	case err == nil && info.IsDir():
		return nil
	case err == nil:
		if err := u.clear(at); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return u.mkdir(at)
}

// vacate removes what is at a path, if there is something.
func (u *unpacker) vacate(at string) error {
	info, err := u.root.Lstat(at)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.IsDir():
		return u.clear(at)
	}
	return u.root.Remove(at)
}

// file writes a regular file: never into one that is there, which may be a
// link to another.
func (u *unpacker) file(at string, h *tar.Header, content io.Reader) error {
	if h.Size > u.bytes {
		return errorOf(ErrTooLarge, "it has %d bytes, with which the image is larger than the %d bytes that it may have", h.Size, u.store.limits.Unpacked)
	}
	if err := u.vacate(at); err != nil {
		return err
	}
	if err := u.store.check(opCreate, at); err != nil {
		return err
	}
	f, err := u.root.OpenFile(at, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = u.write(f, h, content)
	// The set-user-ID bits and the right to write stay behind.
	if e := f.Chmod(0o444 | fs.FileMode(h.Mode)&0o111); err == nil {
		err = e
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	if t := h.ModTime; t.Unix() >= 0 && t.Year() < 2200 {
		err = u.root.Chtimes(at, time.Time{}, t)
	}
	return err
}

func (u *unpacker) write(f *os.File, h *tar.Header, content io.Reader) error {
	// A sparse file has more bytes than the layer; its holes count as well.
	sparse := h.Typeflag == tar.TypeGNUSparse || h.PAXRecords["GNU.sparse.major"] != ""
	n, err := io.Copy(&checkedWriter{u.store, f}, content)
	if sparse {
		if u.bytes -= n; u.bytes < 0 {
			return errorOf(ErrTooLarge, "with its holes the image is larger than the %d bytes that it may have", u.store.limits.Unpacked)
		}
	}
	var we *writeError
	switch {
	case errors.As(err, &we):
		return we.error
	case err != nil:
		return layerError(err)
	}
	return nil
}

// A writeError is one of the disk, not of the layer.
type writeError struct{ error }

func (e *writeError) Unwrap() error { return e.error }

// A checkedWriter writes to a file, and lets a test fail it.
type checkedWriter struct {
	store *Store
	f     *os.File
}

func (w *checkedWriter) Write(b []byte) (int, error) {
	if err := w.store.check(opWrite, w.f.Name()); err != nil {
		return 0, &writeError{err}
	}
	n, err := w.f.Write(b)
	if err != nil {
		return n, &writeError{err}
	}
	return n, nil
}

// symlink makes a symbolic link. It may point anywhere: it is text, until
// somebody follows it. An absolute one is made relative, as the image's root
// is not the machine's.
func (u *unpacker) symlink(at, target string) error {
	if target == "" || len(target) > maxPath || strings.ContainsRune(target, 0) {
		return errorOf(ErrUnsafe, "the target of the symbolic link is empty, too long or has a zero byte")
	}
	if strings.HasPrefix(target, "/") {
		up := strings.Repeat("../", strings.Count(at, "/"))
		target = up + strings.TrimPrefix(path.Clean(target), "/")
		if target == "" {
			target = "."
		}
	}
	if err := u.vacate(at); err != nil {
		return err
	}
	if err := u.store.check(opCreate, at); err != nil {
		return err
	}
	return u.root.Symlink(target, at)
}

// link makes a hard link to a file of the image.
func (u *unpacker) link(at, target string) error {
	name, err := cleanName(target)
	if err != nil {
		return fmt.Errorf("the target %s of the hard link: %w", printable(target), err)
	}
	dir, err := u.resolve(path.Dir(name))
	if err != nil {
		return fmt.Errorf("the target %s of the hard link: %w", printable(target), err)
	}
	from := path.Join(dir, path.Base(name))
	info, err := u.root.Lstat(from)
	if err != nil {
		return errorOf(ErrDamaged, "the target %s of the hard link is not there", printable(target))
	}
	if !info.Mode().IsRegular() {
		return errorOf(ErrUnsafe, "the target %s of the hard link is not a file", printable(target))
	}
	if from == at {
		return nil
	}
	if err := u.vacate(at); err != nil {
		return err
	}
	if err := u.store.check(opCreate, at); err != nil {
		return err
	}
	return u.root.Link(from, at)
}

// whiteout takes away what lower layers have at a name of the folder, or, if
// it is opaque, all that they have in the folder.
func (u *unpacker) whiteout(dir, base string) error {
	at, err := u.resolve(dir)
	if err != nil {
		return err
	}
	if base == whiteoutOpaque {
		return u.removeLower(at, true)
	}
	if strings.HasPrefix(base, whiteoutMeta) { // AUFS's own notes
		return nil
	}
	name := strings.TrimPrefix(base, whiteout)
	if name == "" || name == "." || name == ".." {
		return errorOf(ErrUnsafe, "the whiteout names no file")
	}
	return u.removeLower(path.Join(at, name), false)
}

// removeLower removes what is at a path, but not what this layer made. With
// inside, the folder itself stays.
func (u *unpacker) removeLower(at string, inside bool) error {
	info, err := u.root.Lstat(at)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.IsDir():
		if inside || u.own[at] {
			return nil
		}
		return u.root.Remove(at)
	case !inside && !u.own[at]:
		return u.root.RemoveAll(at)
	}
	d, err := u.root.Open(at)
	if err != nil {
		return err
	}
	names, err := d.Readdirnames(-1)
	d.Close()
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := u.removeLower(path.Join(at, name), false); err != nil {
			return err
		}
	}
	return nil
}
