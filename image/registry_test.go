package image

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// TestMain is also the other process of tests that need one: it pulls
// $HAKO_TEST_PULL into the store $HAKO_TEST_STORE.
func TestMain(m *testing.M) {
	if ref := os.Getenv("HAKO_TEST_PULL"); ref != "" {
		p, err := OpenStore(os.Getenv("HAKO_TEST_STORE"), Options{}).Pull(context.Background(), ref, PullOptions{})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(p.Digest)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// pullProcess begins a pull in another process.
func pullProcess(t testing.TB, s *Store, ref string) (cmd *exec.Cmd, out *bytes.Buffer) {
	t.Helper()
	cmd, out = exec.Command(os.Args[0]), &bytes.Buffer{}
	cmd.Env = append(os.Environ(), "HAKO_TEST_PULL="+ref, "HAKO_TEST_STORE="+s.dir)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, out
}

// bigContext is a build context whose image has a layer of some size.
func bigContext(t testing.TB, size int) string {
	t.Helper()
	content, err := random.Layer(int64(size), types.OCIUncompressedLayer)
	if err != nil {
		t.Fatal(err)
	}
	r, err := content.Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return writeFiles(t, "Hakofile.toml", `module = "app.wasm"`+"\n"+`files = [{ from = "big", to = "/big" }]`, "app.wasm", module, "big", string(b))
}

// served counts the bytes of blobs that a registry sends.
type served struct {
	blobs  atomic.Int64 // requests
	ranges atomic.Int64 // of them for a part
	bytes  atomic.Int64
}

func (c *served) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
			c.blobs.Add(1)
			if r.Header.Get("Range") != "" {
				c.ranges.Add(1)
			}
			w = &countedResponse{w, c}
		}
		next.ServeHTTP(w, r)
	})
}

type countedResponse struct {
	http.ResponseWriter
	c *served
}

func (w *countedResponse) Write(b []byte) (int, error) {
	n, err := w.ResponseWriter.Write(b)
	w.c.bytes.Add(int64(n))
	return n, err
}

func TestPullInSeveralProcesses(t *testing.T) {
	var c served
	host := newRegistry(t, c.wrap)
	from, s := newStore(t), newStore(t)
	ref := host + "/big:1"
	built := build(t, from, bigContext(t, 4<<20), ref)
	if _, err := from.Push(t.Context(), ref, PushOptions{}); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 3 {
		cmd, out := pullProcess(t, s, ref)
		wg.Go(func() {
			if err := cmd.Wait(); err != nil || strings.TrimSpace(out.String()) != built.Digest {
				t.Errorf("in another process: %v\n%s", err, out)
			}
		})
		wg.Go(func() {
			if p, err := s.Pull(t.Context(), ref, PullOptions{}); err != nil || p.Digest != built.Digest {
				t.Errorf("in this process: %+v, %v", p, err)
			}
		})
	}
	wg.Wait()
	if n := c.blobs.Load(); n != 3 { // the configuration and two layers
		t.Errorf("6 pulls fetched %d blobs; each is needed once", n)
	}
	if got := rootOf(t, s, ref); !strings.HasPrefix(got, "app.wasm=") {
		t.Errorf("root: %.100s", got)
	}
}

// A pull that is killed leaves a beginning that the next one takes up.
func TestPullKilled(t *testing.T) {
	var c served
	var slow atomic.Bool
	slow.Store(true)
	reached := make(chan struct{})
	var once sync.Once
	host := newRegistry(t, c.wrap, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if slow.Load() && r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
				w = &stuckResponse{w, 2 << 20, r.Context(), func() { once.Do(func() { close(reached) }) }}
			}
			next.ServeHTTP(w, r)
		})
	})
	from, s := newStore(t), newStore(t)
	ref := host + "/big:1"
	built := build(t, from, bigContext(t, 8<<20), ref)
	if _, err := from.Push(t.Context(), ref, PushOptions{}); err != nil {
		t.Fatal(err)
	}
	cmd, _ := pullProcess(t, s, ref)
	<-reached
	for !partialHas(s, 1<<20) { // what was sent also arrived
		time.Sleep(time.Millisecond)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	if _, err := s.Open(t.Context(), ref); !errors.Is(err, ErrUnknownImage) {
		t.Errorf("after the kill: %v", err)
	}
	if _, err := s.Remove(t.Context(), nil, false); err != nil { // which leaves beginnings alone
		t.Fatal(err)
	}
	slow.Store(false)
	if p, err := s.Pull(t.Context(), ref, PullOptions{}); err != nil || p.Digest != built.Digest {
		t.Fatalf("pulled again: %+v, %v", p, err)
	}
	if c.ranges.Load() == 0 {
		t.Error("the second pull began anew")
	}
	rootOf(t, s, ref)
}

