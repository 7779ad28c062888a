package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/hako-run/hako/config"
)

func load(t *testing.T, dir, retain, rest string) *config.Config {
	t.Helper()
	file := filepath.Join(dir, "hako.toml")
	text := fmt.Sprintf("[server]\nlisten = [\"127.0.0.1:0\"]\n[[database]]\nname = \"shop\"\nretain = %q\n%s", retain, rest)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A configuration that is refused lets no history go, and a server that is
// closed takes none.
func TestReloadRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "public"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "broken.wasm"), []byte("no module"), 0o644); err != nil {
		t.Fatal(err)
	}
	const static = "[[route]]\nmatch = { path = \"/*\" }\nstatic = \"public\"\n"
	const broken = "[[app]]\nname = \"broken\"\nimage = \"./broken.wasm\"\n[[route]]\nmatch = { path = \"/*\" }\napp = \"broken\"\n"
	ctx := context.Background()
	s, err := Start(ctx, load(t, dir, "30d", static), Options{Data: t.TempDir(), Log: slog.New(slog.DiscardHandler), AccessLog: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	retention := func() string {
		d, err := s.Store().Database("shop")
		if err != nil {
			t.Fatal(err)
		}
		info, err := d.Info()
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(info.Retain)
	}
	before := retention()
	if err := s.Reload(ctx, load(t, dir, "1d", broken)); err == nil {
		t.Error("a broken app was loaded")
	}
	if got := retention(); got != before {
		t.Errorf("history is kept for %s after a refused reload, %s before", got, before)
	}
	next := load(t, dir, "1d", static)
	if err := s.Reload(ctx, next); err != nil || retention() == before {
		t.Errorf("%v, %s", err, retention())
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Reload(ctx, next); !errors.Is(err, ErrClosed) {
		t.Errorf("reload of a closed server: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
