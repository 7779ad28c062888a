package pagestore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestMain lets the test binary run itself as the process that gets killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("HAKO_KILL_DIR"); dir != "" {
		killMe(dir)
		return
	}
	os.Exit(m.Run())
}

const killDBs = 5

// killMe commits until it is killed, reporting each acknowledged commit on
// standard output: database, version, then page and seed of each write.
func killMe(dir string) {
	s, err := Open(dir, Options{Logger: quiet, MemTable: 128 << 10, SpillBytes: 2048, TrimInterval: 5 * time.Millisecond})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	var mu sync.Mutex
	say := func(format string, args ...any) {
		mu.Lock()
		fmt.Printf(format+"\n", args...)
		mu.Unlock()
	}
	fmt.Println("ready")
	for i := range 2 * killDBs {
		go func() {
			rng := rand.New(rand.NewPCG(uint64(os.Getpid()), uint64(i)))
			for {
				name := fmt.Sprintf("db%d", i%killDBs)
				d, err := s.Database(name)
				if errors.Is(err, ErrUnknownDatabase) {
					d, err = s.Create(name, CreateOptions{PageSize: 1024, Retain: Retention{Count: 50}})
					if errors.Is(err, ErrExists) {
						continue
					}
				}
				if err != nil {
					say("error %v", err)
					os.Exit(1)
				}
				tx, err := d.Begin(TxOptions{})
				if err != nil {
					say("error %v", err)
					os.Exit(1)
				}
				buf := make([]byte, 1024)
				pages := 1 + rng.IntN(4)
				if rng.IntN(200) == 0 {
					pages = 6000 // staged in several batches
				}
				var b strings.Builder
				for range pages {
					n, seed := 1+rng.Uint32N(8000), rng.Uint64()>>1|1
					content(buf, n, seed)
					tx.WritePage(n, buf)
					fmt.Fprintf(&b, " %d:%d", n, seed)
				}
				c, err := tx.Commit(context.Background())
				tx.Rollback()
				if errors.Is(err, ErrConflict) {
					continue
				}
				if err != nil {
					say("error %v", err)
					os.Exit(1)
				}
				say("%s %d%s", name, c.Version, b.String())
			}
		}()
	}
	select {}
}

// TestKill kills a committing process at random moments and opens what it
// left: every acknowledged commit is there and whole, no version is missing,
// and what is past the last acknowledgement is whole too.
func TestKill(t *testing.T) {
	kills := 10
	if *long {
		kills = 200
	} else if testing.Short() {
		kills = 3
	}
	dir := filepath.Join(t.TempDir(), "store")
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	type acked struct {
		version Version
		pages   map[uint32]uint64
	}
	total := 0
	for kill := range kills {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "HAKO_KILL_DIR="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReaderSize(out, 1<<20)
		if line, err := r.ReadString('\n'); line != "ready\n" {
			t.Fatalf("child said %q, %v", line, err)
		}
		kill9 := func() {
			time.AfterFunc(time.Duration(20+rng.IntN(200))*time.Millisecond, func() { cmd.Process.Kill() })
		}
		early := kill%2 == 0 // else it has come to its first commit, however slow the machine
		if early {
			kill9()
		}
		last := map[string]acked{}
		for {
			line, err := r.ReadString('\n')
			if err != nil { // a line cut short was not acknowledged to anybody
				if err != io.EOF {
					t.Fatal(err)
				}
				break
			}
			f := strings.Fields(line)
			if f[0] == "error" {
				t.Fatalf("child: %s", line)
			}
			a := acked{pages: map[uint32]uint64{}}
			fmt.Sscan(f[1], &a.version)
			for _, p := range f[2:] {
				var n uint32
				var seed uint64
				fmt.Sscanf(p, "%d:%d", &n, &seed)
				a.pages[n] = seed
			}
			total++
			if !early {
				early = true
				kill9()
			}
			if a.version > last[f[0]].version {
				last[f[0]] = a
			}
		}
		cmd.Wait()

		s, err := Open(dir, Options{Logger: quiet})
		if err != nil {
			t.Fatalf("kill %d: %v", kill, err)
		}
		for name, a := range last {
			d, err := s.Database(name)
			if err != nil {
				t.Fatalf("kill %d: %v", kill, err)
			}
			if head := d.Head().Version; head < a.version {
				t.Fatalf("kill %d: %s is at version %d, acknowledged was %d", kill, name, head, a.version)
			}
			sn, err := d.Snapshot(a.version)
			if err != nil {
				t.Fatalf("kill %d: %v", kill, err)
			}
			buf, want := make([]byte, 1024), make([]byte, 1024)
			for n, seed := range a.pages {
				if err := sn.ReadPage(n, buf); err != nil {
					t.Fatalf("kill %d: %v", kill, err)
				}
				if content(want, n, seed); string(buf) != string(want) {
					t.Fatalf("kill %d: %s page %d is not what was acknowledged", kill, sn, n)
				}
			}
			sn.Close()
		}
		for i := range killDBs {
			d, err := s.Database(fmt.Sprintf("db%d", i))
			if errors.Is(err, ErrUnknownDatabase) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if found, err := d.Verify(context.Background(), nil); err != nil || len(found) > 0 {
				t.Fatalf("kill %d: verify %s: %v %v", kill, d.Name(), found, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d commits acknowledged before %d kills", total, kills)
	if total == 0 {
		t.Error("nothing was committed: the test tests nothing")
	}
}

// TestLocked opens a store that another process has.
func TestLocked(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "HAKO_KILL_DIR="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("child said %q", line)
	}
	_, err = Open(dir, Options{Logger: quiet})
	var locked *LockedError
	if !errors.As(err, &locked) || locked.PID != cmd.Process.Pid || locked.Command == "" {
		t.Fatalf("got %v, want that process %d has it", err, cmd.Process.Pid)
	}
}