func partialHas(s *Store, n int64) bool {
	list, _ := filepath.Glob(s.path("ingest", "*.partial"))
	for _, name := range list {
		if info, err := os.Stat(name); err == nil && info.Size() >= n {
			return true
		}
	}
	return false
}

// A stuckResponse stops after some bytes until the client goes.
type stuckResponse struct {
	http.ResponseWriter
	left  int
	ctx   context.Context
	stuck func()
}

func (w *stuckResponse) Write(b []byte) (int, error) {
	if w.left < len(b) {
		w.ResponseWriter.Write(b[:w.left])
		w.ResponseWriter.(http.Flusher).Flush()
		w.stuck()
		<-w.ctx.Done()
		return 0, w.ctx.Err()
	}
	w.left -= len(b)
	return w.ResponseWriter.Write(b)
}

func (w *countedResponse) Flush() { w.ResponseWriter.(http.Flusher).Flush() }

func TestPullCancelled(t *testing.T) {
	reached := make(chan struct{})
	var once sync.Once
	host := newRegistry(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
				w = &stuckResponse{w, 1 << 10, r.Context(), func() { once.Do(func() { close(reached) }) }}
			}
			next.ServeHTTP(w, r)
		})
	})
	from, s := newStore(t), newStore(t)
	ref := host + "/big:1"
	build(t, from, bigContext(t, 1<<20), ref)
	if _, err := from.Push(t.Context(), ref, PushOptions{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-reached; cancel() }()
	if _, err := s.Pull(ctx, ref, PullOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// A registry that breaks off, and one that sends other bytes.
func TestPullFaults(t *testing.T) {
	var mode atomic.Value
	mode.Store("")
	var cuts atomic.Int64
	host := newRegistry(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/") {
				next.ServeHTTP(w, r)
				return
			}
			rec := httptest.NewRecorder()
			switch mode.Load() {
			case "no ranges":
				r.Header.Del("Range")
				fallthrough
			case "no such range":
				if r.Header.Get("Range") != "" {
					http.Error(w, "no", http.StatusRequestedRangeNotSatisfiable)
					return
				}
				fallthrough
			case "cut":
				next.ServeHTTP(rec, r)
				b := rec.Body.Bytes()
				copyHeader(w, rec)
				if len(b) > 100_000 && cuts.Add(1) <= 3 {
					w.Write(b[:100_000])
					panic(http.ErrAbortHandler)
				}
				w.Write(b)
			case "other bytes":
				next.ServeHTTP(rec, r)
				b := rec.Body.Bytes()
				b[len(b)/2] ^= 1
				copyHeader(w, rec)
				w.Write(b)
			case "longer":
				next.ServeHTTP(rec, r)
				w.Write(append(rec.Body.Bytes(), "more"...))
			case "gone":
				http.Error(w, "gone", http.StatusNotFound)
			default:
				next.ServeHTTP(w, r)
			}
		})
	})
	from := newStore(t)
	ref := host + "/big:1"
	build(t, from, bigContext(t, 1<<20), ref)
	if _, err := from.Push(t.Context(), ref, PushOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, m := range []string{"cut", "no ranges", "no such range"} {
		mode.Store(m)
		cuts.Store(0)
		s := newStore(t)
		var done, total int64
		if _, err := s.Pull(t.Context(), ref, PullOptions{Progress: func(d, n int64) { done, total = d, n }}); err != nil {
			t.Fatalf("%s: %v", m, err)
		}
		if done != total {
			t.Errorf("%s: the progress ended at %d of %d", m, done, total)
		}
		rootOf(t, s, ref)
	}
	for m, want := range map[string]error{"other bytes": ErrDamaged, "longer": ErrDamaged, "gone": ErrUnknownImage} {
		mode.Store(m)
		s := newStore(t)
		if _, err := s.Pull(t.Context(), ref, PullOptions{}); !errors.Is(err, want) {
			t.Errorf("%s: %v", m, err)
		}
		if list, err := s.List(t.Context()); err != nil || len(list) > 0 {
			t.Errorf("%s: the store has %v, %v", m, list, err)
		}
		mode.Store("")
		if _, err := s.Pull(t.Context(), ref, PullOptions{}); err != nil {
			t.Errorf("%s, and then a good registry: %v", m, err)
		}
	}
}

