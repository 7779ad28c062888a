package image

import (
	"archive/tar"
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// pluginOf makes an image of these layers for linux/amd64.
func pluginOf(t testing.TB, manifest, config types.MediaType, layers ...v1.Layer) v1.Image {
	t.Helper()
	img, err := mutate.AppendLayers(mutate.MediaType(empty.Image, manifest), layers...)
	if err != nil {
		t.Fatal(err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", "amd64"
	if img, err = mutate.ConfigFile(img, file); err != nil {
		t.Fatal(err)
	}
	return mutate.ConfigMediaType(img, config)
}

// pushImage pushes an image and returns its digest.
func pushImage(t testing.TB, ref string, img v1.Image) string {
	t.Helper()
	r, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(r, img); err != nil {
		t.Fatal(err)
	}
	h, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return h.String()
}

// tarLayer is a layer with its right digest when it is not compressed.
func tarLayer(t testing.TB, b []byte, media types.MediaType) v1.Layer {
	t.Helper()
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }, tarball.WithMediaType(media))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// compat is the layout of ordinary images.
func compat(t testing.TB) v1.Image {
	t.Helper()
	layer := gzipped(t, tarOf(t, file("runtime-config.json", "{}"), file("./plugin.wasm", module+"x")))
	return pluginOf(t, types.DockerManifestSchema2, types.DockerConfigJSON, tarLayer(t, layer, types.DockerLayer))
}

// TestPluginLayouts: each layout that plugins come in gives the module, pulled
// by Plugin or by Pull.
func TestPluginLayouts(t *testing.T) {
	plugin := gzipped(t, tarOf(t, dir("opt/"), file("opt/plugin.wasm", module+"x"), file("other", "y")))
	readme := static.NewLayer([]byte("# plugin"), "application/vnd.module.wasm.doc.v1+markdown")
	spec := static.NewLayer([]byte("apiVersion: 1.0.0"), "application/vnd.module.wasm.spec.v1+yaml")
	index := func(images ...v1.Image) v1.ImageIndex {
		var list v1.ImageIndex = empty.Index
		for i, img := range images {
			list = mutate.AppendManifests(list, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{
				Platform: &v1.Platform{OS: "linux", Architecture: []string{"arm64", "amd64"}[i]}}})
		}
		return list
	}
	for what, c := range map[string]struct {
		img      v1.Image
		index    v1.ImageIndex
		ordinary bool // not to be told from an image of something else
	}{
		"compat, of Docker": {img: compat(t), ordinary: true},
		"compat, of OCI": {img: mutate.Annotations(pluginOf(t, types.OCIManifestSchema1, types.OCIConfigJSON,
			tarLayer(t, plugin, types.OCILayer)), map[string]string{annotationVariant: "compat"}).(v1.Image)},
		"compat, without its annotation": {img: pluginOf(t, types.OCIManifestSchema1, types.OCIConfigJSON,
			tarLayer(t, plugin, types.OCILayer)), ordinary: true},
		"compat, not compressed": {img: pluginOf(t, types.OCIManifestSchema1, types.OCIConfigJSON,
			static.NewLayer(tarOf(t, file("plugin.wasm", module+"x")), types.OCIUncompressedLayer)), ordinary: true},
		"compat, for two platforms": {index: index(compat(t), compat(t)), ordinary: true},
		"oci":                       {img: pluginOf(t, types.OCIManifestSchema1, pluginConfig, static.NewLayer([]byte(module+"x"), pluginLayer))},
		"oci, with a configuration of nothing": {img: pluginOf(t, types.OCIManifestSchema1, "application/vnd.oci.empty.v1+json",
			static.NewLayer([]byte(module+"x"), pluginLayer))},
		"CNCF's": {img: mutate.ConfigMediaType(wasmArtifact(t), wasmConfig)},
		"Higress'": {img: pluginOf(t, types.OCIManifestSchema1, types.OCIConfigJSON, spec, readme,
			tarLayer(t, gzipped(t, tarOf(t, file("README.md", "#"))), types.OCILayer), tarLayer(t, plugin, types.OCILayer))},
		"Higress', with a configuration of no image": {img: pluginOf(t, types.OCIManifestSchema1, "application/vnd.unknown.config.v1+json",
			spec, readme, tarLayer(t, plugin, types.OCILayer))},
	} {
		t.Run(what, func(t *testing.T) {
			ref := newRegistry(t) + "/filters/waf:1"
			if c.index != nil {
				r, err := name.ParseReference(ref)
				if err == nil {
					err = remote.WriteIndex(r, c.index)
				}
				if err != nil {
					t.Fatal(err)
				}
			} else {
				pushImage(t, ref, c.img)
			}
			s := newStore(t)
			p, err := s.Plugin(t.Context(), "oci://"+ref, PluginOptions{})
			if err != nil || string(p.Module) != module+"x" || p.Name != ref {
				t.Fatalf("%+v, %v", p, err)
			}
			if list, err := s.List(t.Context()); err != nil || len(list) != 1 || list[0].Err != nil || list[0].Digest != p.Digest {
				t.Errorf("the store has %+v, %v", list, err)
			}
			s = newStore(t)
			switch _, err := s.Pull(t.Context(), ref, PullOptions{}); {
			case c.ordinary && !errors.Is(err, ErrNotWasm):
				t.Errorf("pulled as an image: %v", err)
			case !c.ordinary && err != nil:
				t.Errorf("pulled as an image: %v", err)
			}
			if _, err := s.Pull(t.Context(), ref, PullOptions{Plugin: true}); err != nil {
				t.Fatal(err)
			}
			img, err := s.Open(t.Context(), ref)
			if err != nil {
				t.Fatal(err)
			}
			defer img.Close()
			if b, err := img.Module(t.Context()); err != nil || string(b) != module+"x" {
				if !strings.HasPrefix(what, "compat") || !errors.Is(err, ErrNoModule) { // as it would be run, it is in a folder
					t.Errorf("the module is %q, %v", b, err)
				}
			}
		})
	}
}

// wasmArtifact is one as CNCF describes it.
func wasmArtifact(t testing.TB) v1.Image {
	t.Helper()
	img, err := mutate.AppendLayers(empty.Image, static.NewLayer([]byte(module+"x"), wasmLayer))
	if err != nil {
		t.Fatal(err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "wasip1", "wasm"
	if img, err = mutate.ConfigFile(mutate.MediaType(img, types.OCIManifestSchema1), file); err != nil {
		t.Fatal(err)
	}
	return img
}

// TestPluginIsNone: images that hold no plugin, or a damaged one.
func TestPluginIsNone(t *testing.T) {
	host := newRegistry(t)
	layer := func(headers ...tar.Header) v1.Layer {
		return static.NewLayer(gzipped(t, tarOf(t, headers...)), types.OCILayer)
	}
	for what, c := range map[string]struct {
		layer v1.Layer
		want  error
	}{
		"other files": {layer(file("sh", "x")), ErrNoModule},
		"a link":      {layer(symlink("plugin.wasm", "/etc/passwd")), ErrNoModule},
		"no module":   {layer(file("plugin.wasm", "#!/bin/sh")), ErrNoModule},
		"no tar":      {static.NewLayer([]byte("no tar at all, and longer than the five hundred and twelve bytes of a header: "+strings.Repeat("x", 600)), types.OCILayer), ErrDamaged},
		"too large":   {layer(file("plugin.wasm", module+strings.Repeat("x", 2000))), ErrTooLarge},
		"raw":         {static.NewLayer([]byte("not"), pluginLayer), ErrNoModule},
	} {
		ref := host + "/p/" + strings.ReplaceAll(what, " ", "-")
		pushImage(t, ref, pluginOf(t, types.OCIManifestSchema1, types.OCIConfigJSON, c.layer))
		s := newStore(t)
		s.limits.Module = 1000
		if p, err := s.Plugin(t.Context(), "oci://"+ref, PluginOptions{}); !errors.Is(err, c.want) {
			t.Errorf("%s: %+v, %v", what, p, err)
		}
	}
	// A layer that was changed on disk.
	s, ref := newStore(t), host+"/p/damaged"
	pushImage(t, ref, compat(t))
	if _, err := s.Plugin(t.Context(), "oci://"+ref, PluginOptions{}); err != nil {
		t.Fatal(err)
	}
	img, err := s.Open(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	other := gzipped(t, tarOf(t, file("plugin.wasm", module+"evil")))
	if err := os.WriteFile(s.blobPath(img.manifest.Layers[0].Digest), other, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Plugin(t.Context(), "oci://"+ref, PluginOptions{}); !errors.Is(err, ErrDamaged) {
		t.Errorf("a changed layer: %v", err)
	}
}

// TestPluginPinned: digests hold, of files and of images; what is pinned and
// there needs no registry.
func TestPluginPinned(t *testing.T) {
	var asked atomic.Int64
	host := newRegistry(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { asked.Add(1); next.ServeHTTP(w, r) })
	})
	s := newStore(t)
	digest := pushImage(t, host+"/waf:1", compat(t))
	wrong := "sha256:" + strings.Repeat("0", 64)
	if _, err := s.Plugin(t.Context(), "oci://"+host+"/waf@"+wrong, PluginOptions{}); err == nil {
		t.Error("an image of a digest that there is not")
	}
	o := PluginOptions{Always: true}
	p, err := s.Plugin(t.Context(), "oci://"+host+"/waf@"+digest, o)
	if err != nil || p.Digest != digest {
		t.Fatalf("%+v, %v", p, err)
	}
	asked.Store(0)
	if _, err := s.Plugin(t.Context(), "oci://"+host+"/waf@"+digest, o); err != nil || asked.Load() != 0 {
		t.Errorf("pinned and there: %v, %d requests", err, asked.Load())
	}
	// A tag moves, and Always follows.
	if _, err := s.Plugin(t.Context(), "oci://"+host+"/waf:1", PluginOptions{}); err != nil {
		t.Fatal(err)
	}
	moved := pushImage(t, host+"/waf:1", wasmArtifact(t))
	if p, err := s.Plugin(t.Context(), "oci://"+host+"/waf:1", PluginOptions{}); err != nil || p.Digest != digest {
		t.Errorf("a tag that the store knows: %+v, %v", p, err)
	}
	if p, err := s.Plugin(t.Context(), "oci://"+host+"/waf:1", o); err != nil || p.Digest != moved {
		t.Errorf("a tag that moved: %+v, %v", p, err)
	}
	if _, err := s.Plugin(t.Context(), "oci://"+host+"/waf:1", PluginOptions{SHA256: "00"}); !errors.Is(err, ErrDigest) {
		t.Errorf("the digest of a file for an image: %v", err)
	}

	path := writeFiles(t, "waf.wasm", module+"x") + "/waf.wasm"
	sum := fmt.Sprintf("%X", sha256.Sum256([]byte(module+"x")))
	if p, err := s.Plugin(t.Context(), path, PluginOptions{SHA256: sum}); err != nil || string(p.Module) != module+"x" || p.Digest != "sha256:"+strings.ToLower(sum) {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := s.Plugin(t.Context(), path, PluginOptions{SHA256: strings.Repeat("0", 64)}); !errors.Is(err, ErrDigest) {
		t.Errorf("another file: %v", err)
	}
	if _, err := s.Plugin(t.Context(), path, PluginOptions{Key: []byte("k")}); !errors.Is(err, ErrSignature) {
		t.Errorf("a key for a file: %v", err)
	}
}

// signed pushes a signature of payload beside an image, as cosign does.
func signed(t testing.TB, repository, digest string, payload, sig []byte) {
	t.Helper()
	img, err := mutate.Append(mutate.MediaType(empty.Image, types.OCIManifestSchema1), mutate.Addendum{
		Layer:       static.NewLayer(payload, signedLayer),
		Annotations: map[string]string{annotationSignature: base64.StdEncoding.EncodeToString(sig)},
	})
	if err != nil {
		t.Fatal(err)
	}
	pushImage(t, repository+":"+strings.Replace(digest, ":", "-", 1)+".sig", img)
}

func signedText(digest string) []byte {
	return fmt.Appendf(nil, `{"critical":{"identity":{"docker-reference":"x"},"image":{"docker-manifest-digest":%q},"type":%q},"optional":null}`, digest, signedType)
}

// publicPEM is a key as cosign writes it.
func publicPEM(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	b, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: b})
}

// sign signs as cosign does.
func sign(t testing.TB, key crypto.Signer, payload []byte) []byte {
	t.Helper()
	message, hash := payload, crypto.Hash(0)
	if _, ok := key.(ed25519.PrivateKey); !ok {
		sum := sha256.Sum256(payload)
		message, hash = sum[:], crypto.SHA256
	}
	sig, err := key.Sign(rand.Reader, message, hash)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

// TestSignatures: an image is taken with a signature by the key, and not
// without, by another key, of another image, or with one that was changed.
func TestSignatures(t *testing.T) {
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsa2048, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var off atomic.Bool
	host := newRegistry(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if off.Load() {
				http.Error(w, "off", http.StatusNotFound)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	for kind, key := range map[string]crypto.Signer{"ecdsa": p256, "ed25519": ed, "rsa": rsa2048} {
		t.Run(kind, func(t *testing.T) {
			repository := host + "/" + kind
			digest := pushImage(t, repository+":1", compat(t))
			s, source := newStore(t), "oci://"+repository+":1"
			o := PluginOptions{Key: publicPEM(t, key)}
			refused := func(what string) {
				t.Helper()
				if _, err := s.Plugin(t.Context(), source, o); !errors.Is(err, ErrSignature) {
					t.Errorf("%s: %v", what, err)
				}
			}
			refused("no signature")
			payload := signedText(digest)
			signed(t, repository, digest, payload, sign(t, other, payload))
			refused("another key")
			payload = signedText("sha256:" + strings.Repeat("1", 64))
			signed(t, repository, digest, payload, sign(t, key, payload))
			refused("of another image")
			payload = signedText(digest)
			good := sign(t, key, payload)
			signed(t, repository, digest, bytes.Replace(payload, []byte(`"x"`), []byte(`"y"`), 1), good)
			refused("a changed text")
			payload = bytes.Replace(payload, []byte(signedType), []byte("other"), 1)
			signed(t, repository, digest, payload, sign(t, key, payload))
			refused("of another type")

			signed(t, repository, digest, signedText(digest), good)
			if p, err := s.Plugin(t.Context(), source, o); err != nil || p.Digest != digest {
				t.Fatalf("signed: %+v, %v", p, err)
			}
			off.Store(true)
			if err := s.Verify(t.Context(), repository+":1", o.Key, RegistryOptions{}); err != nil {
				t.Errorf("without the registry: %v", err)
			}
			off.Store(false)
			o.Key = publicPEM(t, other)
			refused("kept, and another key")
			if _, err := s.Remove(t.Context(), []string{repository + ":1"}, false); err != nil {
				t.Fatal(err)
			}
			if left, err := os.ReadDir(s.path("signatures")); err != nil || len(left) != 0 {
				t.Errorf("signatures stay when the image is removed: %v, %v", left, err)
			}
		})
	}
}

// TestSignatureOfIndex: a signature of the index holds for its images.
func TestSignatureOfIndex(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ref := newRegistry(t) + "/waf"
	r, err := name.ParseReference(ref + ":1")
	if err != nil {
		t.Fatal(err)
	}
	index := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: compat(t), Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "arm64"}}})
	if err := remote.WriteIndex(r, index); err != nil {
		t.Fatal(err)
	}
	digest, err := index.Digest()
	if err != nil {
		t.Fatal(err)
	}
	payload := signedText(digest.String())
	signed(t, ref, digest.String(), payload, sign(t, key, payload))
	if _, err := newStore(t).Plugin(t.Context(), "oci://"+ref+":1", PluginOptions{Key: publicPEM(t, key)}); err != nil {
		t.Error(err)
	}
}

// TestKeys: what is no key for signatures.
func TestKeys(t *testing.T) {
	small := &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 1023, 1), E: 65537}
	for what, key := range map[string][]byte{
		"nothing":       nil,
		"no PEM":        []byte("AAAA"),
		"a private key": pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED SIGSTORE PRIVATE KEY", Bytes: []byte("x")}),
		"no key":        pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")}),
		"a small key":   pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(small)}),
	} {
		if k, err := parsePublicKey(key); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v, %v", what, k, err)
		}
	}
}

