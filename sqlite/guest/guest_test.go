package guest_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/hako-run/hako/internal/guestbuild"
	"github.com/hako-run/hako/pagestore"
	"github.com/hako-run/hako/sqlite"
	"github.com/hako-run/hako/sqlite/guest"
	"github.com/hako-run/hako/sqlite/vfscore"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

// library builds libhakosqlite.a and returns its folder.
var library = sync.OnceValues(func() (string, error) {
	cmd := exec.Command("./build.sh")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("build libhakosqlite.a: %w\n%s", err, stderr.String())
	}
	return strings.TrimSpace(string(out)), nil
})

// compileC links a C guest with the library.
func compileC(t testing.TB, source string, flags ...string) string {
	t.Helper()
	lib, err := library()
	if err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(lib, "libhakosqlite.a")
	return guestbuild.C(t, append(flags, "-O2", "-I"+lib, source, archive))
}

// A world is a runtime with the test guest compiled, and a store.
type world struct {
	t      testing.TB
	store  *pagestore.Store
	vfs    *vfscore.VFS
	rt     wazero.Runtime
	runner wazero.CompiledModule
	fs     wazero.FSConfig
}

// compiled keeps what wazero makes of modules beside them, because the race
// detector makes that slow.
var compiled = sync.OnceValues(func() (wazero.CompilationCache, error) {
	dir := filepath.Join(os.TempDir(), "hako-guest-tests")
	if home := os.Getenv("HAKO_CACHE"); home != "" {
		dir = filepath.Join(home, "guest-tests")
	} else if home, err := os.UserCacheDir(); err == nil {
		dir = filepath.Join(home, "hako", "guest-tests")
	}
	return wazero.NewCompilationCacheWithDir(dir)
})

func newStore(t testing.TB) *pagestore.Store {
	t.Helper()
	s, err := pagestore.Open(t.TempDir(), pagestore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sqlite.Detach(s); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func newWorld(t testing.TB) *world {
	t.Helper()
	ctx := context.Background()
	cache, err := compiled()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, store: newStore(t), fs: wazero.NewFSConfig().WithDirMount(t.TempDir(), "/files")}
	w.vfs = vfscore.New(w.store, vfscore.Options{})
	w.rt = wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithCompilationCache(cache))
	t.Cleanup(func() { w.rt.Close(ctx) })
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, w.rt); err != nil {
		t.Fatal(err)
	}
	if err := guest.Instantiate(ctx, w.rt); err != nil {
		t.Fatal(err)
	}
	module, err := os.ReadFile(compileC(t, "testdata/runner/runner.c", "-mexec-model=reactor"))
	if err != nil {
		t.Fatal(err)
	}
	if w.runner, err = w.rt.CompileModule(ctx, module); err != nil {
		t.Fatal(err)
	}
	return w
}

// create makes databases.
func (w *world) create(names ...string) {
	w.t.Helper()
	for _, name := range names {
		if _, err := w.store.Create(name, pagestore.CreateOptions{}); err != nil && !errors.Is(err, pagestore.ErrExists) {
			w.t.Fatal(err)
		}
	}
}

// An instance is a running guest.
type instance struct {
	t   testing.TB
	m   api.Module
	dbs *guest.Databases
	ctx context.Context
}

// instance starts a guest with these databases granted under their own names.
func (w *world) instance(names ...string) *instance {
	w.t.Helper()
	var grants []guest.Grant
	for _, name := range names {
		grants = append(grants, guest.Grant{Path: name, Database: name})
	}
	return w.granted(guest.Options{}, grants...)
}

func (w *world) granted(o guest.Options, grants ...guest.Grant) *instance {
	w.t.Helper()
	dbs, err := guest.New(w.vfs, o, grants...)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx := guest.NewContext(context.Background(), dbs)
	m, err := w.rt.InstantiateModule(ctx, w.runner, wazero.NewModuleConfig().WithName("").WithStartFunctions("_initialize").
		WithFSConfig(w.fs).WithSysWalltime().WithSysNanotime().WithStdout(os.Stdout).WithStderr(os.Stderr))
	if err != nil {
		w.t.Fatal(err)
	}
	in := &instance{w.t, m, dbs, ctx}
	w.t.Cleanup(in.close)
	return in
}

func (in *instance) close() {
	in.m.Close(context.Background())
	if err := in.dbs.Close(); err != nil {
		in.t.Error(err)
	}
}

