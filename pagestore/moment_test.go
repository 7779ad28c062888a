package pagestore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func contain(err error, s string) bool { return err != nil && strings.Contains(err.Error(), s) }

// A clock is set by hand.
type clock struct{ ns atomic.Int64 }

func (c *clock) now() time.Time { return time.Unix(0, c.ns.Load()).UTC() }

func (c *clock) set(t time.Time) { c.ns.Store(t.UnixNano()) }

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// TestTimeTravel asks for a database at every moment of its life, before and
// after it, trimmed and not, while the clock stands still and goes backwards.
func TestTimeTravel(t *testing.T) {
	var c clock
	c.set(noon)
	s := openTest(t, vfs.NewMem(), Options{Now: c.now})
	defer closeStore(t, s)
	d := create(t, s, "shop", 512)
	at := func(when time.Time) (Version, error) {
		sn, err := s.Snapshot(Ref{Database: "shop", Kind: RefTime, Time: when})
		if err != nil {
			return 0, err
		}
		defer sn.Close()
		return sn.Version(), nil
	}
	want := func(when time.Time, v Version) {
		t.Helper()
		if got, err := at(when); err != nil || got != v {
			t.Fatalf("at %s: version %d, %v, want %d", when.Format(time.RFC3339Nano), got, err, v)
		}
	}
	times := []time.Time{noon}
	for i := 1; i <= 20; i++ {
		switch {
		case i == 8: // stands still
		case i == 12:
			c.set(noon.Add(-time.Hour)) // set back
		case i == 15:
			c.set(times[14].Add(time.Minute))
		default:
			c.ns.Add(int64(time.Minute))
		}
		k := put(t, d, uint64(i), 1)
		if !k.Time.After(times[i-1]) {
			t.Fatalf("version %d is of %s, after %s", i, k.Time, times[i-1])
		}
		times = append(times, k.Time)
	}
	check := func(oldest Version) {
		t.Helper()
		for i := oldest; i <= 20; i++ {
			want(times[i], i)
			if i > oldest {
				want(times[i].Add(-1), i-1)
			}
		}
	}
	check(0)
	if _, err := at(noon.Add(-1)); !errors.Is(err, ErrBeforeStart) {
		t.Errorf("before the start: %v", err)
	}
	if _, err := at(c.now().Add(time.Second)); !errors.Is(err, ErrFuture) {
		t.Errorf("in the future: %v", err)
	}
	for _, far := range []time.Time{{}, time.Unix(0, 0), time.Unix(1<<40, 0)} {
		if _, err := at(far); !errors.Is(err, ErrFuture) && !errors.Is(err, ErrBeforeStart) {
			t.Errorf("at %s: %v", far, err)
		}
	}
	// An answer given stays: what commits next is later.
	c.ns.Add(int64(time.Hour))
	asked := c.now()
	want(asked, 20)
	c.set(noon)
	if k := put(t, d, 21, 1); !k.Time.After(asked) {
		t.Errorf("version 21 is of %s, but at %s the head was 20", k.Time, asked)
	}
	want(asked, 20)
	c.set(asked.Add(time.Hour))

	if err := d.Tag(5, "five"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Trim(context.Background(), TrimOptions{Before: 10}); err != nil {
		t.Fatal(err)
	}
	check(10)
	want(times[5], 5) // the tagged one, at its very time
	for _, v := range []Version{0, 3, 4, 6, 9} {
		if got, err := at(times[v]); !errors.Is(err, ErrTrimmed) {
			t.Errorf("at the time of %d: %d, %v", v, got, err)
		}
	}
	if got, err := at(times[5].Add(1)); !errors.Is(err, ErrTrimmed) { // 5 was the head then, but up to when is not known
		t.Errorf("just after 5: %d, %v", got, err)
	}
	var gone *VersionError
	if _, err := d.Snapshot(7); !errors.As(err, &gone) || gone.Oldest != 10 || fmt.Sprint(gone.Kept) != "[5]" {
		t.Errorf("%v", err)
	}
	ago, err := s.Snapshot(Ref{Database: "shop", Kind: RefAgo, Ago: c.now().Sub(times[17])})
	if err != nil || ago.Version() != 17 {
		t.Fatal(ago, err)
	}
	ago.Close()
	var log []Version
	for k, err := range d.Log(LogOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		log = append(log, k.Version)
	}
	if fmt.Sprint(log) != "[21 20 19 18 17 16 15 14 13 12 11 10 5]" {
		t.Errorf("log: %v", log)
	}
	wantSound(t, d)
}

// TestMoment commits over two databases while others open both at one moment,
// by head and by time: they see each commit in both or in neither. And the
// same time always gives the same versions, also when it is asked for while a
// commit is under way.
func TestMoment(t *testing.T) {
	s := openTest(t, vfs.NewMem(), Options{})
	defer closeStore(t, s)
	a, b := create(t, s, "a", 512), create(t, s, "b", 512)
	put(t, a, 1, 1)
	put(t, b, 1, 1)
	var seed atomic.Uint64
	seed.Store(1)
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 3 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			buf := make([]byte, 512)
			for !stop.Load() {
				x, y := begin(t, a, TxOptions{}), begin(t, b, TxOptions{})
				content(buf, 1, seed.Add(1))
				x.WritePage(1, buf)
				y.WritePage(1, buf)
				if _, err := s.Commit(context.Background(), x, y); err != nil && !errors.Is(err, ErrConflict) {
					t.Error(err)
				}
				x.Rollback()
				y.Rollback()
			}
		}()
	}
	type answer struct {
		at   time.Time
		a, b Version
	}
	var answers []answer
	buf := make([]byte, 512)
	look := func(refs ...Ref) (v [2]Version) {
		t.Helper()
		sns, err := s.Snapshots(refs...)
		if err != nil {
			t.Fatal(err)
		}
		var seen [2]uint64
		for i, sn := range sns {
			if err := sn.ReadPage(1, buf); err != nil {
				t.Fatal(err)
			}
			seen[i], v[i] = seedOf(buf), sn.Version()
			sn.Close()
		}
		if seen[0] != seen[1] {
			t.Fatalf("%s shows commit %d, %s shows %d", sns[0], seen[0], sns[1], seen[1])
		}
		return v
	}
	for end := time.Now().Add(400 * time.Millisecond); time.Now().Before(end); {
		look(Ref{Database: "a"}, Ref{Database: "b"})
		now := time.Now()
		v := look(Ref{Database: "a", Kind: RefTime, Time: now}, Ref{Database: "b", Kind: RefTime, Time: now})
		answers = append(answers, answer{now, v[0], v[1]})
		look(Ref{Database: "b", Kind: RefAgo}, Ref{Database: "a", Kind: RefAgo})
	}
	stop.Store(true)
	wg.Wait()
	for _, x := range answers {
		v := look(Ref{Database: "a", Kind: RefTime, Time: x.at}, Ref{Database: "b", Kind: RefTime, Time: x.at})
		if v[0] != x.a || v[1] != x.b {
			t.Fatalf("at %s: first %d and %d, later %d and %d", x.at, x.a, x.b, v[0], v[1])
		}
	}
	if len(answers) < 3 || a.Head().Version < 5 {
		t.Errorf("%d answers, %d versions: the test tests little", len(answers), a.Head().Version)
	}
}
