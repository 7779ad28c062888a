package gateway

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"

	"github.com/hako-run/hako/config"
)

// files serves a folder. It is opened once, as an [os.Root]: no name and no
// symbolic link leads out of it.
type files struct {
	config *config.Static
	root   *os.Root
}

func newFiles(c *config.Static) (*files, error) {
	root, err := os.OpenRoot(string(c.Dir))
	if err != nil {
		return nil, fmt.Errorf("open the folder of files: %w", err)
	}
	return &files{c, root}, nil
}

func (f *files) close() { _ = f.root.Close() }

// errHidden stands for names that are there but not served.
var errHidden = errors.New("the name is not served")

// ServeHTTP implements http.Handler.
func (f *files) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e := exchangeOf(r.Context())
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		e.fail(http.StatusMethodNotAllowed, nil)
		return
	}
	name := r.URL.Path
	file, info, err := f.open(name)
	if err == nil && info.IsDir() {
		_ = file.Close()
		if !strings.HasSuffix(name, "/") {
			f.addSlash(e, w, r)
			return
		}
		name, file, info, err = f.index(name)
	}
	if err != nil && f.config.Fallback != "" && !errors.Is(err, errHidden) && path.Ext(name) == "" {
		name = "/" + f.config.Fallback
		file, info, err = f.open(name)
	}
	if err != nil {
		f.refuse(e, err)
		return
	}
	defer func() { _ = file.Close() }()
	if !info.Mode().IsRegular() || strings.HasSuffix(name, "/") {
		e.fail(http.StatusNotFound, nil)
		return
	}
	sent := sending{name: name, file: file, info: info, cacheControl: f.config.CacheControl}
	if f.config.Precompressed {
		sent.beside = f.open
	}
	sent.send(e, w, r)
}

// A sending is a regular file on its way to the client.
type sending struct {
	name         string // of which the type is taken
	file         *os.File
	info         fs.FileInfo
	cacheControl string
	// beside opens a file by its name, for those that hold another compressed;
	// nil looks for none.
	beside func(name string) (*os.File, fs.FileInfo, error)
}

func (s *sending) send(e *exchange, w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	if h["Content-Type"] == nil {
		h["Content-Type"] = []string{typeOf(s.name)}
	}
	h["X-Content-Type-Options"] = []string{"nosniff"}
	if s.cacheControl != "" {
		h["Cache-Control"] = []string{s.cacheControl}
	}
	suffix, file, info := "", s.file, s.info
	if s.beside != nil && e.route.compress && compressible(h.Get("Content-Type")) {
		if packed, packedInfo, encoding := s.precompressed(r); packed != nil {
			defer func() { _ = packed.Close() }()
			file, info, suffix = packed, packedInfo, "-"+encoding
			h["Content-Encoding"] = []string{encoding}
		}
		addVary(h, "Accept-Encoding")
	}
	h["Etag"] = []string{`"` + strconv.FormatInt(info.ModTime().UnixNano(), 36) + "-" + strconv.FormatInt(info.Size(), 36) + suffix + `"`}
	http.ServeContent(w, r, s.name, info.ModTime(), file)
}

func (f *files) refuse(e *exchange, err error) {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, errHidden), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ENAMETOOLONG):
		e.fail(http.StatusNotFound, nil)
	case errors.Is(err, fs.ErrPermission):
		e.fail(http.StatusForbidden, err)
	default:
		// Links that lead out or in circles are mistakes in the folder; to the
		// client they are not there.
		e.fail(http.StatusNotFound, err)
	}
}

// hidden reports whether a name without its first slash is not served.
func hidden(local string) bool {
	for i, segment := 0, ""; i <= len(local); i += len(segment) + 1 {
		segment, _, _ = strings.Cut(local[i:], "/")
		if strings.HasPrefix(segment, ".") && !(i == 0 && segment == ".well-known") || strings.ContainsAny(segment, "\\\x00") {
			return true
		}
	}
	return false
}

// open opens a name of the URL's form.
func (f *files) open(name string) (*os.File, fs.FileInfo, error) {
	local := strings.Trim(name, "/")
	if hidden(local) {
		return nil, nil, errHidden
	}
	if local == "" {
		local = "."
	}
	if f.config.Symlinks == "none" {
		if err := f.noLinks(local); err != nil {
			return nil, nil, err
		}
	}
	return openBelow(f.root, local)
}

// openBelow opens what a folder has under a name.
func openBelow(root *os.Root, local string) (*os.File, fs.FileInfo, error) {
	// A named pipe would hold the opening until somebody writes to it.
	file, err := root.OpenFile(local, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := file.Stat()
	if err != nil {
		_ = file.Close()
		return nil, nil, err
	}
	return file, info, nil
}

// noLinks fails if any part of a name is a symbolic link.
func (f *files) noLinks(local string) error {
	for i := 0; i <= len(local); i++ {
		if i < len(local) && local[i] != '/' {
			continue
		}
		info, err := f.root.Lstat(local[:i])
		if err != nil {
			return err
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			return errHidden
		}
	}
	return nil
}

func (f *files) index(dir string) (string, *os.File, fs.FileInfo, error) {
	for _, name := range f.config.Index {
		file, info, err := f.open(dir + name)
		if err == nil && info.Mode().IsRegular() {
			return dir + name, file, info, nil
		}
		if err == nil {
			_ = file.Close()
		}
	}
	return dir, nil, nil, fs.ErrNotExist
}

// precompressed opens the file beside another that holds it in an encoding
// that the client takes. One that is older than the file itself is stale.
func (s *sending) precompressed(r *http.Request) (*os.File, fs.FileInfo, string) {
	accept := r.Header["Accept-Encoding"]
	if len(accept) == 0 {
		return nil, nil, ""
	}
	for i := range encodings {
		if !accepts(accept, encodings[i].name) {
			continue
		}
		file, info, err := s.beside(s.name + encodings[i].extension)
		if err != nil {
			continue
		}
		if info.Mode().IsRegular() && !info.ModTime().Before(s.info.ModTime()) {
			return file, info, encodings[i].name
		}
		_ = file.Close()
	}
	return nil, nil, ""
}

// addSlash sends the client to the folder's name with a slash, from which the
// links within its index are meant.
func (f *files) addSlash(e *exchange, w http.ResponseWriter, r *http.Request) {
	original, err := url.ParseRequestURI(e.uri)
	if err != nil {
		e.fail(http.StatusNotFound, nil)
		return
	}
	_, raw, _ := cleanPath(original)
	if raw == "" {
		raw = original.EscapedPath()
	}
	// One slash at its beginning: //host would be another host.
	to := "/" + strings.TrimLeft(raw, "/\\") + "/"
	if r.URL.RawQuery != "" {
		to += "?" + r.URL.RawQuery
	}
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusPermanentRedirect)
}
