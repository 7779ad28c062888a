package pagestore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// records counts all that a store holds of a database.
func records(t testing.TB, s *Store, id uint32) int64 {
	t.Helper()
	n := int64(0)
	for _, kind := range []byte{keyDB, keyCommit, keyTime, keyTag, keyBranch, keyPage, keySkip, keyStaged, keyDeleted} {
		k, err := s.count(dbKey(kind, id), dbEnd(kind, id))
		if err != nil {
			t.Fatal(err)
		}
		n += k
	}
	return n
}

// TestDelete deletes databases that snapshots, transactions and branches need,
// and sees their data go when the last of these does.
func TestDelete(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewMem()
	s := openTest(t, fs, Options{})
	d := create(t, s, "shop", 512)
	put(t, d, 1, 1, 2, 3)
	put(t, d, 2, 1)
	w, err := d.TryWriter()
	if err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error)
	go func() { _, err := d.Writer(ctx); waiting <- err }()
	tx := begin(t, d, TxOptions{Writer: w})
	tx.WritePage(1, make([]byte, 512))
	old := snapshot(t, d, 1)
	if err := s.Delete("shop"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Database("shop"); !errors.Is(err, ErrUnknownDatabase) {
		t.Errorf("by name: %v", err)
	}
	if err := s.Delete("shop"); !errors.Is(err, ErrUnknownDatabase) {
		t.Errorf("twice: %v", err)
	}
	again := create(t, s, "shop", 512) // the name is free
	put(t, again, 9, 1)
	if _, err := tx.Commit(ctx); !errors.Is(err, ErrDeleted) {
		t.Errorf("commit: %v", err)
	}
	w.Close()
	if err := <-waiting; !errors.Is(err, ErrDeleted) {
		t.Errorf("a writer in the queue: %v", err)
	}
	for what, err := range map[string]error{
		"tag": d.Tag(1, "x"), "untag": d.Untag("x"), "retention": d.SetRetention(Retention{Count: 1}),
		"begin": second(d.Begin(TxOptions{})), "head": second(d.HeadSnapshot()), "snapshot": second(d.Snapshot(2)),
	} {
		if !errors.Is(err, ErrDeleted) {
			t.Errorf("%s: %v", what, err)
		}
	}
	wantSeed(t, old, 1, 1)
	b, err := s.Branch(old, "rescued") // an open snapshot is as good as ever
	if err != nil {
		t.Fatal(err)
	}
	more, err := old.Clone()
	if err != nil {
		t.Fatal(err)
	}
	old.Close()
	tx.Rollback()
	more.Close()
	if err := s.TrimAll(ctx); err != nil {
		t.Fatal(err)
	}
	if n, err := s.count(dbKey(keyPage, d.id), dbEnd(keyPage, d.id)); err != nil || n != 3 {
		t.Errorf("%d page records are left for the branch, want 3: %v", n, err)
	}
	if i, err := b.Info(); err != nil || i.Parent != "(deleted shop)@1" {
		t.Errorf("%+v, %v", i, err)
	}
	closeStore(t, s)
	s = openTest(t, fs, Options{})
	if b, err = s.Database("rescued"); err != nil {
		t.Fatal(err)
	}
	sn := snapshot(t, b, 0)
	for n := uint32(1); n <= 3; n++ {
		wantSeed(t, sn, n, 1)
	}
	wantSound(t, b)
	if err := s.Delete("rescued"); err != nil {
		t.Fatal(err)
	}
	if records(t, s, d.id) == 0 || records(t, s, b.id) == 0 {
		t.Error("a snapshot is open, but its data are gone")
	}
	wantSeed(t, sn, 2, 1)
	sn.Close()
	if n := records(t, s, d.id) + records(t, s, b.id); n != 0 {
		t.Errorf("%d records are left of databases that nothing needs", n)
	}
	closeStore(t, s)
}

func second[T any](_ T, err error) error { return err }

// TestDeleteAtCrash leaves a deleted database with an open snapshot to the
// next Open, which removes it.
func TestDeleteAtCrash(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := openTest(t, fs, Options{})
	d := create(t, s, "shop", 512)
	put(t, d, 1, 1)
	sn := snapshot(t, d, 1)
	b, err := s.Branch(sn, "b")
	if err != nil {
		t.Fatal(err)
	}
	bsn := snapshot(t, b, 0)
	if err := errors.Join(s.Delete("shop"), s.Delete("b")); err != nil {
		t.Fatal(err)
	}
	again := openTest(t, fs.CrashClone(vfs.CrashCloneCfg{}), Options{})
	if n := records(t, again, d.id) + records(t, again, b.id); n != 0 {
		t.Errorf("%d records are left", n)
	}
	if e := create(t, again, "shop", 512); e.id <= b.id {
		t.Errorf("number %d was given twice", e.id)
	}
	closeStore(t, again)
	bsn.Close()
	sn.Close()
	closeStore(t, s)
}

