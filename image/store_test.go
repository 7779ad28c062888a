package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// blobsOf lists the files in a directory of a store.
func blobsOf(t testing.TB, s *Store, dir string) (names []string) {
	t.Helper()
	list, err := os.ReadDir(s.path(dir))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

func TestNames(t *testing.T) {
	s := newStore(t)
	a := writeFiles(t, "Hakofile.toml", `module = "app.wasm"`, "app.wasm", module)
	b := writeFiles(t, "Hakofile.toml", `module = "app.wasm"`, "app.wasm", module+"2")
	names := func() string {
		t.Helper()
		list, err := s.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for _, i := range list {
			if i.Err != nil {
				t.Error(i.Err)
			}
			lines = append(lines, strings.TrimSuffix(i.Name.String(), "/")+" "+i.Digest[7:11])
		}
		return strings.Join(lines, ", ")
	}
	first := build(t, s, a, "shop:1")
	one := first.Digest[7:11]
	if again := build(t, s, a, "shop:1"); again.Digest != first.Digest {
		t.Error("the same build has another digest")
	}
	if got := names(); got != "shop:1 "+one {
		t.Errorf("got %s", got)
	}
	second := build(t, s, b, "shop:1")
	two := second.Digest[7:11]
	if got := names(); got != " "+one+", shop:1 "+two { // what had the name lies there without one
		t.Errorf("got %s", got)
	}
	if _, err := s.Tag(t.Context(), first.Digest, "shop:old"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Tag(t.Context(), "shop:1", "registry.example/team/shop"); err != nil {
		t.Fatal(err)
	}
	if got := names(); got != "shop:1 "+two+", shop:old "+one+", registry.example/team/shop:latest "+two {
		t.Errorf("got %s", got)
	}
	if _, err := s.Tag(t.Context(), "shop:1", "x@"+first.Digest); !errors.Is(err, ErrReference) {
		t.Errorf("tag with a digest: %v", err)
	}
	// By its digest an image with two names is not removed by accident.
	if _, err := s.Remove(t.Context(), []string{two}, false); err == nil || !strings.Contains(err.Error(), "--force") {
		t.Errorf("remove by digest: %v", err)
	}
	r, err := s.Remove(t.Context(), []string{"registry.example/team/shop"}, false)
	if err != nil || len(r.Deleted) != 0 || len(r.Untagged) != 1 || r.Freed != 0 {
		t.Errorf("removed %+v, %v", r, err)
	}
	if _, err := s.Tag(t.Context(), "shop:1", "shop:2"); err != nil {
		t.Fatal(err)
	}
	if r, err = s.Remove(t.Context(), []string{two}, true); err != nil || len(r.Untagged) != 2 || !slices.Equal(r.Deleted, []string{second.Digest}) || r.Freed == 0 {
		t.Errorf("removed %+v, %v", r, err)
	}
	// Naming several, of which one is not there, removes none.
	if _, err := s.Remove(t.Context(), []string{"shop:old", "shop:none"}, false); !errors.Is(err, ErrUnknownImage) {
		t.Errorf("remove: %v", err)
	}
	if got := names(); got != "shop:old "+one {
		t.Errorf("got %s", got)
	}
	if r, err = s.Remove(t.Context(), []string{"shop:old"}, false); err != nil || len(r.Deleted) != 1 {
		t.Errorf("removed %+v, %v", r, err)
	}
	for _, dir := range []string{"blobs/sha256", "unpacked", "use", "ingest"} {
		if left := blobsOf(t, s, dir); len(left) > 0 {
			t.Errorf("in %s is left %v", dir, left)
		}
	}
}

func TestAmbiguousDigest(t *testing.T) {
	s := newStore(t)
	if err := s.prepare(); err != nil {
		t.Fatal(err)
	}
	err := s.change(t.Context(), func([]entry) (list []entry, _ error) {
		for _, last := range []string{"1", "2"} {
			h := v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("ab", 31) + "0" + last}
			list = append(list, entry{desc: v1.Descriptor{Digest: h}})
		}
		return list, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(t.Context(), "abab"); !errors.Is(err, ErrUnknownImage) || !strings.Contains(err.Error(), "several images") {
		t.Errorf("got %v", err)
	}
	if _, found, err := s.find(strings.Repeat("ab", 31) + "02"); err != nil || len(found) != 1 {
		t.Errorf("the whole digest: %v, %v", found, err)
	}
	if _, err := s.Open(t.Context(), "aba"); !errors.Is(err, ErrUnknownImage) || strings.Contains(err.Error(), "several") {
		t.Errorf("too short: %v", err)
	}
}

// What is open stays, whatever is removed; then it goes.
func TestRemoveWhileOpen(t *testing.T) {
	s := newStore(t)
	build(t, s, smallContext(t), "shop:1")
	img, err := s.Open(t.Context(), "shop:1")
	if err != nil {
		t.Fatal(err)
	}
	other := OpenStore(s.dir, Options{}) // as another process has it
	r, err := other.Remove(t.Context(), []string{"shop:1"}, false)
	if err != nil || !r.Deferred {
		t.Errorf("removed %+v, %v", r, err)
	}
	if _, err := s.Open(t.Context(), "shop:1"); !errors.Is(err, ErrUnknownImage) {
		t.Errorf("open again: %v", err)
	}
	root, err := img.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Prune(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := listFiles(t, root); !strings.Contains(got, "srv/index.html=hello") {
		t.Errorf("the root lost its files:\n%s", got)
	}
	if b, err := img.Module(t.Context()); err != nil || string(b) != module {
		t.Errorf("module %q, %v", b, err)
	}
	if err := img.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err := other.Prune(t.Context()); err != nil || r.Freed == 0 || r.Deferred {
		t.Errorf("pruned %+v, %v", r, err)
	}
	if left := blobsOf(t, s, "unpacked"); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// Nothing is removed while somebody adds: what is added is in no index yet.
func TestPruneWhileAdding(t *testing.T) {
	s := newStore(t)
	unlock, err := s.adding(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.putBytes(t.Context(), []byte("not yet named")); err != nil {
		t.Fatal(err)
	}
	r, err := s.Prune(t.Context())
	if err != nil || !r.Deferred || len(blobsOf(t, s, "blobs/sha256")) != 1 {
		t.Errorf("pruned %+v, %v", r, err)
	}
	unlock()
	r, err = s.Prune(t.Context())
	if err != nil || r.Deferred || len(blobsOf(t, s, "blobs/sha256")) != 0 {
		t.Errorf("pruned %+v, %v", r, err)
	}
}

// What is being unpacked is not taken for something that was left.
func TestPruneWhileUnpacking(t *testing.T) {
	s := newStore(t)
	build(t, s, smallContext(t), "shop:1")
	img, err := s.Open(t.Context(), "shop:1")
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	pruned := 0
	s.fault = func(operation, string) error {
		r, err := OpenStore(s.dir, Options{}).Prune(context.Background())
		if err != nil || !r.Deferred {
			t.Errorf("pruned %+v, %v", r, err)
		}
		pruned++
		return nil
	}
	root, err := img.Root(t.Context())
	if err != nil || pruned < 3 {
		t.Fatalf("pruned %d times: %v", pruned, err)
	}
	if got := listFiles(t, root); !strings.Contains(got, "srv/index.html=hello") {
		t.Errorf("root\n%s", got)
	}
}

// A blob that changed on the disk is fetched again by the next pull.
func TestPullRepairs(t *testing.T) {
	host := newRegistry(t)
	s := newStore(t)
	ref := host + "/shop:1"
	build(t, s, smallContext(t), ref)
	if _, err := s.Push(t.Context(), ref, PushOptions{}); err != nil {
		t.Fatal(err)
	}
	img, err := s.Open(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	for name, use := range map[string]func() error{
		"unpack": func() error { _, err := img.Root(t.Context()); return err },
		"save":   func() error { return s.Save(t.Context(), []string{ref}, io.Discard, nil) },
	} {
		blob := s.blobPath(img.manifest.Layers[0].Digest)
		b, err := os.ReadFile(blob)
		if err != nil {
			t.Fatal(err)
		}
		b[len(b)/2] ^= 1
		if err := os.WriteFile(blob, b, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := use(); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := s.Pull(t.Context(), ref, PullOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := use(); err != nil {
			t.Errorf("%s after pulling again: %v", name, err)
		}
	}
}

// Many at once build, open, tag and remove.
func TestConcurrent(t *testing.T) {
	dir := newStore(t).dir
	contexts := []string{smallContext(t), writeFiles(t, "Dockerfile", "FROM scratch\nCOPY app.wasm /\nENTRYPOINT [\"/app.wasm\"]", "app.wasm", module)}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			s := OpenStore(dir, Options{})
			s.noSync = true
			for j := range 10 {
				name := fmt.Sprintf("shop:%d", (i+j)%4)
				if _, err := s.Build(context.Background(), BuildOptions{Dir: contexts[(i+j)%2], Name: name}); err != nil {
					t.Error(err)
					return
				}
				img, err := s.Open(context.Background(), name)
				if errors.Is(err, ErrUnknownImage) { // another removed it
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if b, err := img.Module(context.Background()); err != nil || string(b) != module {
					t.Errorf("module %q, %v", b, err)
				}
				img.Close()
				switch j % 3 {
				case 0:
					if _, err := s.Remove(context.Background(), []string{name}, false); err != nil && !errors.Is(err, ErrUnknownImage) {
						t.Error(err)
					}
				case 1:
					if _, err := s.Prune(context.Background()); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	s := OpenStore(dir, Options{})
	list, err := s.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range list {
		if i.Err != nil {
			t.Errorf("%s: %v", i.Name, i.Err)
		}
	}
}

// A disk that is full at any moment: the error says so, what was there stays,
// nothing is half there, and with space again it works.
func TestDiskFull(t *testing.T) {
	host := newRegistry(t)
	from := newStore(t)
	ref := host + "/shop:2"
	contextDir := smallContext(t)
	build(t, from, contextDir, ref)
	if _, err := from.Push(t.Context(), ref, PushOptions{}); err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(t.TempDir(), "shop.tar")
	if err := from.SaveFile(t.Context(), []string{ref}, archive, nil); err != nil {
		t.Fatal(err)
	}
	for name, work := range map[string]func(s *Store) error{
		"build": func(s *Store) error {
			_, err := s.Build(context.Background(), BuildOptions{Dir: contextDir, Name: ref})
			return err
		},
		"pull": func(s *Store) error {
			_, err := s.Pull(context.Background(), ref, PullOptions{})
			return err
		},
		"load": func(s *Store) error {
			_, err := s.Load(context.Background(), archive, LoadOptions{})
			return err
		},
		"unpack": func(s *Store) error {
			s2 := *s
			s2.fault = nil
			if _, err := s2.Load(context.Background(), archive, LoadOptions{}); err != nil {
				return err
			}
			img, err := s.Open(context.Background(), ref)
			if err != nil {
				return err
			}
			defer img.Close()
			_, err = img.Root(context.Background())
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			for n := int64(1); ; n++ {
				s := newStore(t)
				build(t, s, contextDir, "old:1")
				if name != "build" { // else all blobs are there
					s = newStore(t)
					build(t, s, writeFiles(t, "Dockerfile", "FROM scratch\nLABEL old=1"), "old:1")
				}
				var count atomic.Int64
				s.fault = func(operation, string) error {
					if count.Add(1) >= n {
						return syscall.ENOSPC
					}
					return nil
				}
				err := work(s)
				s.fault = nil
				if count.Load() < n {
					if err != nil {
						t.Fatal(err)
					}
					if n < 5 {
						t.Errorf("only %d operations could fail", n-1)
					}
					return
				}
				if !errors.Is(err, ErrDiskFull) {
					t.Fatalf("the operation %d fails, and the error is %v", n, err)
				}
				list, err := s.List(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, i := range list {
					if i.Err != nil {
						t.Errorf("operation %d: %s: %v", n, i.Name, i.Err)
					}
				}
				if img, err := s.Open(t.Context(), "old:1"); err != nil {
					t.Errorf("operation %d: what was there: %v", n, err)
				} else {
					img.Close()
				}
				if parts, _ := filepath.Glob(s.path("unpacked", "part-*")); len(parts) > 0 {
					t.Errorf("operation %d left %v", n, parts)
				}
				if news, _ := filepath.Glob(s.path("ingest", "new-*")); len(news) > 0 {
					t.Errorf("operation %d left %v", n, news)
				}
				if err := work(s); err != nil {
					t.Errorf("operation %d, with space again: %v", n, err)
				}
				if got := rootOf(t, s, ref); !strings.Contains(got, "srv/index.html=hello") {
					t.Errorf("operation %d: root\n%s", n, got)
				}
			}
		})
	}
}

func TestDamagedStore(t *testing.T) {
	s := newStore(t)
	built := build(t, s, smallContext(t), "shop:1")
	img, err := s.Open(t.Context(), "shop:1")
	if err != nil {
		t.Fatal(err)
	}
	manifest, layer := s.blobPath(img.hash), s.blobPath(img.manifest.Layers[0].Digest)
	img.Close()
	good, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range [][]byte{nil, good[:len(good)/2], []byte(strings.Replace(string(good), "e", "f", 1))} {
		if err := os.WriteFile(manifest, bad, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Open(t.Context(), "shop:1"); !errors.Is(err, ErrDamaged) {
			t.Errorf("a manifest %q: %v", bad, err)
		}
		list, err := s.List(t.Context())
		if err != nil || len(list) != 1 || !errors.Is(list[0].Err, ErrDamaged) {
			t.Errorf("list: %+v, %v", list, err)
		}
	}
	if err := os.WriteFile(manifest, good, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(layer); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Push(t.Context(), "shop:1", PushOptions{}); !errors.Is(err, ErrDamaged) {
		t.Errorf("push without a layer: %v", err)
	}
	if err := s.SaveFile(t.Context(), []string{"shop:1"}, filepath.Join(t.TempDir(), "x.tar"), nil); !errors.Is(err, ErrDamaged) {
		t.Errorf("save without a layer: %v", err)
	}
	if b := build(t, s, smallContext(t), "shop:1"); b.Digest != built.Digest { // which makes it whole
		t.Errorf("built %s", b.Digest)
	}
	rootOf(t, s, "shop:1")
	if err := os.WriteFile(s.path("index.json"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := s.List(t.Context()); !errors.Is(err, ErrDamaged) {
		t.Errorf("index.json: %v", err)
	}
	if _, err := s.Prune(t.Context()); !errors.Is(err, ErrDamaged) { // which must not take it for empty
		t.Errorf("prune: %v", err)
	}
	if len(blobsOf(t, s, "blobs/sha256")) == 0 {
		t.Error("a damaged index made prune remove everything")
	}
}

func TestReferences(t *testing.T) {
	hex := strings.Repeat("a", 64)
	for text, want := range map[string][2]string{
		"shop":                           {"shop:latest", "docker.io/library/shop:latest"},
		"shop:1":                         {"shop:1", "docker.io/library/shop:1"},
		"acme/shop":                      {"acme/shop:latest", "docker.io/acme/shop:latest"},
		"docker.io/shop":                 {"shop:latest", "docker.io/library/shop:latest"},
		"index.docker.io/library/shop:2": {"shop:2", "docker.io/library/shop:2"},
		"ghcr.io/acme/shop:1":            {"ghcr.io/acme/shop:1", "ghcr.io/acme/shop:1"},
		"localhost/shop":                 {"localhost/shop:latest", "localhost/shop:latest"},
		"localhost:5000/a/b/c":           {"localhost:5000/a/b/c:latest", "localhost:5000/a/b/c:latest"},
		"[::1]:5000/shop:1":              {"[::1]:5000/shop:1", "[::1]:5000/shop:1"},
		"shop@sha256:" + hex:             {"shop@sha256:" + hex, "docker.io/library/shop@sha256:" + hex},
		"shop:1@sha256:" + hex:           {"shop@sha256:" + hex, "docker.io/library/shop@sha256:" + hex},
	} {
		r, err := ParseReference(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if r.String() != want[0] || r.Canonical() != want[1] {
			t.Errorf("%s is %s, %s", text, r, r.Canonical())
		}
		for _, again := range want {
			if back, err := ParseReference(again); err != nil || back != r {
				t.Errorf("%s is %+v, not %+v (%v)", again, back, r, err)
			}
		}
	}
	for _, text := range []string{"", "Shop", "shop:", "shop@", "shop@sha256:12", "a b", "/x", "shop:1:2", "../x", "a.b./x", "a/../x", "a//x", "a.b:x/y", "shop@md5:" + hex, "http://x/y"} {
		if r, err := ParseReference(text); !errors.Is(err, ErrReference) {
			t.Errorf("%q is %v, %v", text, r, err)
		}
	}
}
