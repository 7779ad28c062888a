package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hako-run/hako/pagestore"
)

func openStoreIn(t *testing.T, dir string) *pagestore.Store {
	t.Helper()
	s, err := pagestore.Open(dir, pagestore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestClosedStoreMakesRoomForAnother(t *testing.T) {
	dir := t.TempDir()
	first := openStoreIn(t, dir)
	old := openDB(t, first, "shop")
	exec(t, old, "CREATE TABLE t(a)")
	oldVFS, err := Attach(first)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil { // with an idle connection, and not detached
		t.Fatal(err)
	}
	if _, err := Attach(first); !errors.Is(err, pagestore.ErrClosed) {
		t.Errorf("attach a closed store: %v", err)
	}

	second := openStoreIn(t, dir)
	db, err := OpenDB(second, "shop")
	if err != nil {
		t.Fatal(err)
	}
	exec(t, db, "INSERT INTO t VALUES (1)")
	if vfs, err := Attach(second); err != nil || vfs == oldVFS {
		t.Errorf("VFS %q after %q: %v", vfs, oldVFS, err)
	}
	if _, err := tryQuery(old, "SELECT * FROM t"); !errors.Is(err, pagestore.ErrClosed) {
		t.Errorf("query in a closed store: %v", err)
	}
	if err := old.Close(); err != nil {
		t.Error(err)
	}
	want(t, query(t, db, "SELECT count(*) FROM t"), "1")
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if err := second.Close(); err != nil { // not detached, nothing open
		t.Fatal(err)
	}
	for range 2 { // and now by the directory
		db, err := sql.Open("hako", "hako:shop?store="+url.QueryEscape(dir))
		if err != nil {
			t.Fatal(err)
		}
		want(t, query(t, db, "SELECT count(*) FROM t"), "1")
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
	stores.RLock()
	defer stores.RUnlock()
	for _, o := range stores.byID {
		if o.dir == dir {
			t.Errorf("%s is registered still, with %d references", o.name, o.refs)
		}
	}
}

// Many open and close one directory, which does not exist at first, by two
// names.
func TestDirectoryIsOpenedOnce(t *testing.T) {
	real := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			dir := filepath.Join([]string{real, link}[i%2], "data", "store")
			for range 4 {
				db, err := sql.Open("hako", "hako:shop?create=1&store="+url.QueryEscape(dir))
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := db.Exec("CREATE TABLE IF NOT EXISTS t(a)"); err != nil {
					t.Error(err)
				}
				if err := db.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

// While a store takes its time to open, others are opened and used.
func TestSlowOpeningHoldsUpOnlyItsDirectory(t *testing.T) {
	slow, other := t.TempDir(), t.TempDir()
	connect := func(dir string) error {
		db, err := sql.Open("hako", "hako:shop?create=1&store="+url.QueryEscape(dir))
		if err != nil {
			return err
		}
		return errors.Join(db.PingContext(context.Background()), db.Close())
	}
	opening := func() *flight {
		stores.Lock()
		defer stores.Unlock()
		return takeOff(dirKey(slow))
	}
	land := func(f *flight, err error) {
		stores.Lock()
		defer stores.Unlock()
		f.land(dirKey(slow), err)
	}
	for _, failure := range []error{errors.New("no luck"), nil} {
		f := opening()
		result := make(chan error, 1)
		go func() { result <- connect(slow) }()
		if err := connect(other); err != nil {
			t.Error(err)
		}
		select {
		case err := <-result:
			t.Errorf("did not wait for the opening under way: %v", err)
		case <-time.After(10 * time.Millisecond):
		}
		land(f, failure)
		if err := <-result; !errors.Is(err, failure) {
			t.Errorf("after an opening that ended with %v: %v", failure, err)
		}
	}
}

func TestStoreIsMadeOnlyIfAskedFor(t *testing.T) {
	data := t.TempDir()
	dir := filepath.Join(data, "store")
	open := func(name, params string) error {
		db, err := sql.Open("hako", "hako:"+name+"?store="+params)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		return db.Ping()
	}
	for _, name := range []string{"shop", "shop@1"} {
		if err := open(name, url.QueryEscape(dir)); !errors.Is(err, ErrNoStore) || !strings.Contains(err.Error(), "create=1") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := open("shop@1", url.QueryEscape(dir)+"&create=1"); !errors.Is(err, ErrNoStore) {
		t.Errorf("a version of what is to be made: %v", err)
	}
	if left, err := os.ReadDir(data); err != nil || len(left) != 0 {
		t.Errorf("made %v (%v)", left, err)
	}
	if err := open("shop", url.QueryEscape(dir)+"&create=1"); err != nil {
		t.Fatal(err)
	}
	if err := open("shop", url.QueryEscape(dir)); err != nil {
		t.Error(err)
	}
	if err := open("shop", url.QueryEscape(data)); !errors.Is(err, ErrNoStore) || !strings.Contains(err.Error(), "store="+dir) {
		t.Errorf("the directory above: %v", err)
	}
}