// FuzzPluginLayer: a layer of a stranger is a plugin, or an error of this
// package.
func FuzzPluginLayer(f *testing.F) {
	f.Add(tarOf(f, file("plugin.wasm", module)))
	f.Add(gzipped(f, tarOf(f, dir("x"), file("x/plugin.wasm", module))))
	f.Add([]byte("\x28\xb5\x2f\xfd"))
	s := newStore(f)
	s.limits.Module, s.limits.Unpacked = 1<<10, 1<<20
	if err := s.prepare(); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := s.putBytes(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		defer os.Remove(s.blobPath(h))
		left := s.limits.Unpacked
		got, err := s.pluginInLayer(t.Context(), v1.Descriptor{Digest: h, Size: int64(len(b))}, &left)
		if int64(len(got)) > s.limits.Module || err != nil && !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrTooLarge) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})
}

// FuzzSignature: what a registry gives as signed is never good without the
// key, and does not panic.
func FuzzSignature(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(signedText("sha256:1"), []byte("sig"))
	f.Add([]byte("{}"), []byte{0x30, 0x06, 2, 1, 1, 2, 1, 1})
	f.Fuzz(func(t *testing.T, payload, sig []byte) {
		if (signature{payload, sig}).check(&key.PublicKey, []string{"sha256:1"}) == nil {
			t.Error("good, without the key")
		}
	})
}
