package server

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hako-run/hako/internal/guestbuild"
)

// A writer is an app that keeps what it is sent, and where to ask for that.
type writer struct {
	database string
	send     func(ctx context.Context, client *http.Client, base, id string) error
}

var writers = []writer{
	{"guestbook", func(ctx context.Context, client *http.Client, base, id string) error { // SQL runs in the server
		form := url.Values{"name": {id}, "text": {"a word"}}.Encode()
		r, err := http.NewRequestWithContext(ctx, "POST", base+"/", strings.NewReader(form))
		if err != nil {
			return err
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := client.Transport.RoundTrip(r) // the redirect is the answer
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusSeeOther {
			return refused(resp.StatusCode)
		}
		return nil
	}},
	{"notes", func(ctx context.Context, client *http.Client, base, id string) error { // SQLite is in the guest
		status, body, err := fetch(ctx, client, "GET", base+"/notes/?"+id, nil)
		switch {
		case err != nil:
			return err
		case status != 200:
			return refused(status)
		case body != id:
			return fmt.Errorf("the answer is of %q", body)
		}
		return nil
	}},
}

// refused is an answer that says that nothing was written.
type refused int

func (r refused) Error() string { return fmt.Sprintf("answered %d", int(r)) }

// A kill -9 in the middle of load loses nothing that was acknowledged, and the
// server is up again soon.
func TestKill(t *testing.T) {
	rounds := 3
	switch {
	case *long:
		rounds = 60
	case testing.Short():
		t.Skip("the server is a process of its own, which the race detector does not see")
	}
	dir, data := t.TempDir(), t.TempDir()
	guestbuild.ShareCompiled(t, data)
	lib, err := libhakosqlite()
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`
[server]
listen = ["127.0.0.1:0"]
[[database]]
name = "guestbook"
[[database]]
name = "notes"
[[app]]
name = "guestbook"
image = %q
databases = ["guestbook"]
template = { warm = ["/"] }
[[app]]
name = "notes"
image = %q
databases = ["notes"]
[[route]]
match = { path = "/notes/*" }
strip = "/notes"
app = "notes"
[[route]]
app = "guestbook"
`, guestbuild.Go(t, "../../examples/guestbook", "-buildmode=c-shared", "-ldflags=-s -w"),
		guestbuild.C(t, []string{"-O2", "-mexec-model=reactor", "-I../../guest/c", "-I" + lib, "testdata/notes/notes.c", filepath.Join(lib, "libhakosqlite.a")}))
	if err := os.WriteFile(filepath.Join(dir, "hako.toml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	kept := make([]map[string]bool, len(writers)) // true: acknowledged; false: sent
	for i := range kept {
		kept[i] = map[string]bool{}
	}
	p := up(t, dir, data)
	var starts []time.Duration
	acknowledged := 0
	for round := range rounds {
		writeAndKill(t, p, round, time.Duration(20+random.IntN(400))*time.Millisecond, kept)
		began := time.Now()
		p = up(t, dir, data)
		client := &http.Client{Transport: &http.Transport{}}
		for _, path := range []string{"/", "/notes/"} {
			if status, body, err := fetch(t.Context(), client, "GET", "http://"+p.addresses[0]+path, nil); err != nil || status != 200 {
				t.Fatalf("%s after a crash: %d %q, %v", path, status, body, err)
			}
		}
		starts = append(starts, time.Since(began))
		client.CloseIdleConnections()
		for i, w := range writers {
			there := map[string]int{}
			for _, id := range strings.Fields(output(t, data, "db", "shell", w.database, "SELECT name FROM entry")) {
				there[id]++
				if _, sent := kept[i][id]; !sent || there[id] > 1 {
					t.Errorf("%s has %q %d times, sent %v", w.database, id, there[id], sent)
				}
			}
			for id, ack := range kept[i] {
				if ack && there[id] == 0 {
					t.Errorf("%s lost %s, which was acknowledged", w.database, id)
				}
			}
		}
		if t.Failed() {
			t.FailNow()
		}
	}
	p.stop()
	output(t, data, "db", "verify")
	for i := range writers {
		n := 0
		for _, ack := range kept[i] {
			if ack {
				n++
			}
		}
		if n == 0 {
			t.Errorf("%s took nothing", writers[i].database)
		}
		acknowledged += n
	}
	slices.Sort(starts)
	t.Logf("%d crashes, %d writes acknowledged; from start to the first answers of both apps: median %v, longest %v",
		rounds, acknowledged, starts[len(starts)/2].Round(time.Millisecond), starts[len(starts)-1].Round(time.Millisecond))
	// A second is what it is to stay below on a machine that has time for it.
	if median := starts[len(starts)/2]; median > 10*time.Second {
		t.Errorf("starting again took %v", median)
	}
}

// writeAndKill writes from all sides until, some time after the first answers, the
// server is killed.
func writeAndKill(t *testing.T, p *process, round int, lasts time.Duration, kept []map[string]bool) {
	t.Helper()
	var (
		wait   sync.WaitGroup
		mu     sync.Mutex
		number atomic.Int64
		killed atomic.Bool
		acks   = make(chan struct{}, 1)
	)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
	defer client.CloseIdleConnections()
	for worker := range 8 {
		wait.Go(func() {
			i := worker % len(writers)
			for !killed.Load() {
				id := fmt.Sprintf("%d-%d", round, number.Add(1))
				mu.Lock()
				kept[i][id] = false
				mu.Unlock()
				// Without the client's own retries: each is sent once.
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				err := writers[i].send(ctx, client, "http://"+p.addresses[0], id)
				cancel()
				if err != nil {
					if _, isAnswer := err.(refused); isAnswer || !killed.Load() {
						t.Errorf("%s %s before the crash: %v", writers[i].database, id, err)
					}
					return
				}
				mu.Lock()
				kept[i][id] = true
				mu.Unlock()
				select {
				case acks <- struct{}{}:
				default:
				}
			}
		})
	}
	ended := make(chan struct{})
	go func() { wait.Wait(); close(ended) }()
	select {
	case <-acks:
		time.Sleep(lasts)
	case <-ended:
	}
	killed.Store(true)
	p.kill()
	<-ended
}
