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
	id    uintptr
	dir   string
	name  string // of the VFS
	vfs   *vfscore.VFS
	cVFS  uintptr
	refs  int  // connectors and connections
	owned bool // opened here, so closed with the last reference
}

var stores = struct {
	sync.RWMutex
	last  uintptr
	byID  map[uintptr]*openStore
	byDir map[string]*openStore
}{byID: make(map[uintptr]*openStore), byDir: make(map[string]*openStore)}

// ErrInUse is returned, wrapped, when a store is detached while connections to
// it are open.
var ErrInUse = errors.New("connections are open")

func storeOf(pVfs uintptr) *openStore {
	stores.RLock()
	defer stores.RUnlock()
	return stores.byID[at[sqlite3.Tsqlite3_vfs](pVfs).FpAppData]
}

// Attach makes SQLite know an open store, unless it does already, and returns
// the name of its VFS: any connection of modernc.org/sqlite can open
// "file:shop?vfs=NAME". Detach the store before closing it. A [Connector] does
// both by itself.
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
	if o := stores.byDir[key]; o != nil {
		if o.vfs.Store() != s {
			return nil, fmt.Errorf("attach store %s: another store of that directory is attached: detach that first", s.Dir())
		}
		return o, nil
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

func (o *openStore) forget() {
	unregisterVFS(o.cVFS)
	delete(stores.byID, o.id)
	delete(stores.byDir, dirKey(o.dir))
}

// acquireStore returns the store with a reference more, or, if s is nil, that
// of the directory, which is opened if it is not.
func acquireStore(s *pagestore.Store, dir string) (*openStore, error) {
	stores.Lock()
	defer stores.Unlock()
	var o *openStore
	var err error
	if s != nil {
		o, err = attach(s, false)
	} else if o = stores.byDir[dirKey(dir)]; o == nil {
		if s, err = pagestore.Open(dir, pagestore.Options{}); err == nil {
			if o, err = attach(s, true); err != nil {
				s.Close()
			}
		}
	}
	if err != nil {
		return nil, err
	}
	o.refs++
	return o, nil
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
	if o.refs--; o.refs > 0 || !o.owned {
		return nil
	}
	if open := o.vfs.Open(); len(open) > 0 { // of modernc's own driver, by the VFS's name
		o.refs++
		return fmt.Errorf("close store %s: %w: %s: close them first", o.dir, ErrInUse, strings.Join(open, ", "))
	}
	o.forget()
	return o.vfs.Store().Close()
}

// fileExists also says yes if it cannot know.
func fileExists(name string) bool {
	_, err := os.Lstat(name)
	return !errors.Is(err, fs.ErrNotExist)
}

// dirKey is the same for all names of a directory.
func dirKey(dir string) string {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	return dir
}
