package image

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Signatures as cosign writes them beside an image: the tag sha256-DIGEST.sig
// is an image whose layers are what was signed ("simple signing"), each with
// the signature as an annotation.
const (
	signedLayer         types.MediaType = "application/vnd.dev.cosign.simplesigning.v1+json"
	annotationSignature string          = "dev.cosignproject.cosign/signature"
	signatureSuffix     string          = ".sig"
	// signedType is what the signed text says to be about.
	signedType string = "cosign container image signature"
)

// maxSignatures bounds the signatures of an image that are tried.
const maxSignatures = 64

// minRSA is the size in bits below which keys are refused.
const minRSA = 2048

// A signature is one as the store keeps it.
type signature struct {
	Payload   []byte `json:"payload"`
	Signature []byte `json:"signature"`
}

// Verify checks that an image of the store, or the index that it was chosen
// from, was signed with the private key that belongs to key: an ECDSA, Ed25519
// or RSA key in PEM form, as "cosign generate-key-pair" writes it. Signatures
// are those beside the image in its registry; they are kept, so that the
// registry is asked but once. Signatures without a key of one's own (Fulcio),
// and those that are kept as referrers, are not known. The error is
// [ErrSignature] if none is good.
func (s *Store) Verify(ctx context.Context, ref string, key []byte, o RegistryOptions) error {
	img, err := s.Open(ctx, ref)
	if err != nil {
		return err
	}
	defer img.Close()
	if err := img.verify(ctx, ref, PluginOptions{PullOptions: PullOptions{RegistryOptions: o}, Key: key}); err != nil {
		return fmt.Errorf("verify %s: %w", ref, err)
	}
	return nil
}

func (img *Image) verify(ctx context.Context, ref string, o PluginOptions) error {
	public, err := parsePublicKey(o.Key)
	if err != nil {
		return err
	}
	digests := []string{img.Digest}
	if img.index != "" {
		digests = append(digests, img.index)
	}
	kept := img.store.path("signatures", img.hash.Hex+".json")
	var list []signature
	if b, err := os.ReadFile(kept); err == nil {
		_ = json.Unmarshal(b, &list) // what is damaged is fetched again
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if slices.ContainsFunc(list, func(g signature) bool { return g.check(public, digests) == nil }) {
		return nil
	}
	r, err := ParseReference(ref)
	if err != nil {
		return err
	}
	if list, err = img.store.fetchSignatures(ctx, r, digests, o.RegistryOptions); err != nil {
		return fmt.Errorf("fetch the signatures: %w", registryError(r, err))
	}
	if len(list) == 0 {
		return errorOf(ErrSignature, "image %s has no signature in %s", img.Digest, r.Name())
	}
	var first error
	for _, g := range list {
		err := g.check(public, digests)
		if err == nil {
			b, err := json.Marshal(list)
			if err != nil {
				return err
			}
			return img.store.replace("signatures/"+img.hash.Hex+".json", b)
		}
		if first == nil {
			first = err
		}
	}
	return errorOf(ErrSignature, "image %s is not signed with the key: %v", img.Digest, first)
}

// fetchSignatures fetches what is beside the images of these digests.
func (s *Store) fetchSignatures(ctx context.Context, r Reference, digests []string, o RegistryOptions) (list []signature, err error) {
	ref, err := r.remote(o.Insecure)
	if err != nil {
		return nil, err
	}
	c, err := connect(ctx, ref.Context(), o)
	if err != nil {
		return nil, err
	}
	for _, digest := range digests {
		d, err := c.manifest(ctx, c.repo.Tag(strings.Replace(digest, ":", "-", 1)+signatureSuffix))
		var answer *transport.Error
		if errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound {
			continue
		}
		if err != nil {
			return nil, err
		}
		if int64(len(d.Manifest)) > s.limits.Manifest {
			return nil, errorOf(ErrTooLarge, "their manifest has %d bytes; %d are allowed", len(d.Manifest), s.limits.Manifest)
		}
		m, err := s.parseManifest(d.Digest, d.Manifest)
		if err != nil {
			return nil, err
		}
		for _, layer := range m.Layers {
			text := layer.Annotations[annotationSignature]
			sig, err := base64.StdEncoding.DecodeString(text)
			if layer.MediaType != signedLayer || text == "" || err != nil || layer.Size > s.limits.Manifest {
				continue // not for us
			}
			if len(list) == maxSignatures {
				return list, nil
			}
			payload, err := c.small(ctx, layer)
			if err != nil {
				return nil, err
			}
			list = append(list, signature{payload, sig})
		}
	}
	return list, nil
}

// small fetches a small blob.
func (c *client) small(ctx context.Context, d v1.Descriptor) ([]byte, error) {
	r, at, err := c.blob(d)(ctx, 0)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if at != 0 {
		return nil, errorOf(ErrDamaged, "the registry sends %s from byte %d on", d.Digest, at)
	}
	return readVerified(r, d.Digest, d.Size)
}

// check says why a signature is none of one of the digests by the key.
func (g signature) check(key crypto.PublicKey, digests []string) error {
	if err := verifySignature(key, g.Payload, g.Signature); err != nil {
		return err
	}
	var said struct {
		Critical struct {
			Type  string `json:"type"`
			Image struct {
				Digest string `json:"docker-manifest-digest"`
			} `json:"image"`
		} `json:"critical"`
	}
	if err := json.Unmarshal(g.Payload, &said); err != nil {
		return fmt.Errorf("what was signed does not parse: %w", err)
	}
	switch {
	case said.Critical.Type != signedType:
		return fmt.Errorf("what was signed is no image but %q", said.Critical.Type)
	case !slices.Contains(digests, said.Critical.Image.Digest):
		return fmt.Errorf("what was signed is another image, %s", said.Critical.Image.Digest)
	}
	return nil
}

var errWrongKey = errors.New("it was signed with another key, or changed")

func verifySignature(key crypto.PublicKey, payload, sig []byte) error {
	sum := sha256.Sum256(payload)
	good := false
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		good = ecdsa.VerifyASN1(key, sum[:], sig)
	case ed25519.PublicKey:
		good = ed25519.Verify(key, payload, sig)
	case *rsa.PublicKey:
		good = rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], sig) == nil
	}
	if !good {
		return errWrongKey
	}
	return nil
}

// parsePublicKey reads a key in PEM form.
func parsePublicKey(b []byte) (crypto.PublicKey, error) {
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, errorOf(ErrSignature, "the key is not in PEM form")
	}
	var key crypto.PublicKey
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	default:
		return nil, errorOf(ErrSignature, "the key is no public key but %q: give the file that ends in .pub", block.Type)
	}
	if err != nil {
		return nil, errorOf(ErrSignature, "the key does not parse: %v", err)
	}
	switch key := key.(type) {
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return key, nil
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < minRSA {
			return nil, errorOf(ErrSignature, "the key is of RSA with %d bits; %d are the least", bits, minRSA)
		}
		return key, nil
	}
	return nil, errorOf(ErrSignature, "the key is of a kind (%T) that signs no images here: ECDSA, Ed25519 and RSA do", key)
}
