package server

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"

	"github.com/hako-run/hako/image"
)

// TestFilterPinned: a plugin that is another file than it was, or whose image
// nobody signed, is not taken, and the one that runs stays.
func TestFilterPinned(t *testing.T) {
	s := newFilterSite(t)
	b, err := os.ReadFile(s.module)
	if err != nil {
		t.Fatal(err)
	}
	const site = "[[filter]]\nname = \"f\"\n%s\nconfig = %q\n[[route]]\nmatch = { path = \"/*\" }\nfilters = [\"f\"]\nupstream = \"up\"\n"
	s.start(fmt.Sprintf(site, fmt.Sprintf("MODULE\nsha256 = \"%x\"", sha256.Sum256(b)), "tag:pinned"))
	s.want("/", 200, "pinned")
	wrong := fmt.Sprintf("MODULE\nsha256 = %q", strings.Repeat("0", 64))
	if err := s.Reload(t.Context(), s.config(fmt.Sprintf(site, wrong, "tag:wrong"))); !errors.Is(err, image.ErrDigest) {
		t.Errorf("another file: %v", err)
	}
	s.want("/", 200, "pinned")

	hub := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(hub.Close)
	ref, err := name.ParseReference(strings.TrimPrefix(hub.URL, "http://") + "/modes:1")
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, static.NewLayer(b, "application/vnd.module.wasm.content.layer.v1+wasm"))
	if err == nil {
		err = remote.Write(ref, img)
	}
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key.pub")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o644); err != nil {
		t.Fatal(err)
	}
	module := fmt.Sprintf("module = \"oci://%s\"", ref)
	if err := s.Reload(t.Context(), s.config(fmt.Sprintf(site, module, "tag:none"))); !errors.Is(err, image.ErrUnknownImage) {
		t.Errorf("an image that is not there, of a server that pulls none: %v", err)
	}
	pulled := 0
	s.o.Pull = func(ctx context.Context, images *image.Store, ref string, plugin bool) error {
		pulled++
		_, err := images.Pull(ctx, ref, image.PullOptions{Plugin: plugin})
		return err
	}
	signed := fmt.Sprintf(site, module+fmt.Sprintf("\nkey = %q", file), "tag:signed")
	if err := s.Reload(t.Context(), s.config(signed)); !errors.Is(err, image.ErrSignature) {
		t.Errorf("an image that nobody signed: %v", err)
	}
	s.want("/", 200, "pinned")
	if err := s.Reload(t.Context(), s.config(fmt.Sprintf(site, module, "tag:image"))); err != nil {
		t.Fatal(err)
	}
	s.want("/", 200, "image")
	if pulled != 1 {
		t.Errorf("it was pulled %d times", pulled)
	}
}
