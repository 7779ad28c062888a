package gateway

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/hako-run/hako/config"
)

// A Mount is a folder of the host that a guest sees.
type Mount struct {
	Guest string // absolute and clean
	Host  string // "" hides what is below Guest: it is of the guest alone
}

// AppFiles answer requests for an app's files without the app. They see the
// folders as the guest does, as they are when the files are opened. They must
// be closed.
type AppFiles struct {
	config *config.AppFiles
	mounts []openMount // the longest first
}

// An openMount is a folder of which no name and no symbolic link leads out.
type openMount struct {
	guest string   // with a slash at its end
	root  *os.Root // nil: nothing is to be seen
}

// A Filer is an [App] that has some of its requests answered by AppFiles, or
// by itself if they are nil.
type Filer interface{ Files() *AppFiles }

// neverSent are files that nobody means to publish: scripts under names that
// are not run, databases and dumps, logs, settings, leftovers of editors.
var neverSent = []config.FilePattern{
	"*.php", "*.php[0-9]", "*.php_", "*.phtml", "*.phar", "*.phps", "*.inc", "*.sqlite*", "*.db", "*.sql", "*.sql.*",
	"*.log", "*.ini", "*.bak", "*.old", "*.orig", "*.save", "*.swp", "*~",
}

// OpenAppFiles opens the folders of an app that has some below c's root.
func OpenAppFiles(c *config.AppFiles, mounts []Mount) (*AppFiles, error) {
	f := &AppFiles{config: c}
	for _, m := range mounts {
		n := openMount{guest: strings.TrimSuffix(m.Guest, "/") + "/"}
		if m.Host != "" {
			var err error
			if n.root, err = os.OpenRoot(m.Host); err != nil {
				_ = f.Close()
				return nil, fmt.Errorf("open a folder of files: %w", err)
			}
		}
		f.mounts = append(f.mounts, n)
	}
	// Of two mounts at one place, the later is the one that is seen.
	slices.Reverse(f.mounts)
	slices.SortStableFunc(f.mounts, func(a, b openMount) int { return cmp.Compare(len(b.guest), len(a.guest)) })
	return f, nil
}

// Close closes the folders. Nothing may be served then.
func (f *AppFiles) Close() error {
	var errs []error
	for _, m := range f.mounts {
		if m.root != nil {
			errs = append(errs, m.root.Close())
		}
	}
	f.mounts = nil
	return errors.Join(errs...)
}

// serve answers a request if that is not up to the app.
func (f *AppFiles) serve(e *exchange, w http.ResponseWriter, r *http.Request) bool {
	name := r.URL.Path
	if name == "" || name[0] != '/' || name[len(name)-1] == '/' {
		return false
	}
	name = path.Clean(name)
	if hidden(name[1:]) || f.script(name) {
		return false
	}
	file, info, err := f.open(name)
	if err != nil {
		return false
	}
	defer func() { _ = file.Close() }()
	if !info.Mode().IsRegular() {
		return false
	}
	if f.denied(name) {
		e.unpin()
		e.fail(http.StatusNotFound, nil)
		return true
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	e.unpin()
	sent := sending{name: name, file: file, info: info, cacheControl: f.config.CacheControl, beside: f.open}
	sent.send(e, w, r)
	return true
}

// script reports whether a part of a path is named as what the guest runs.
func (f *AppFiles) script(name string) bool {
	for segment := range strings.SplitSeq(name, "/") {
		for _, end := range f.config.Scripts {
			if strings.HasSuffix(segment, end) {
				return true
			}
		}
	}
	return false
}

// denied reports whether nobody gets a file that is there. That holds for a
// script whose end is written in another case too: to the guest it is none.
func (f *AppFiles) denied(name string) bool {
	matches := func(p config.FilePattern) bool { return p.Match(name) }
	if slices.ContainsFunc(neverSent, matches) || slices.ContainsFunc(f.config.Deny, matches) {
		return true
	}
	return slices.ContainsFunc(f.config.Scripts, func(end string) bool {
		return len(name) > len(end) && strings.EqualFold(name[len(name)-len(end):], end)
	})
}

// open opens a file by its cleaned path on the site.
func (f *AppFiles) open(name string) (*os.File, fs.FileInfo, error) {
	guest := path.Join(f.config.Root, name)
	for _, m := range f.mounts {
		local, ok := strings.CutPrefix(guest, m.guest)
		if !ok {
			continue
		}
		if m.root == nil || local == "" {
			return nil, nil, fs.ErrNotExist
		}
		return openBelow(m.root, local)
	}
	return nil, nil, fs.ErrNotExist
}
