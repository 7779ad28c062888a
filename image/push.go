package image

import (
	"context"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// PushOptions are the settings of a push. The zero value is good.
type PushOptions struct {
	RegistryOptions
	// Progress, if not nil, is told how many bytes of how many are there. Calls
	// do not overlap.
	Progress func(done, total int64)
}

// Push sends the image of that name to its registry, and returns the digest by
// which it is to be found there.
func (s *Store) Push(ctx context.Context, ref string, o PushOptions) (digest string, err error) {
	r, err := ParseReference(ref)
	if err != nil {
		return "", err
	}
	img, err := s.Open(ctx, r.Canonical())
	if err != nil {
		return "", err
	}
	defer img.Close()
	if r.digest != "" && r.digest != img.Digest {
		return "", fmt.Errorf("push %s: that is the digest of an index, of which only the image %s was pulled", r, img.Digest)
	}
	if err := s.push(ctx, r, img, o); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return "", fmt.Errorf("push %s: %w", r, registryError(r, err))
	}
	return img.Digest, nil
}

func (s *Store) push(ctx context.Context, r Reference, img *Image, o PushOptions) error {
	for _, d := range img.manifest.Layers { // what is damaged here is not to spread
		if !s.hasBlob(d) {
			return errorOf(ErrDamaged, "the image store lacks its layer %s: pull, build or load it again", d.Digest)
		}
	}
	ref, err := r.remote(o.Insecure)
	if err != nil {
		return err
	}
	from, err := layout.Path(s.dir).Image(img.hash)
	if err != nil {
		return err
	}
	options := []remote.Option{remote.WithContext(ctx), remote.WithTransport(o.transport()), remote.WithAuthFromKeychain(o.keychain())}
	if o.Progress == nil {
		return remote.Write(ref, from, options...)
	}
	updates := make(chan v1.Update, 16)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for u := range updates {
			if u.Error == nil {
				o.Progress(u.Complete, u.Total)
			}
		}
	}()
	err = remote.Write(ref, from, append(options, remote.WithProgress(updates))...) // closes updates
	<-ended
	return err
}
