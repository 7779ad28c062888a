package guest

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/hako-run/hako/pagestore"
	"github.com/hako-run/hako/sqlite/vfscore"
)

// A Grant gives a guest a database.
type Grant struct {
	Path       string // as the guest opens it
	Database   string // a database, or a snapshot as pagestore.ParseRef reads it, which is read-only
	ReadOnly   bool
	Create     bool // make the database if it does not exist when the guest opens it
	Optimistic bool // commit without the writer lock
}

// Options bound what a guest can make the host keep. The zero value works.
type Options struct {
	MaxFiles int   // files open at a time, journals and temporary ones included; 0: 100
	MaxTemp  int64 // bytes of journals and temporary files together; 0: 1 GiB
	MaxSize  int64 // bytes that a database may grow to; 0: 2 TiB, which is also the most
}

const (
	defaultFiles = 100
	defaultTemp  = 1 << 30
	// pageLimit keeps page numbers of the smallest pages within 32 bits.
	pageLimit = (1<<32 - 2) * 512
)

// Databases are what one instance may open and has open. They belong to the
// goroutine that runs the instance.
type Databases struct {
	vfs    *vfscore.VFS
	o      Options
	grants map[string]*grant

	files    []*file // by handle
	open     int
	sessions []*session // by number - 1
	supers   map[string]*session
	temp     int64 // bytes of scratch files
	err      error // behind the last code that was not OK
	seen     vfscore.Witness
	closed   bool
	call     call // the one under way, kept to spare an allocation
}

// A grant is a Grant that was checked.
type grant struct {
	Grant
	ref pagestore.Ref
}

// pinned reports whether a snapshot was granted and no more.
func (g *grant) pinned() bool { return g.ref.Kind != pagestore.RefHead }

// ErrGrant is what a grant that makes no sense fails with.
var ErrGrant = errors.New("wrong grant of a database")

// New returns the databases of one instance, none of them open yet. They must
// be closed after the instance.
func New(vfs *vfscore.VFS, o Options, grants ...Grant) (*Databases, error) {
	if o.MaxFiles <= 0 {
		o.MaxFiles = defaultFiles
	}
	if o.MaxTemp <= 0 {
		o.MaxTemp = defaultTemp
	}
	if o.MaxSize <= 0 || o.MaxSize > pageLimit {
		o.MaxSize = pageLimit
	}
	d := &Databases{vfs: vfs, o: o, grants: make(map[string]*grant, 2*len(grants)), supers: make(map[string]*session)}
	for _, g := range grants {
		ref, err := pagestore.ParseRef(g.Database)
		if err != nil {
			return nil, fmt.Errorf("%w: %s as %q: %w", ErrGrant, g.Database, g.Path, err)
		}
		if g.Path == "" || strings.ContainsRune(g.Path, 0) {
			return nil, fmt.Errorf("%w: %s as %q: give it the path that the guest opens", ErrGrant, g.Database, g.Path)
		}
		name := clean(g.Path)
		if other := d.grants[name]; other != nil {
			return nil, fmt.Errorf("%w: %s as %q: that is %s already", ErrGrant, g.Database, g.Path, other.Database)
		}
		checked := &grant{g, ref}
		d.grants[name] = checked
		if !strings.Contains(g.Path, "/") {
			d.grants[g.Path] = checked
		}
	}
	return d, nil
}

// clean makes a guest's path comparable.
func clean(name string) string { return path.Clean("/" + name) }

// find returns the grant that a guest's path names and what to open: the
// grant's own database or a snapshot of it.
func (d *Databases) find(name string) (g *grant, ref string) {
	lookUp := func(name string) *grant {
		if g := d.grants[name]; g != nil {
			return g
		}
		return d.grants[clean(name)]
	}
	if g := lookUp(name); g != nil {
		return g, g.Database
	}
	i := strings.LastIndexByte(name, '@')
	if i <= 0 {
		return nil, ""
	}
	if g = lookUp(name[:i]); g == nil || g.pinned() {
		return nil, ""
	}
	at, err := pagestore.ParseAt(g.ref.Database, name[i+1:])
	if err != nil || at.Kind == pagestore.RefHead {
		return nil, ""
	}
	return g, at.String()
}

// Seen has what the instance has seen of databases so far. It belongs to the
// instance's goroutine too.
func (d *Databases) Seen() *vfscore.Witness { return &d.seen }

// Settled tells which transaction is under way, if one is: it would keep a
// writer's lock, or an old version, for as long as the instance is idle.
func (d *Databases) Settled() error {
	for _, f := range d.files {
		if f != nil && f.main != nil && f.main.Locked() {
			return fmt.Errorf("the guest has a transaction of %s under way", f.grant.Path)
		}
	}
	return nil
}

// Err returns the error behind the last result code that told the guest of a
// failure, nil if there was none.
func (d *Databases) Err() error { return d.err }

// Close closes all files. Transactions under way are rolled back and their
// locks released. The instance must not run any more; calls of it fail.
func (d *Databases) Close() error {
	if d.closed {
		return nil
	}
	d.closed = true
	var codes []vfscore.Code
	for _, mains := range []bool{false, true} { // journals before their databases
		for _, f := range d.files {
			if f != nil && (f.main != nil) == mains {
				codes = append(codes, f.file.Close())
			}
		}
	}
	d.files, d.sessions, d.open, d.temp = nil, nil, 0, 0
	clear(d.supers)
	for _, code := range codes {
		if code != vfscore.OK {
			return fmt.Errorf("close the databases of a guest: SQLite error %d", code)
		}
	}
	return nil
}

type contextKey struct{}

// NewContext returns a context for calls of the instance that d belongs to.
func NewContext(ctx context.Context, d *Databases) context.Context {
	return context.WithValue(ctx, contextKey{}, d)
}

// FromContext returns the databases that NewContext put there, nil if there are
// none.
func FromContext(ctx context.Context) *Databases {
	d, _ := ctx.Value(contextKey{}).(*Databases)
	return d
}

// ContextKey is the key that FromContext looks for, for contexts that keep
// their values in another way than context.WithValue does.
func ContextKey() any { return contextKey{} }
