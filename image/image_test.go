package image

import (
	"errors"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

const smallHakofile = `module = "app.wasm"
args = ["serve"]
env = { MODE = "production" }
workdir = "/srv"
expose = ["8080"]
files = [{ from = "public", to = "/srv" }]
`

func smallContext(t testing.TB) string {
	return writeFiles(t, "Hakofile.toml", smallHakofile, "app.wasm", module, "public/index.html", "hello")
}

func TestBuildPushPullOpen(t *testing.T) {
	host := newRegistry(t)
	from, to := newStore(t), newStore(t)
	name := host + "/acme/shop:1"
	built := build(t, from, smallContext(t), name)
	var last int64
	digest, err := from.Push(t.Context(), name, PushOptions{Progress: func(done, total int64) { last = done - total }})
	if err != nil || digest != built.Digest {
		t.Fatalf("pushed as %s (%v), built as %s", digest, err, built.Digest)
	}
	if last != 0 {
		t.Errorf("the progress ended %d bytes off", last)
	}
	var done, total int64
	pulled, err := to.Pull(t.Context(), name, PullOptions{Progress: func(d, n int64) { done, total = d, n }})
	if err != nil {
		t.Fatal(err)
	}
	if pulled != (Pulled{Name: name, Digest: built.Digest, New: true}) {
		t.Errorf("pulled %+v", pulled)
	}
	if done != total || total == 0 {
		t.Errorf("the progress ended at %d of %d", done, total)
	}
	if pulled, err = to.Pull(t.Context(), name, PullOptions{}); err != nil || pulled.New {
		t.Errorf("pulled again: %+v, %v", pulled, err)
	}
	img, err := to.Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	c := img.Config
	if !slices.Equal(img.Command(), []string{"/app.wasm", "serve"}) || !slices.Equal(img.Command("x"), []string{"/app.wasm", "x"}) ||
		!slices.Equal(c.Env, []string{"MODE=production"}) || c.WorkingDir != "/srv" || !slices.Equal(c.ExposedPorts, []string{"8080/tcp"}) || img.Platform != "wasi/wasm" {
		t.Errorf("opened %+v", img)
	}
	if b, err := img.Module(t.Context()); err != nil || string(b) != module {
		t.Errorf("module %q, %v", b, err)
	}
	if got := rootOf(t, to, name); got != "app.wasm="+module+"\nsrv/\nsrv/index.html=hello\n" {
		t.Errorf("root:\n%s", got)
	}
}

func TestOpenUnknown(t *testing.T) {
	s := newStore(t)
	if _, err := s.Open(t.Context(), "shop"); !errors.Is(err, ErrUnknownImage) {
		t.Errorf("in an empty store: %v", err)
	}
	build(t, s, smallContext(t), "shop:1.2")
	for name, near := range map[string]string{"shpo:1.2": "shop:1.2", "shop": "shop:1.2", "shop:9.9.9": "shop:1.2", "entirely-other": ""} {
		_, err := s.Open(t.Context(), name)
		var u *UnknownImageError
		if !errors.As(err, &u) || u.Nearest != near || u.Name != name {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.Open(t.Context(), "Shop"); !errors.Is(err, ErrReference) || !strings.Contains(err.Error(), `"shop"`) {
		t.Errorf("upper case: %v", err)
	}
}

func TestConfigOfStrangers(t *testing.T) {
	s := newStore(t)
	if err := s.prepare(); err != nil {
		t.Fatal(err)
	}
	add := func(c v1.Config) (*Image, error) {
		d, err := s.writeImage(t.Context(), &v1.ConfigFile{OS: "wasi", Architecture: "wasm", Config: c}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		e := entry{desc: d}
		return s.describe(e)
	}
	img, err := add(v1.Config{Env: []string{"A=1", "=x", "B", "", "C=\x00", "D==", "E="}, WorkingDir: "../../srv/.."})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(img.Config.Env, []string{"A=1", "D==", "E="}) || img.Config.WorkingDir != "/" {
		t.Errorf("%+v", img.Config)
	}
	if _, err := add(v1.Config{Cmd: []string{"a\x00b"}}); !errors.Is(err, ErrDamaged) {
		t.Errorf("a zero byte: %v", err)
	}
}