func copyHeader(w http.ResponseWriter, rec *httptest.ResponseRecorder) {
	for k, v := range rec.Header() {
		w.Header()[k] = v
	}
	w.WriteHeader(rec.Code)
}

func TestTLSAndCredentials(t *testing.T) {
	h := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "maria" || password != "secret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "https://")
	ref := host + "/shop:1"
	s := newStore(t)
	build(t, s, smallContext(t), ref)

	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}

	// Credentials as docker login keeps them.
	t.Setenv("DOCKER_CONFIG", writeFiles(t, "config.json", `{"auths": {"`+host+`": {"auth": "bWFyaWE6c2VjcmV0"}}}`))
	o := RegistryOptions{Transport: transport}
	if _, err := s.Push(t.Context(), ref, PushOptions{RegistryOptions: o}); err != nil {
		t.Fatal(err)
	}
	if _, err := newStore(t).Pull(t.Context(), ref, PullOptions{RegistryOptions: o}); err != nil {
		t.Fatal(err)
	}
	for _, auth := range []authn.Authenticator{authn.Anonymous, &authn.Basic{Username: "maria", Password: "wrong"}} {
		o.Keychain = keychain{auth}
		_, err := newStore(t).Pull(t.Context(), ref, PullOptions{RegistryOptions: o})
		if !errors.Is(err, ErrDenied) || !strings.Contains(err.Error(), "docker login "+host) || strings.Contains(err.Error(), "wrong") {
			t.Errorf("%v: %v", auth, err)
		}
		if _, err := s.Push(t.Context(), ref, PushOptions{RegistryOptions: o}); !errors.Is(err, ErrDenied) {
			t.Errorf("push as %v: %v", auth, err)
		}
	}
	// A certificate that nobody vouches for.
	if _, err := newStore(t).Pull(t.Context(), ref, PullOptions{}); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("without the certificate: %v", err)
	}
}

type keychain struct{ authn.Authenticator }

func (k keychain) Resolve(authn.Resource) (authn.Authenticator, error) { return k.Authenticator, nil }

// namedTransport sends what is for other hosts to the one registry, without
// TLS.
type namedTransport struct{ host string }

func (n namedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme == "https" {
		return nil, errors.New("nobody speaks TLS there")
	}
	r = r.Clone(r.Context())
	r.URL.Host = n.host
	return http.DefaultTransport.RoundTrip(r)
}

func TestPlainHTTP(t *testing.T) {
	host := newRegistry(t)
	for _, remote := range []string{"registry.example", "10.1.2.3:5000", "192.168.0.9", "registry.local", "docker.io"} {
		ref := remote + "/acme/shop:1"
		s := newStore(t)
		build(t, s, smallContext(t), ref)
		o := RegistryOptions{Transport: namedTransport{host}}
		if _, err := s.Push(t.Context(), ref, PushOptions{RegistryOptions: o}); err == nil {
			t.Errorf("pushed to %s in plain HTTP", remote)
		}
		if _, err := s.Pull(t.Context(), ref, PullOptions{RegistryOptions: o}); err == nil {
			t.Errorf("pulled from %s in plain HTTP", remote)
		}
		o.Insecure = true
		if _, err := s.Push(t.Context(), ref, PushOptions{RegistryOptions: o}); err != nil {
			t.Errorf("push to %s: %v", remote, err)
		}
		if _, err := newStore(t).Pull(t.Context(), ref, PullOptions{RegistryOptions: o}); err != nil {
			t.Errorf("pull from %s: %v", remote, err)
		}
	}
}

