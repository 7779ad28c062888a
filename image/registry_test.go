package image

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

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

// A registry that hands out tokens, and is overloaded at first. Credentials
// go to the registry and to nobody else.
func TestTokensAndRetries(t *testing.T) {
	var busy atomic.Int64
	var elsewhere atomic.Value
	var self atomic.Value
	other := newRegistry(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if a := r.Header.Get("Authorization"); a != "" {
				t.Errorf("%q was sent to another host", a)
			}
			next.ServeHTTP(w, r)
		})
	})
	elsewhere.Store("")
	host := newRegistry(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch user, password, _ := r.BasicAuth(); {
			case r.URL.Path == "/token" && user == "maria" && password == "secret":
				io.WriteString(w, `{"token": "t0k"}`)
			case r.URL.Path == "/token":
				http.Error(w, "no", http.StatusUnauthorized)
			case r.Header.Get("Authorization") != "Bearer t0k":
				w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+self.Load().(string)+`/token",service="test"`)
				http.Error(w, "no", http.StatusUnauthorized)
			case busy.Add(-1) >= 0:
				http.Error(w, "busy", http.StatusServiceUnavailable)
			case elsewhere.Load() != "" && strings.Contains(r.URL.Path, "/blobs/"):
				http.Redirect(w, r, elsewhere.Load().(string)+r.URL.Path, http.StatusTemporaryRedirect)
			default:
				next.ServeHTTP(w, r)
			}
		})
	})
	self.Store(host)
	s := newStore(t)
	for _, h := range []string{host, other} {
		build(t, s, smallContext(t), h+"/shop:1")
	}
	if _, err := s.Push(t.Context(), other+"/shop:1", PushOptions{}); err != nil {
		t.Fatal(err)
	}
	o := RegistryOptions{Keychain: keychain{&authn.Basic{Username: "maria", Password: "secret"}}}
	busy.Store(1)
	if _, err := s.Push(t.Context(), host+"/shop:1", PushOptions{RegistryOptions: o}); err != nil {
		t.Fatal(err)
	}
	busy.Store(2)
	if _, err := newStore(t).Pull(t.Context(), host+"/shop:1", PullOptions{RegistryOptions: o}); err != nil {
		t.Error(err)
	}
	elsewhere.Store("http://" + other)
	if _, err := newStore(t).Pull(t.Context(), host+"/shop:1", PullOptions{RegistryOptions: o}); err != nil {
		t.Error(err)
	}
	o.Keychain = keychain{&authn.Basic{Username: "maria", Password: "wrong"}}
	if _, err := newStore(t).Pull(t.Context(), host+"/shop:1", PullOptions{RegistryOptions: o}); !errors.Is(err, ErrDenied) {
		t.Errorf("with a wrong password: %v", err)
	}
}
