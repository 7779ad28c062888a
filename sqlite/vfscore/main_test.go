package vfscore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/hako-run/hako/pagestore"
)

func newVFS(t testing.TB) *VFS {
	t.Helper()
	s, err := pagestore.Open(t.TempDir(), pagestore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return New(s, Options{})
}

func open(t testing.TB, s *Session, name string) *Main {
	t.Helper()
	m, code := s.OpenMain(name, OpenOptions{Create: true})
	if code != OK {
		t.Fatalf("open %s: %d: %v", name, code, s.Err())
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// must fails the test unless code is want.
func must(t testing.TB, s *Session, code, want Code) {
	t.Helper()
	if code != want {
		t.Fatalf("code %d, want %d: %v", code, want, s.Err())
	}
}

// page1 makes a first page as SQLite writes it.
func page1(ps int, count, counter, cookie uint32, fill byte) []byte {
	p := bytes.Repeat([]byte{fill}, ps)
	binary.BigEndian.PutUint16(p[offPageSize:], uint16(ps)) // 65536 becomes 0 here: not used
	p[offWriteMode], p[offReadMode] = 1, 1
	binary.BigEndian.PutUint32(p[offPageCount:], count)
	binary.BigEndian.PutUint32(p[offCookie:], cookie)
	Header(p).setCounters(counter, counter)
	return p
}

// write does what SQLite does for one transaction, up to the commit point.
func write(t testing.TB, m *Main, fill byte, pages uint32) {
	t.Helper()
	must(t, m.s, m.Lock(LockShared), OK)
	header := make([]byte, 16)
	counter := uint32(0)
	if m.Read(header, offCounter) == OK {
		counter = binary.BigEndian.Uint32(header)
	}
	must(t, m.s, m.Lock(LockReserved), OK)
	m.OpenJournal()
	must(t, m.s, m.Lock(LockExclusive), OK)
	ps := m.snap.PageSize()
	must(t, m.s, m.Write(page1(ps, pages, counter+1, 1, fill), 0), OK)
	for n := uint32(2); n <= pages; n++ {
		must(t, m.s, m.Write(bytes.Repeat([]byte{fill}, ps), int64(n-1)*int64(ps)), OK)
	}
}

// end does what SQLite does after the commit point.
func end(m *Main) {
	if m.journal != nil {
		m.journal.Close()
	}
	m.Unlock(LockShared)
	m.Unlock(LockNone)
}

func TestCommitIsAtSyncDatabase(t *testing.T) {
	v := newVFS(t)
	a, b := v.NewSession(SessionOptions{}), v.NewSession(SessionOptions{})
	m, o := open(t, a, "db"), open(t, b, "db")
	write(t, m, 1, 3)
	if got := o.Commit().Version; got != 0 {
		t.Errorf("visible before the commit: version %d", got)
	}
	must(t, a, m.SyncDatabase(""), OK)
	if got := o.Commit().Version; got != 1 {
		t.Errorf("version %d", got)
	}
	must(t, a, m.Truncate(2*4096), OK) // what SQLite may cut off afterwards
	end(m)
	if n, _ := o.Size(); n != 3*4096 {
		t.Errorf("size %d", n)
	}
	must(t, b, o.Lock(LockShared), OK)
	p := make([]byte, 4096)
	must(t, b, o.Read(p, 2*4096), OK)
	if p[0] != 1 {
		t.Errorf("page 3 begins with %d", p[0])
	}
	must(t, b, o.Read(p, 3*4096), IOErrShortRead)
	must(t, b, o.Read(p[:200], 3*4096-100), IOErrShortRead)
	if p[99] != 1 || p[100] != 0 {
		t.Errorf("read across the end: %d, %d", p[99], p[100])
	}
}

func TestPlaybackIsNoCommit(t *testing.T) {
	v := newVFS(t)
	s := v.NewSession(SessionOptions{})
	m := open(t, s, "db")
	write(t, m, 1, 2)
	must(t, s, m.SyncDatabase(""), OK)
	end(m)
	write(t, m, 2, 2)
	counter := m.counter
	must(t, s, m.Write(page1(4096, 2, counter, 1, 1), 0), OK)
	must(t, s, m.SyncDatabase(""), OK)
	end(m)
	if got := m.Commit().Version; got != 1 {
		t.Errorf("a rollback made version %d", got)
	}
	write(t, m, 3, 2)
	must(t, s, m.Truncate(0), OK)
	must(t, s, m.SyncDatabase(""), OK)
	end(m)
	if got := m.Commit().Version; got != 1 {
		t.Errorf("a rollback to nothing made version %d", got)
	}
}

func TestAfterAFailedCommitWritesAreDiscarded(t *testing.T) {
	v := newVFS(t)
	plain, optimistic := v.NewSession(SessionOptions{}), v.NewSession(SessionOptions{Optimistic: true})
	m, o := open(t, optimistic, "db"), open(t, plain, "db")
	write(t, o, 1, 2)
	must(t, plain, o.SyncDatabase(""), OK)
	end(o)
	write(t, m, 2, 2)
	write(t, o, 3, 2)
	must(t, plain, o.SyncDatabase(""), OK)
	end(o)
	must(t, optimistic, m.SyncDatabase(""), BusySnapshot)
	if !errors.Is(optimistic.Err(), pagestore.ErrConflict) {
		t.Error(optimistic.Err())
	}
	must(t, optimistic, m.SyncDatabase(""), BusySnapshot) // COMMIT again
	counter := m.counter
	must(t, optimistic, m.Write(page1(4096, 2, counter, 1, 1), 0), OK)
	must(t, optimistic, m.SyncDatabase(""), OK) // rolled back
	end(m)
	if got := m.Commit().Version; got != 2 {
		t.Errorf("version %d", got)
	}
	write(t, m, 4, 2)
	must(t, optimistic, m.SyncDatabase(""), OK)
	end(m)
}

func TestSecondCommitUnderOneLockFails(t *testing.T) {
	v := newVFS(t)
	s := v.NewSession(SessionOptions{})
	m := open(t, s, "db")
	write(t, m, 1, 2)
	must(t, s, m.SyncDatabase(""), OK)
	must(t, s, m.Write(make([]byte, 4096), 4096), IOErrWrite)
	end(m)
	if m.Reserved() {
		t.Error("still locked")
	}
}

func TestWriteWithoutJournalFails(t *testing.T) {
	v := newVFS(t)
	s := v.NewSession(SessionOptions{})
	m := open(t, s, "db")
	must(t, s, m.Write(make([]byte, 4096), 0), IOErrWrite)
	must(t, s, m.Lock(LockShared), OK)
	must(t, s, m.Lock(LockReserved), OK)
	must(t, s, m.Write(make([]byte, 4096), 0), IOErrWrite)
}

func TestReservedLockOfAStaleSnapshotIsRefused(t *testing.T) {
	v := newVFS(t)
	a, b := v.NewSession(SessionOptions{}), v.NewSession(SessionOptions{})
	m, o := open(t, a, "db"), open(t, b, "db")
	must(t, b, o.Lock(LockShared), OK)
	write(t, m, 1, 2)
	must(t, b, o.Lock(LockReserved), Busy)
	must(t, a, m.SyncDatabase(""), OK)
	end(m)
	must(t, b, o.Lock(LockReserved), BusySnapshot)
	must(t, b, o.Unlock(LockNone), OK)
	if !b.Busy(0) { // no time-out, but the lock is free
		t.Error("busy")
	}
	must(t, a, m.Lock(LockShared), OK)
	must(t, a, m.Lock(LockReserved), Busy) // the turn is kept
	must(t, b, o.Lock(LockReserved), OK)
	must(t, b, o.Unlock(LockNone), OK)
	must(t, a, m.Lock(LockReserved), OK)
}

func TestSuperJournalCommitsAllOrNone(t *testing.T) {
	v := newVFS(t)
	for _, fails := range []bool{false, true} {
		s := v.NewSession(SessionOptions{Optimistic: true})
		x, y := open(t, s, "x"), open(t, s, "y")
		was := [2]pagestore.Version{x.Commit().Version, y.Commit().Version}
		write(t, x, 1+byte(was[0]), 2)
		write(t, y, 1+byte(was[0]), 2)
		if fails {
			other := v.NewSession(SessionOptions{})
			o := open(t, other, "y")
			write(t, o, 9, 2)
			must(t, other, o.SyncDatabase(""), OK)
			end(o)
			was[1]++
		}
		const name = "x-mj0123456789"
		j := s.OpenSuper(name, true)
		must(t, s, j.Write([]byte("x-journal\x00y-journal\x00"), 0), OK)
		must(t, s, x.SyncDatabase(name), OK)
		if fails {
			must(t, s, y.SyncDatabase(name), OK) // the conflict shows at the commit point
		} else {
			must(t, s, s.Delete(name, true), IOErrDelete) // not all are ready
			end(x)
			end(y)
			write(t, x, 1+byte(was[0]), 2)
			write(t, y, 1+byte(was[0]), 2)
			j = s.OpenSuper(name, true)
			must(t, s, j.Write([]byte("x-journal\x00y-journal\x00"), 0), OK)
			must(t, s, x.SyncDatabase(name), OK)
			must(t, s, y.SyncDatabase(name), OK)
		}
		must(t, s, j.Close(), OK)
		code := s.Delete(name, true)
		if fails {
			must(t, s, code, BusySnapshot)
			if !s.Exists(name) {
				t.Error("SQLite needs the super-journal to roll back")
			}
		} else {
			must(t, s, code, OK)
			was[0]++
			was[1]++
		}
		end(x)
		end(y)
		if s.Exists(name) {
			t.Error("the super-journal is still there")
		}
		if now := [2]pagestore.Version{x.Commit().Version, y.Commit().Version}; now != was {
			t.Errorf("versions %v, want %v", now, was)
		}
	}
}

// TestRandomFileOperations does what SQLite might to a database file, unaligned
// and beyond the end, and compares with a byte slice.
func TestRandomFileOperations(t *testing.T) {
	v := newVFS(t)
	s := v.NewSession(SessionOptions{})
	m := open(t, s, "db")
	r := rand.New(rand.NewPCG(1, 2))
	var file []byte // as committed
	versions := map[pagestore.Version][]byte{}
	for round := range 60 {
		must(t, s, m.Lock(LockShared), OK)
		must(t, s, m.Lock(LockReserved), OK)
		m.OpenJournal()
		counter := m.counter
		model := bytes.Clone(file)
		compare := func() {
			t.Helper()
			if n, _ := m.Size(); n != int64(len(model)) {
				t.Fatalf("round %d: size %d, want %d", round, n, len(model))
			}
			off, n := r.IntN(len(model)+5000), 1+r.IntN(9000)
			want := make([]byte, n)
			got := bytes.Repeat([]byte{7}, n)
			code := OK
			if off >= len(model) || copy(want, model[off:]) < n {
				code = IOErrShortRead
			}
			must(t, s, m.Read(got, int64(off)), code)
			if !bytes.Equal(got, want) {
				t.Fatalf("round %d: read %d bytes at %d differ", round, n, off)
			}
		}
		for range 20 {
			switch r.IntN(4) {
			case 0:
				n := r.IntN(len(model) + 8192)
				must(t, s, m.Truncate(int64(n)), OK)
				model = append(model, make([]byte, max(0, n-len(model)))...)[:n]
			default:
				p := make([]byte, 1+r.IntN(9000))
				for i := range p {
					p[i] = byte(r.Uint32())
				}
				off := r.IntN(len(model) + 4096)
				must(t, s, m.Write(p, int64(off)), OK)
				model = append(model, make([]byte, max(0, off+len(p)-len(model)))...)
				copy(model[off:], p)
			}
			compare()
		}
		if round%3 == 2 { // given up
			end(m)
			continue
		}
		ps := []int{512, 1024, 4096, 8192}[r.IntN(4)]
		if round%4 != 0 && len(file) > 0 {
			ps = Header(file).PageSize()
		}
		pages := uint32(len(model)/ps + 1)
		first := page1(ps, pages, counter+1, uint32(round), byte(round))
		must(t, s, m.Write(first, 0), OK)
		model = append(model, make([]byte, int(pages)*ps)...)[:int(pages)*ps]
		copy(model, first)
		must(t, s, m.SyncDatabase(""), OK)
		file = model
		compare()
		c := m.Commit()
		versions[c.Version] = bytes.Clone(file)
		if c.PageSize != ps || c.PageCount != pages {
			t.Fatalf("round %d: %d pages of %d bytes, want %d of %d", round, c.PageCount, c.PageSize, pages, ps)
		}
		end(m)
	}
	for version, want := range versions {
		old := open(t, s, fmt.Sprintf("db@%d", version))
		got := make([]byte, len(want))
		must(t, s, old.Lock(LockShared), OK)
		must(t, s, old.Read(got, 0), OK)
		Header(got).setCounters(0, 0)
		Header(want).setCounters(0, 0)
		if !bytes.Equal(got, want) {
			t.Errorf("version %d differs", version)
		}
		must(t, s, old.Lock(LockReserved), ReadOnly)
	}
}
