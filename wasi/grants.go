package wasi

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"sync"
)

// A DirGrant lets a guest see a directory of the host.
type DirGrant struct {
	Host     string // the directory, which must exist
	Guest    string // where the guest sees it: an absolute path, or "."
	ReadOnly bool   // every way to change something gives EROFS
}

// A Mount lets a guest see what is no directory of the host: [FSDir],
// [MemoryFS] or a Dir of one's own.
type Mount struct {
	Dir      Dir
	Guest    string
	ReadOnly bool
}

// GrantConfig is what [OpenGrants] opens.
type GrantConfig struct {
	Dirs      []DirGrant
	Mounts    []Mount
	Listeners []Listener
}

// Grants are directories opened and ports bound, to be shared by Systems. The
// one who opened them closes them; they stay open until the last System that
// uses them is closed too.
type Grants struct {
	mounts    []Mount
	listeners []*boundListener

	mu    sync.Mutex
	users int // Systems, and one until Close is called
	done  bool
}

// OpenGrants opens what is granted. The error says which grant it is about.
func OpenGrants(c GrantConfig) (*Grants, error) {
	g := &Grants{users: 1}
	for _, d := range c.Dirs {
		dir, err := openHostDir(d.Host)
		if err != nil {
			g.release()
			return nil, fmt.Errorf("grant directory %s as %s: %w", d.Host, d.Guest, err)
		}
		g.mounts = append(g.mounts, Mount{Dir: dir, Guest: d.Guest, ReadOnly: d.ReadOnly})
	}
	g.mounts = append(g.mounts, c.Mounts...)
	seen := map[string]bool{}
	for i := range g.mounts {
		m := &g.mounts[i]
		guest := path.Clean(m.Guest)
		var err error
		switch {
		case m.Guest == "", guest != "." && !strings.HasPrefix(guest, "/"):
			err = fmt.Errorf("grant directory as %q: the guest's path must be absolute", m.Guest)
		case strings.IndexByte(guest, 0) >= 0, len(guest) > maxPath:
			err = fmt.Errorf("grant directory as %q: this is no path", m.Guest)
		case seen[guest]:
			err = fmt.Errorf("grant directory as %s: granted twice", guest)
		case m.Dir == nil:
			err = fmt.Errorf("grant directory as %s: no directory given", guest)
		}
		if err != nil {
			g.release()
			return nil, err
		}
		seen[guest] = true
		m.Guest = guest
		if m.ReadOnly {
			m.Dir = readOnlyDir{m.Dir}
		}
	}
	for _, l := range c.Listeners {
		b, err := bind(l)
		if err != nil {
			g.release()
			return nil, err
		}
		g.listeners = append(g.listeners, b)
	}
	return g, nil
}

// errGrantsClosed is what NewSystem says of Grants that are no longer open.
var errGrantsClosed = errors.New("its grants are closed")

// use counts a System in.
func (g *Grants) use() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.users == 0 || g.done {
		return errGrantsClosed
	}
	g.users++
	return nil
}

// Close lets go of what was opened once no System uses it any more.
func (g *Grants) Close() error {
	g.mu.Lock()
	done := g.done
	g.done = true
	g.mu.Unlock()
	if done {
		return nil
	}
	return g.release()
}

func (g *Grants) release() error {
	g.mu.Lock()
	g.users--
	last := g.users == 0
	g.mu.Unlock()
	if !last {
		return nil
	}
	var errs []error
	for _, m := range g.mounts {
		if m.Dir != nil {
			errs = append(errs, m.Dir.Close())
		}
	}
	for _, l := range g.listeners {
		errs = append(errs, l.close())
	}
	return errors.Join(errs...)
}
