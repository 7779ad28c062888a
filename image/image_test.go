package image

import (
	"errors"
	"slices"
	"strings"
	"testing"
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