// call calls an export; a string is passed as the address of a copy.
func (in *instance) call(ctx context.Context, name string, args ...any) (uint64, error) {
	var stack []uint64
	for _, a := range args {
		switch a := a.(type) {
		case int:
			stack = append(stack, uint64(uint32(a)))
		case string:
			p, err := in.m.ExportedFunction("alloc").Call(ctx, uint64(len(a)+1))
			if err != nil {
				return 0, err
			}
			defer in.m.ExportedFunction("release").Call(context.Background(), p[0])
			in.m.Memory().WriteString(uint32(p[0]), a+"\x00")
			stack = append(stack, p[0])
		}
	}
	out, err := in.m.ExportedFunction(name).Call(ctx, stack...)
	if err != nil || len(out) == 0 {
		return 0, err
	}
	return out[0], nil
}

// A guestConn is a connection inside an instance.
type guestConn struct {
	in *instance
	i  int
}

// A sqlError is what SQLite in the guest says, worded as modernc.org/sqlite
// words it.
type sqlError struct {
	code int
	text string
	more string // what the host says
}

func (e *sqlError) Error() string { return e.text }

func (in *instance) open(i int, name string) *guestConn {
	in.t.Helper()
	c, err := in.tryOpen(i, name, 0, -1)
	if err != nil {
		in.t.Fatalf("open %s: %v", name, err)
	}
	return c
}

func (in *instance) tryOpen(i int, name string, flags, ms int) (*guestConn, error) {
	in.t.Helper()
	p, err := in.call(in.ctx, "open", i, name, flags, ms)
	if err != nil {
		return nil, err
	}
	_, err = in.result(p)
	return &guestConn{in, i}, err
}

// query runs a statement and returns its rows, a line each, with '|' between
// the columns.
func (c *guestConn) query(ctx context.Context, statement string) (string, error) {
	p, err := c.in.call(ctx, "run", c.i, statement)
	if err != nil {
		return "", err
	}
	return c.in.result(p)
}

func (in *instance) result(p uint64) (string, error) {
	n, err := in.call(context.Background(), "length")
	if err != nil {
		return "", err
	}
	b, ok := in.m.Memory().Read(uint32(p), uint32(n))
	if !ok {
		return "", errors.New("result outside of memory")
	}
	var rows []string
	var row []string
	inRow := false
	end := func() {
		if inRow {
			rows = append(rows, strings.Join(row, "|"))
		}
		row, inRow = nil, false
	}
	var said []string
	code := 0
	for len(b) > 0 {
		tag, size := b[0], binary.LittleEndian.Uint32(b[1:])
		v := b[5 : 5+size]
		b = b[5+size:]
		switch tag {
		case 'r':
			end()
			inRow = true
		case 'e':
			end()
			code = int(binary.LittleEndian.Uint32(v))
		case 'i':
			row = append(row, fmt.Sprint(int64(binary.LittleEndian.Uint64(v))))
		case 'f':
			row = append(row, fmt.Sprint(math.Float64frombits(binary.LittleEndian.Uint64(v))))
		case 't':
			if inRow {
				row = append(row, string(v))
			} else {
				said = append(said, string(v))
			}
		case 'b':
			row = append(row, fmt.Sprintf("x'%x'", v))
		case 'n':
			row = append(row, "<nil>")
		}
	}
	got := strings.Join(rows, "\n")
	if code == 0 {
		return got, nil
	}
	text := said[0]
	if said[1] != "" && said[1] != said[0] {
		text += ": " + said[1]
	}
	text += fmt.Sprintf(" (%d)", code)
	if code == 5 {
		text += " (SQLITE_BUSY)"
	}
	return got, &sqlError{code, text, said[2]}
}

// exec runs statements that must succeed.
func (c *guestConn) exec(statements ...string) {
	c.in.t.Helper()
	for _, s := range statements {
		c.get(s)
	}
}

// get is query for a statement that must succeed.
func (c *guestConn) get(statement string) string {
	c.in.t.Helper()
	got, err := c.query(c.in.ctx, statement)
	if err != nil {
		var e *sqlError
		if errors.As(err, &e) {
			c.in.t.Fatalf("%s: %v: %s", statement, err, e.more)
		}
		c.in.t.Fatalf("%s: %v", statement, err)
	}
	return got
}

// code runs a statement and returns SQLite's result code.
func (c *guestConn) code(statement string) int {
	c.in.t.Helper()
	_, err := c.query(c.in.ctx, statement)
	return codeOf(c.in.t, err)
}

func codeOf(t testing.TB, err error) int {
	t.Helper()
	if err == nil {
		return 0
	}
	var e *sqlError
	if !errors.As(err, &e) {
		t.Fatalf("not an error of SQLite: %v", err)
	}
	return e.code
}

func want(t testing.TB, got, want string) {
	t.Helper()
	if got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
}
