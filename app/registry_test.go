//go:build unix

package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// A fakeProcess answers as a process would, without a guest.
type fakeProcess struct {
	info    Info
	stopped chan struct{}
	once    sync.Once
}

func newFake(name string) *fakeProcess {
	return &fakeProcess{
		info:    Info{ID: NewID(), Name: name, Image: "fake.wasm", PID: os.Getpid(), Started: time.Now()},
		stopped: make(chan struct{}),
	}
}

func (f *fakeProcess) Info() Info { return f.info }
func (f *fakeProcess) Stop()      { f.once.Do(func() { close(f.stopped) }) }

func (f *fakeProcess) Exec(ctx context.Context, x Exec) (int, error) {
	switch x.Args[0] {
	case "cat":
		_, err := io.Copy(x.Stdout, x.Stdin)
		fmt.Fprint(x.Stderr, strings.Join(x.Env, ","))
		return 7, err
	case "wait":
		<-ctx.Done()
		f.Stop()
		return 0, ctx.Err()
	}
	return 1, fmt.Errorf("%s: not found", x.Args[0])
}

func TestRegistry(t *testing.T) {
	r := NewRegistry(t.TempDir())
	if infos, err := r.List(); err != nil || len(infos) != 0 {
		t.Fatalf("a new registry lists %v, %v", infos, err)
	}
	shop, blog := newFake("shop"), newFake("blog")
	shopReg, err := r.Register("shop", shop)
	if err != nil {
		t.Fatal(err)
	}
	blogReg, err := r.Register("blog", blog)
	if err != nil {
		t.Fatal(err)
	}
	defer blogReg.Close()
	if _, err := r.Register("shop", newFake("shop")); !errors.Is(err, ErrNameTaken) {
		t.Errorf("registering a taken name: %v", err)
	}
	if _, err := r.Register("../x", newFake("../x")); err == nil {
		t.Error("a name that leads out of the folder was taken")
	}
	infos, err := r.List()
	if err != nil || len(infos) != 2 || infos[0].Name != "shop" || infos[1].ID != blog.info.ID {
		t.Errorf("listed %+v, %v", infos, err)
	}
	if info, err := r.Find(blog.info.ID[:5]); err != nil || info.Name != "blog" {
		t.Errorf("found %+v, %v by its ID", info, err)
	}
	if _, err := r.Find("none"); !errors.Is(err, ErrNotRunning) {
		t.Errorf("finding what is not there: %v", err)
	}

	stopped := make(chan error, 1)
	go func() { stopped <- r.Stop(context.Background(), "shop") }()
	<-shop.stopped
	select {
	case err := <-stopped:
		t.Errorf("stop returned %v before the process was gone", err)
	case <-time.After(20 * time.Millisecond):
	}
	shopReg.Close()
	if err := <-stopped; err != nil {
		t.Errorf("stop: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := r.Stop(ctx, "blog"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("stopping what does not end: %v", err)
	}
}

func TestRegistryExec(t *testing.T) {
	r := NewRegistry(t.TempDir())
	fake := newFake("shop")
	reg, err := r.Register("shop", fake)
	if err != nil {
		t.Fatal(err)
	}
	defer reg.Close()
	dir := t.TempDir()
	file := func(name, text string) *os.File {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	in, out, errs := file("in", "hello"), file("out", ""), file("err", "")
	code, err := r.Exec(context.Background(), "shop", Exec{Args: []string{"cat"}, Env: []string{"A=1"}, Stdin: in, Stdout: out, Stderr: errs})
	if code != 7 || err != nil {
		t.Errorf("exec gave %d, %v", code, err)
	}
	for name, want := range map[string]string{"out": "hello", "err": "A=1"} {
		if got, _ := os.ReadFile(filepath.Join(dir, name)); string(got) != want {
			t.Errorf("%s has %q, want %q", name, got, want)
		}
	}
	if _, err := r.Exec(context.Background(), "shop", Exec{Args: []string{"nope"}, Stdout: out, Stderr: errs}); err == nil || err.Error() != "nope: not found" {
		t.Errorf("an unknown program gave %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := r.Exec(ctx, "shop", Exec{Args: []string{"wait"}, Stdout: out, Stderr: errs}); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled exec gave %v", err)
	}
	<-fake.stopped // the guest learned of it
}

// A process that was killed leaves its socket behind.
func TestRegistryStale(t *testing.T) {
	r := NewRegistry(t.TempDir())
	for _, name := range []string{"dead", "dead2"} {
		if err := os.MkdirAll(r.dir, 0o700); err != nil {
			t.Fatal(err)
		}
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: r.socket(name), Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		l.Close()
	}
	reg, err := r.Register("dead", newFake("dead"))
	if err != nil {
		t.Fatalf("the name of a dead process: %v", err)
	}
	defer reg.Close()
	infos, err := r.List()
	if err != nil || len(infos) != 1 {
		t.Errorf("listed %+v, %v", infos, err)
	}
	if _, err := os.Lstat(r.socket("dead2")); !os.IsNotExist(err) {
		t.Errorf("the dead process's socket is still there: %v", err)
	}
}

// Only one of many gets a name, whatever was there before.
func TestRegistryRace(t *testing.T) {
	r := NewRegistry(t.TempDir())
	var wg sync.WaitGroup
	var mu sync.Mutex
	var won []*Registration
	for range 16 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			reg, err := r.Register("one", newFake("one"))
			if err == nil {
				mu.Lock()
				won = append(won, reg)
				mu.Unlock()
			} else if !errors.Is(err, ErrNameTaken) {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
	if len(won) != 1 {
		t.Errorf("%d got the name", len(won))
	}
	for _, reg := range won {
		reg.Close()
	}
}

func TestRegistryHostile(t *testing.T) {
	r := NewRegistry(t.TempDir())
	reg, err := r.Register("shop", newFake("shop"))
	if err != nil {
		t.Fatal(err)
	}
	defer reg.Close()
	for _, text := range []string{"", "x", "{}\n", "[]\n", `{"op":"exec"}` + "\n", `{"op":"exec","stdin":true}` + "\n", strings.Repeat("[", 1<<17)} {
		c, err := net.Dial("unix", r.socket("shop"))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, text)
		_ = c.(*net.UnixConn).CloseWrite()
		_, _ = io.ReadAll(c)
		c.Close()
	}
	if _, err := r.Find("shop"); err != nil {
		t.Errorf("after nonsense: %v", err)
	}
}

func TestNames(t *testing.T) {
	for range 100 {
		if err := CheckName(NewName()); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"", ".a", "a/b", "-x", "ü", strings.Repeat("a", 41)} {
		if CheckName(name) == nil {
			t.Errorf("name %q passes", name)
		}
	}
	long := NewRegistry("/" + strings.Repeat("x", 200))
	if len(long.socket(strings.Repeat("n", 40))) > 103 {
		t.Errorf("socket path %s is too long", long.socket("n"))
	}
}
