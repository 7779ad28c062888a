package sqlhost_test

import (
	"context"
	"io"
	"os"
	"testing"
	"time"

	"github.com/hako-run/hako/app/sqlhost"
	"github.com/hako-run/hako/engine"
	"github.com/hako-run/hako/internal/guestbuild"
	"github.com/hako-run/hako/wasi"
)

// TestCGuest holds the protocol as it is specified, without the Go client.
func TestCGuest(t *testing.T) {
	path := guestbuild.C(t, []string{"-O1", "-D_GNU_SOURCE", "-mexec-model=reactor", "-I../../guest/c", "testdata/csql.c"}, "../../guest/c/hako_sql.h")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	guestModule(t)
	ctx := context.Background()
	m, err := guests.engine.Compile(ctx, "csql", b)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	s := newShop(t, sqlhost.Options{})
	system, err := wasi.NewSystem(wasi.Config{})
	if err != nil {
		t.Fatal(err)
	}
	d := s.databases()
	in, err := m.Instantiate(ctx, engine.Config{
		Limits: engine.Limits{Wall: time.Minute}, Values: sqlhost.NewContext(wasi.NewContext(ctx, system), d), States: []io.Closer{system, d},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if line, err := in.Call(ctx, "test"); err != nil || line[0] != 0 {
		t.Errorf("line %d of testdata/csql.c fails: %v (%v)", line, err, d.Err())
	}
}