// TestDeleteRaces deletes, creates, renames and branches databases while
// others look them up, list, trim and read them. Nobody is told that the
// store is damaged, and nothing is left behind.
func TestDeleteRaces(t *testing.T) {
	s := openTest(t, vfs.NewMem(), Options{TrimInterval: 2 * time.Millisecond, MemTable: 1 << 20})
	ctx := context.Background()
	var stop atomic.Bool
	var wg sync.WaitGroup
	allowed := func(err error) bool {
		return err == nil || errors.Is(err, ErrUnknownDatabase) || errors.Is(err, ErrDeleted) || errors.Is(err, ErrExists) ||
			errors.Is(err, ErrConflict) || errors.Is(err, ErrTrimmed)
	}
	loop := func(what string, f func(i int) error) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := 0; !stop.Load(); i++ {
				if err := f(i); !allowed(err) {
					t.Errorf("%s: %v", what, err)
					stop.Store(true)
				}
			}
		}()
	}
	name := func(i int) string { return fmt.Sprintf("db%d", i%3) }
	var highest atomic.Uint32
	for w := range 2 {
		loop("make", func(i int) error {
			d, err := s.Create(name(i+w), CreateOptions{PageSize: 512, Retain: Retention{Count: 2}})
			if err != nil {
				return err
			}
			for { // numbers only grow
				if h := highest.Load(); h >= d.id || highest.CompareAndSwap(h, d.id) {
					break
				}
			}
			for range 4 {
				if err := commitOne(d); err != nil {
					return err
				}
			}
			sn, err := d.HeadSnapshot()
			if err != nil {
				return err
			}
			defer sn.Close()
			if _, err := s.Branch(sn, "b"+name(i)); err != nil {
				return err
			}
			return sn.ReadPage(1, make([]byte, 512))
		})
	}
	loop("delete", func(i int) error { time.Sleep(time.Millisecond); return s.Delete(name(i)) })
	loop("delete branch", func(i int) error { time.Sleep(time.Millisecond); return s.Delete("b" + name(i)) })
	loop("rename", func(i int) error { time.Sleep(3 * time.Millisecond); return s.Rename(name(i), name(i+1)) })
	loop("list", func(int) error { return second(s.Databases()) })
	loop("trim", func(int) error { return s.TrimAll(ctx) })
	loop("trim one", func(i int) error {
		d, err := s.Database("b" + name(i))
		if err != nil {
			return err
		}
		return second(d.Trim(ctx, TrimOptions{Retain: Retention{Count: 1}, NoCompact: true}))
	})
	loop("read", func(i int) error {
		sn, err := s.Snapshot(Ref{Database: name(i)})
		if err != nil {
			return err
		}
		defer sn.Close()
		if sn.PageCount() == 0 {
			return nil
		}
		return sn.ReadPage(1, make([]byte, 512))
	})
	loop("verify", func(i int) error {
		d, err := s.Database("b" + name(i))
		if err != nil {
			return err
		}
		found, err := d.Verify(ctx, nil)
		return errors.Join(append(found, err)...)
	})
	for n := 0; n < 70 || n < 2000 && highest.Load() < 10 && !stop.Load(); n++ {
		time.Sleep(10 * time.Millisecond)
	}
	stop.Store(true)
	wg.Wait()
	names, err := s.Names()
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if err := s.Delete(n); err != nil {
			t.Error(err)
		}
	}
	left := int64(0)
	for id := range highest.Load() + 1 {
		if id == 0 {
			continue
		}
		if n := records(t, s, id); n != 0 && left == 0 {
			t.Errorf("%d records are left of database %d", n, id)
			left = n
		}
	}
	if highest.Load() < 10 {
		t.Errorf("only %d databases were made: the test tests little", highest.Load())
	}
	closeStore(t, s)
}

// TestNames tells of names taken, names wrong, and names nearly right.
func TestNames(t *testing.T) {
	s := openTest(t, vfs.NewMem(), Options{})
	defer closeStore(t, s)
	for _, n := range []string{"shop", "orders", "customers"} {
		create(t, s, n, 512)
	}
	for asked, want := range map[string]string{"shpo": "shop", "Shop": "shop", "shops": "shop", "order": "orders", "custmoers": "customers",
		"x": "", "invoices": "", "sh": ""} {
		var u *UnknownDatabaseError
		if _, err := s.Database(asked); !errors.As(err, &u) || u.Name != asked || u.Nearest != want {
			t.Errorf("%s: got %v, want %q", asked, err, want)
		}
	}
	if _, err := s.Create("shop", CreateOptions{}); !errors.Is(err, ErrExists) {
		t.Error(err)
	}
	if err := s.Rename("shop", "orders"); !errors.Is(err, ErrExists) {
		t.Error(err)
	}
	if err := s.Rename("nobody", "somebody"); !errors.Is(err, ErrUnknownDatabase) {
		t.Error(err)
	}
	for _, bad := range []string{"", "a b", "-x", ".x", "a@b", "a/b", "ä", string(make([]byte, 200))} {
		if _, err := s.Create(bad, CreateOptions{}); !errors.Is(err, ErrName) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := s.Create("odd", CreateOptions{PageSize: 1000}); err == nil {
		t.Error("made a database with pages of 1000 bytes")
	}
	d, err := s.Database("shop")
	if err != nil {
		t.Fatal(err)
	}
	put(t, d, 1, 1)
	if err := s.Rename("shop", "store"); err != nil || d.Name() != "store" {
		t.Fatal(d.Name(), err)
	}
	put(t, d, 2, 1) // who has it open goes on
	if err := errors.Join(d.Tag(1, "first"), d.Tag(1, "first")); err != nil {
		t.Fatal(err)
	}
	if err := d.Tag(2, "first"); !errors.Is(err, ErrExists) {
		t.Error(err)
	}
	if _, err := s.Snapshot(Ref{Database: "store", Kind: RefTag, Tag: "fisrt"}); !errors.Is(err, ErrUnknownTag) || !contain(err, `"first"`) {
		t.Error(err)
	}
	if names, err := s.Names(); err != nil || fmt.Sprint(names) != "[customers orders store]" {
		t.Error(names, err)
	}
	if all, err := s.Databases(); err != nil || len(all) != 3 || all[2].Name != "store" || all[2].Head.Version != 2 {
		t.Errorf("%+v, %v", all, err)
	}
}
