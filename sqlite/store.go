package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/hako-run/hako/pagestore"
	"github.com/hako-run/hako/sqlite/vfscore"
	"modernc.org/sqlite/lib"
)

// An openStore is a store that SQLite can open databases of, under a VFS of
// its own.
type openStore struct {
	id       uintptr
	dir      string
	name     string // of the VFS
	vfs      *vfscore.VFS
	cVFS     uintptr
	refs     int  // connectors and connections
	owned    bool // opened here, so closed with the last reference
	replaced bool // it was closed while there were references; another one has its directory
}

var stores = struct {
	sync.RWMutex
	last  uintptr
	byID  map[uintptr]*openStore
	byDir map[string]*openStore
	under map[string]*flight // directories whose store is being opened or closed
}{byID: make(map[uintptr]*openStore), byDir: make(map[string]*openStore), under: make(map[string]*flight)}

// A flight is the opening or closing of a store under way, during which stores
// is not locked.
type flight struct {
	done chan struct{}
	err  error // of opening; set before done is closed
}

// ErrInUse is returned, wrapped, when a store is detached while connections to
// it are open.
var ErrInUse = errors.New("connections are open")

// ErrNoStore is returned, wrapped, when a connection opens a directory that
// holds no store, and its data source name does not say create=1.
var ErrNoStore = errors.New("no store")

func storeOf(pVfs uintptr) *openStore {
	stores.RLock()
	defer stores.RUnlock()
	return stores.byID[at[sqlite3.Tsqlite3_vfs](pVfs).FpAppData]
}

// Attach makes SQLite know an open store, unless it does already, and returns
// the name of its VFS: any connection of modernc.org/sqlite can open
// "file:shop?vfs=NAME". Detach the store before closing it: one that is closed
// stays known until another one of its directory takes its place.
func Attach(s *pagestore.Store) (vfs string, err error) {
	stores.Lock()
	defer stores.Unlock()
	o, err := attach(s, false)
	if err != nil {
		return "", err
	}
	return o.name, nil
}

// Detach undoes Attach. It fails with ErrInUse, naming them, if connections or
// connectors of the store are open.
func Detach(s *pagestore.Store) error {
	stores.Lock()
	defer stores.Unlock()
	o := stores.byDir[dirKey(s.Dir())]
	if o == nil || o.vfs.Store() != s {
		return nil
	}
	if open := o.vfs.Open(); len(open) > 0 {
		return fmt.Errorf("detach store %s: %w: %s: close them first", o.dir, ErrInUse, strings.Join(open, ", "))
	}
	if o.refs > 0 {
		return fmt.Errorf("detach store %s: %w: %d connectors: close them first", o.dir, ErrInUse, o.refs)
	}
	o.forget()
	return nil
}

// attach returns the openStore of s; stores is locked.
func attach(s *pagestore.Store, owned bool) (*openStore, error) {
	key := dirKey(s.Dir())
	if o := attached(key); o != nil {
		if o.vfs.Store() != s {
			return nil, fmt.Errorf("attach store %s: another store of that directory is attached: detach that first", s.Dir())
		}
		return o, nil
	}
	if err := closedErr(s); err != nil {
		return nil, fmt.Errorf("attach: %w", err)
	}
	stores.last++
	o := &openStore{id: stores.last, dir: s.Dir(), name: fmt.Sprintf("hako-%d", stores.last), vfs: vfscore.New(s, vfscore.Options{Owners: owners, Journal: fileExists}), owned: owned}
	var err error
	if o.cVFS, err = registerVFS(o.name, o.id); err != nil {
		return nil, fmt.Errorf("attach store %s: %w", s.Dir(), err)
	}
	stores.byID[o.id], stores.byDir[key] = o, o
	return o, nil
}

// attached returns the store of a directory. One that somebody has closed
// makes room for another. stores is locked.
func attached(key string) *openStore {
	o := stores.byDir[key]
	if o == nil || closedErr(o.vfs.Store()) == nil {
		return o
	}
	if o.unused() {
		o.forget()
		return nil
	}
	// Connections use the VFS still, if only to be closed.
	o.replaced = true
	delete(stores.byDir, key)
	return nil
}

