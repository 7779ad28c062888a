package sqlhost_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/hako-run/hako/app/sqlhost"
	"github.com/hako-run/hako/app/sqlhost/internal/script"
	"github.com/hako-run/hako/engine"
	"github.com/hako-run/hako/internal/guestbuild"
	"github.com/hako-run/hako/pagestore"
	"github.com/hako-run/hako/sqlite"
	"github.com/hako-run/hako/sqlite/vfscore"
	"github.com/hako-run/hako/wasi"
	"github.com/tetratelabs/wazero"
)

// guests are compiled once for all tests.
var guests struct {
	once   sync.Once
	engine *engine.Engine
	module *engine.Module
	err    error
}

func guestModule(t testing.TB) *engine.Module {
	t.Helper()
	guests.once.Do(func() {
		path, err := guestbuild.CompileGo("testdata/sqlguest", "-buildmode=c-shared")
		if err != nil {
			guests.err = err
			return
		}
		b, err := os.ReadFile(path)
		if err != nil {
			guests.err = err
			return
		}
		guests.engine, guests.err = engine.New(engine.Options{CacheDir: guestbuild.Compiled(t), Hosts: []func(context.Context, wazero.Runtime) error{wasi.Instantiate, sqlhost.Instantiate}})
		if guests.err == nil {
			guests.module, guests.err = guests.engine.Compile(context.Background(), "sqlguest", b)
		}
	})
	if guests.err != nil {
		t.Fatal(guests.err)
	}
	return guests.module
}

func TestMain(m *testing.M) {
	code := m.Run()
	if guests.module != nil {
		guests.module.Close()
		guests.engine.Close()
	}
	os.Exit(code)
}

// A shop is a store with the databases shop and secret, and a pool.
type shop struct {
	t     testing.TB
	store *pagestore.Store
	pool  *sqlhost.Pool
}

func newShop(t testing.TB, o sqlhost.Options) *shop {
	t.Helper()
	s, err := pagestore.Open(t.TempDir(), pagestore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"shop", "secret", "native"} {
		if _, err := s.Create(name, pagestore.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	sh := &shop{t, s, sqlhost.NewPool(s, o)}
	t.Cleanup(func() {
		if err := errors.Join(sh.pool.Close(), sqlite.Detach(s), s.Close()); err != nil {
			t.Error(err)
		}
	})
	return sh
}

func (s *shop) native(name string, statements ...string) *sql.DB {
	s.t.Helper()
	db, err := sqlite.OpenDB(s.store, name)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, q := range statements {
		if _, err := db.Exec(q); err != nil {
			s.t.Fatal(q, err)
		}
	}
	s.t.Cleanup(func() { db.Close() })
	return db
}

func (s *shop) databases(grants ...sqlhost.Grant) *sqlhost.Databases {
	s.t.Helper()
	if len(grants) == 0 {
		grants = []sqlhost.Grant{{Path: "/db/shop.sqlite", Database: "shop"}}
	}
	d, err := s.pool.Databases(grants...)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

// A run is a guest's run.
type run struct {
	results  []script.Result
	versions []vfscore.Seen
	stderr   string
	used     engine.Usage
	err      error
}

// run runs steps in a new instance.
func (s *shop) run(limits engine.Limits, d *sqlhost.Databases, args []string, steps ...script.Step) run {
	s.t.Helper()
	in, err := json.Marshal(steps)
	if err != nil {
		s.t.Fatal(err)
	}
	var out, stderr bytes.Buffer
	i, err := s.instance(limits, d, args, bytes.NewReader(in), &out, &stderr)
	if err != nil {
		return run{err: err}
	}
	r := run{}
	results, err := i.Call(context.Background(), "run")
	r.err, r.stderr, r.used, r.versions = err, stderr.String(), i.Usage(), d.Seen().List()
	if cerr := i.Close(); cerr != nil {
		s.t.Error(cerr)
	}
	if err == nil {
		if results[0] != 0 {
			s.t.Fatalf("the guest says: %s", r.stderr)
		}
		if err := json.Unmarshal(out.Bytes(), &r.results); err != nil {
			s.t.Fatal(err)
		}
	}
	return r
}

func (s *shop) instance(limits engine.Limits, d *sqlhost.Databases, args []string, in io.Reader, out, stderr io.Writer) (*engine.Instance, error) {
	s.t.Helper()
	m := guestModule(s.t)
	system, err := wasi.NewSystem(wasi.Config{Args: append([]string{"sqlguest"}, args...), Stdin: in, Stdout: out, Stderr: stderr})
	if err != nil {
		s.t.Fatal(err)
	}
	i, err := m.Instantiate(context.Background(), engine.Config{
		Limits: limits,
		Values: sqlhost.NewContext(wasi.NewContext(context.Background(), system), d),
		States: []io.Closer{system, d},
	})
	if err != nil {
		return nil, err
	}
	return i, i.Run(context.Background())
}

// sql runs statements as queries and returns their results.
func (s *shop) sql(d *sqlhost.Databases, name string, statements ...string) []script.Result {
	s.t.Helper()
	steps := make([]script.Step, len(statements))
	for i, q := range statements {
		steps[i] = script.Step{SQL: q, Query: true}
	}
	r := s.run(engine.Limits{Wall: time.Minute}, d, []string{name}, steps...)
	if r.err != nil {
		s.t.Fatal(r.err, r.stderr)
	}
	return r.results
}