// A registry may send the client elsewhere for blobs, but not to where it
// could not go itself.
func TestRedirects(t *testing.T) {
	target := newRegistry(t)
	var to atomic.Value
	to.Store("")
	host := newRegistry(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if url := to.Load().(string); url != "" && strings.Contains(r.URL.Path, "/blobs/") {
				http.Redirect(w, r, url+r.URL.Path, http.StatusTemporaryRedirect)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	s := newStore(t)
	for _, h := range []string{host, target} {
		build(t, s, smallContext(t), h+"/shop:1")
		if _, err := s.Push(t.Context(), h+"/shop:1", PushOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	to.Store("http://" + target)
	if _, err := newStore(t).Pull(t.Context(), host+"/shop:1", PullOptions{}); err != nil {
		t.Errorf("to a host of the same address: %v", err)
	}
	for url, want := range map[string]error{"https://169.254.169.254": ErrUnsafe, "https://10.0.0.1": ErrUnsafe, "http://registry.example": ErrPlainHTTP} {
		to.Store(url)
		if _, err := newStore(t).Pull(t.Context(), host+"/shop:1", PullOptions{}); !errors.Is(err, want) {
			t.Errorf("to %s: %v", url, err)
		}
	}
}

// platformImage is an image that says to be for a platform.
func platformImage(t testing.TB, os, arch string, annotations map[string]string) v1.Image {
	t.Helper()
	img, err := mutate.AppendLayers(empty.Image, static.NewLayer(tarOf(t, file("app.wasm", module)), types.OCIUncompressedLayer))
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = os, arch
	config.Config.Entrypoint = []string{"/app.wasm", os}
	if img, err = mutate.ConfigFile(img, config); err != nil {
		t.Fatal(err)
	}
	if annotations != nil {
		img = mutate.Annotations(img, annotations).(v1.Image)
	}
	return img
}

func TestPlatforms(t *testing.T) {
	host := newRegistry(t)
	put := func(image string, images ...v1.Image) name.Reference {
		ref, err := name.ParseReference(host + "/" + image)
		if err != nil {
			t.Fatal(err)
		}
		if len(images) == 1 {
			err = remote.Write(ref, images[0])
		} else {
			var index v1.ImageIndex = empty.Index
			for _, img := range images {
				config, e := img.ConfigFile()
				if e != nil {
					t.Fatal(e)
				}
				index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: config.Platform()}})
			}
			err = remote.WriteIndex(ref, index)
		}
		if err != nil {
			t.Fatal(err)
		}
		return ref
	}
	linux, arm := platformImage(t, "linux", "amd64", nil), platformImage(t, "linux", "arm64", nil)
	wasi, wasip1, wasip2 := platformImage(t, "wasi", "wasm", nil), platformImage(t, "wasip1", "wasm", nil), platformImage(t, "wasip2", "wasm", nil)
	compat := platformImage(t, "linux", "amd64", map[string]string{annotationVariant: "compat"})
	for i, c := range []struct {
		images []v1.Image
		want   string // the platform
		says   string // or the error
	}{
		{[]v1.Image{wasi}, "wasi/wasm", ""},
		{[]v1.Image{wasip1}, "wasip1/wasm", ""},
		{[]v1.Image{compat}, "linux/amd64", ""},
		{[]v1.Image{linux, wasi}, "wasi/wasm", ""},
		{[]v1.Image{wasi, linux, wasip1}, "wasip1/wasm", ""},
		{[]v1.Image{wasip2, wasi}, "wasi/wasm", ""},
		{[]v1.Image{linux}, "", "ordinary container image (for linux/amd64)"},
		{[]v1.Image{linux, arm}, "", "ordinary container image (for linux/amd64, linux/arm64)"},
		{[]v1.Image{wasip2}, "", "component for wasip2"},
		{[]v1.Image{linux, wasip2}, "", "component for wasip2"},
	} {
		ref := put(fmt.Sprintf("p%d:1", i), c.images...)
		s := newStore(t)
		_, err := s.Pull(t.Context(), ref.String(), PullOptions{})
		if c.want == "" {
			if !errors.Is(err, ErrNotWasm) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%d: %v", i, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%d: %v", i, err)
			continue
		}
		img, err := s.Open(t.Context(), ref.String())
		if err != nil {
			t.Fatal(err)
		}
		if img.Platform != c.want {
			t.Errorf("%d: %s", i, img.Platform)
		}
		if b, err := img.Module(t.Context()); err != nil || string(b) != module {
			t.Errorf("%d: module %q, %v", i, b, err)
		}
		img.Close()
	}
	// By the digest of an index, and of the image in it.
	ref := put("digest:1", linux, wasi)
	d, err := remote.Get(ref)
	if err != nil {
		t.Fatal(err)
	}
	s := newStore(t)
	byIndex := host + "/digest@" + d.Digest.String()
	p, err := s.Pull(t.Context(), byIndex, PullOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []string{byIndex, host + "/digest@" + p.Digest, p.Digest, p.Digest[7:20]} {
		img, err := s.Open(t.Context(), r)
		if err != nil || img.Digest != p.Digest {
			t.Errorf("open %s: %v", r, err)
			continue
		}
		img.Close()
	}
	if _, err := s.Open(t.Context(), host+"/other@"+p.Digest); !errors.Is(err, ErrUnknownImage) {
		t.Errorf("the digest under another name: %v", err)
	}
	if _, err := s.Pull(t.Context(), host+"/digest@sha256:"+strings.Repeat("0", 64), PullOptions{}); !errors.Is(err, ErrUnknownImage) {
		t.Errorf("a digest that is not there: %v", err)
	}
	if _, err := s.Pull(t.Context(), host+"/none:1", PullOptions{}); !errors.Is(err, ErrUnknownImage) || !strings.Contains(err.Error(), "has no image") {
		t.Errorf("an image that is not there: %v", err)
	}
}

// Artifacts as CNCF describes them, and as wasm-to-oci made them.
func TestArtifacts(t *testing.T) {
	host := newRegistry(t)
	for i, media := range [][2]types.MediaType{
		{"application/vnd.wasm.config.v0+json", "application/wasm"},
		{"application/vnd.wasm.config.v1+json", "application/vnd.wasm.content.layer.v1+wasm"},
		{"application/vnd.oci.empty.v1+json", "application/wasm"},
	} {
		img, err := mutate.AppendLayers(empty.Image, static.NewLayer([]byte(module+"x"), media[1]))
		if err != nil {
			t.Fatal(err)
		}
		img = mutate.ConfigMediaType(mutate.MediaType(img, types.OCIManifestSchema1), media[0])
		config, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		config = config.DeepCopy()
		config.OS, config.Architecture = "wasip1", "wasm"
		if img, err = mutate.ConfigFile(img, config); err != nil {
			t.Fatal(err)
		}
		ref, err := name.ParseReference(fmt.Sprintf("%s/a%d:1", host, i))
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Write(ref, img); err != nil {
			t.Fatal(err)
		}
		s := newStore(t)
		if _, err := s.Pull(t.Context(), ref.String(), PullOptions{}); err != nil {
			t.Errorf("%v: %v", media, err)
			continue
		}
		opened, err := s.Open(t.Context(), ref.String())
		if err != nil {
			t.Fatal(err)
		}
		b, err := opened.Module(t.Context())
		if err != nil || string(b) != module+"x" || !opened.Artifact || opened.Command("a")[1] != "a" {
			t.Errorf("%v: %q, %v, %+v", media, b, err, opened)
		}
		if root, err := opened.Root(t.Context()); err != nil || listFiles(t, root) != "" {
			t.Errorf("%v: the root is not empty: %v", media, err)
		}
		opened.Close()
	}
}