// closedErr returns an error if the store is closed.
func closedErr(s *pagestore.Store) error {
	if _, err := s.Snapshots(); errors.Is(err, pagestore.ErrClosed) {
		return err
	}
	return nil
}

// unused reports whether nobody can call the VFS any more.
func (o *openStore) unused() bool { return o.refs == 0 && len(o.vfs.Open()) == 0 }

func (o *openStore) forget() {
	unregisterVFS(o.cVFS)
	delete(stores.byID, o.id)
	if key := dirKey(o.dir); stores.byDir[key] == o {
		delete(stores.byDir, key)
	}
}

// acquireStore returns the store with a reference more, or, if s is nil, that
// of the directory, which is opened if it is not. With create it is made if
// there is none.
func acquireStore(s *pagestore.Store, dir string, create bool) (*openStore, error) {
	stores.Lock()
	defer stores.Unlock()
	if s != nil {
		o, err := attach(s, false)
		if err == nil {
			o.refs++
		}
		return o, err
	}
	for key := dirKey(dir); ; {
		if o := attached(key); o != nil {
			o.refs++
			return o, nil
		}
		f := stores.under[key]
		if f == nil {
			o, err := openDir(key, dir, create)
			if err == nil {
				o.refs++
			}
			return o, err
		}
		stores.Unlock()
		<-f.done
		stores.Lock()
		if f.err != nil {
			return nil, f.err
		}
	}
}

// openDir opens the store of a directory. stores is locked, but not
// throughout.
func openDir(key, dir string, create bool) (o *openStore, err error) {
	if !create {
		if err := checkStore(dir); err != nil {
			return nil, err
		}
	}
	f := takeOff(key)
	defer func() { f.land(key, err) }()
	stores.Unlock()
	s, err := pagestore.Open(dir, pagestore.Options{})
	stores.Lock()
	if err != nil {
		return nil, err
	}
	if o, err = attach(s, true); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return o, nil
}

// checkStore returns an error if there is no store in a directory.
func checkStore(dir string) error {
	_, err := os.Stat(filepath.Join(dir, "pages"))
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, "store", "pages")); err == nil { // hako's --data
		return fmt.Errorf("%w in %s itself: say store=%s", ErrNoStore, dir, filepath.Join(dir, "store"))
	}
	return fmt.Errorf("%w in %s: name a database, without a version, and add create=1 to make both", ErrNoStore, dir)
}

func takeOff(key string) *flight {
	f := &flight{done: make(chan struct{})}
	stores.under[key] = f
	return f
}

func (f *flight) land(key string, err error) {
	f.err = err
	delete(stores.under, key)
	close(f.done)
}

// retain adds a reference.
func (o *openStore) retain() {
	stores.Lock()
	o.refs++
	stores.Unlock()
}

// release drops a reference; the last one closes a store that was opened here.
func (o *openStore) release() error {
	stores.Lock()
	defer stores.Unlock()
	if o.refs--; o.refs > 0 || !o.owned && !o.replaced {
		return nil
	}
	if open := o.vfs.Open(); len(open) > 0 { // of modernc's own driver, by the VFS's name
		if o.replaced {
			return nil // the VFS stays
		}
		o.refs++
		return fmt.Errorf("close store %s: %w: %s: close them first", o.dir, ErrInUse, strings.Join(open, ", "))
	}
	o.forget()
	if !o.owned {
		return nil
	}
	key := dirKey(o.dir)
	f := takeOff(key)
	stores.Unlock()
	err := o.vfs.Store().Close()
	stores.Lock()
	f.land(key, nil)
	return err
}

// fileExists also says yes if it cannot know.
func fileExists(name string) bool {
	_, err := os.Lstat(name)
	return !errors.Is(err, fs.ErrNotExist)
}

// dirKey is the same for all names of a directory, which need not exist yet.
func dirKey(dir string) string {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return dir
	}
	rest := ""
	for at := abs; ; at = filepath.Dir(at) {
		if real, err := filepath.EvalSymlinks(at); err == nil {
			return filepath.Join(real, rest)
		}
		if at == filepath.Dir(at) {
			return abs
		}
		rest = filepath.Join(filepath.Base(at), rest)
	}
}
