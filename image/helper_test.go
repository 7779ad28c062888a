package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"
)

// module is the smallest Wasm module.
const module = "\x00asm\x01\x00\x00\x00"

func newStore(t testing.TB) *Store {
	t.Helper()
	s := OpenStore(filepath.Join(t.TempDir(), "images"), Options{})
	s.noSync = true // no test here pulls the plug
	s.pause = time.Millisecond
	return s
}

// newRegistry runs a registry in this process and returns its host and port.
func newRegistry(t testing.TB, wrap ...func(http.Handler) http.Handler) string {
	t.Helper()
	h := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	for _, w := range wrap {
		h = w(h)
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// writeFiles makes files below a new folder: name, content, name, content ...
// A name that ends with a slash is a folder, a content "-> x" a link.
func writeFiles(t testing.TB, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		name := filepath.Join(dir, files[i])
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		switch target, link := strings.CutPrefix(files[i+1], "-> "); {
		case strings.HasSuffix(files[i], "/"):
			err = os.MkdirAll(name, 0o755)
		case link:
			err = os.Symlink(target, name)
		default:
			err = os.WriteFile(name, []byte(files[i+1]), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// listFiles returns what is below a folder: names of folders with a slash,
// links with their target, files with their content.
func listFiles(t testing.TB, dir string) string {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	files, err := readTree(root, nil)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, name := range files.paths() {
		n := files.nodes[name]
		switch {
		case n.isDir():
			b.WriteString(name + "/\n")
		case n.target != "":
			b.WriteString(name + " -> " + n.target + "\n")
		default:
			content, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			b.WriteString(name + "=" + string(content) + "\n")
		}
	}
	return b.String()
}

// tarOf makes a layer. Headers without a type are files, their content is in
// Linkname; sizes are added.
func tarOf(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		content := ""
		if h.Typeflag == 0 {
			h.Typeflag, content, h.Linkname = tar.TypeReg, h.Linkname, ""
			h.Size = int64(len(content))
		}
		if h.Mode == 0 && h.Typeflag != tar.TypeXGlobalHeader {
			h.Mode = 0o644
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func file(name, content string) tar.Header { return tar.Header{Name: name, Linkname: content} }
func dir(name string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: 0o755}
}
func symlink(name, target string) tar.Header {
	return tar.Header{Name: name, Linkname: target, Typeflag: tar.TypeSymlink}
}
func hardlink(name, target string) tar.Header {
	return tar.Header{Name: name, Linkname: target, Typeflag: tar.TypeLink}
}

func gzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zstded(t testing.TB, b []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(b, nil)
}

// addImage puts an image of these uncompressed layers into the store, under
// the name, without a check.
func addImage(t testing.TB, s *Store, name string, layers ...[]byte) *Image {
	t.Helper()
	img, err := tryAddImage(t, s, name, nil, layers...)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// tryAddImage is addImage of layers that compress compresses.
func tryAddImage(t testing.TB, s *Store, name string, compress func(testing.TB, []byte) []byte, layers ...[]byte) (*Image, error) {
	t.Helper()
	ctx := t.Context()
	if err := s.prepare(); err != nil {
		return nil, err
	}
	var list []layer
	for _, b := range layers {
		sum := sha256.New()
		sum.Write(b)
		l := layer{diff: sha256Hash(sum)}
		if compress != nil {
			b = compress(t, b)
		}
		h, err := s.putBytes(ctx, b)
		if err != nil {
			return nil, err
		}
		l.desc = v1.Descriptor{MediaType: types.OCILayer, Size: int64(len(b)), Digest: h}
		list = append(list, l)
	}
	config := &v1.ConfigFile{OS: "wasi", Architecture: "wasm", Config: v1.Config{Entrypoint: []string{"/app.wasm"}}}
	d, err := s.writeImage(ctx, config, list, nil)
	if err != nil {
		return nil, err
	}
	ref, err := ParseReference(name)
	if err != nil {
		return nil, err
	}
	if err := s.name(ctx, entry{desc: d, ref: ref}); err != nil {
		return nil, err
	}
	img, err := s.Open(ctx, name)
	if err == nil {
		t.Cleanup(func() { img.Close() })
	}
	return img, err
}

// build builds an image of a folder and fails the test if it cannot.
func build(t testing.TB, s *Store, dir, name string) Built {
	t.Helper()
	b, err := s.Build(context.Background(), BuildOptions{Dir: dir, Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// rootOf unpacks an image and lists its files.
func rootOf(t testing.TB, s *Store, name string) string {
	t.Helper()
	img, err := s.Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	root, err := img.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return listFiles(t, root)
}
