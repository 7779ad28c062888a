package image

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/zstd"
)

// unpack returns the directory of an image's root file system, making it if it
// is not there. One process makes it; the others wait for it.
func (s *Store) unpack(ctx context.Context, img *Image, progress func(done, total int64)) (string, error) {
	dir := s.path("unpacked", img.hash.Hex)
	if ok, err := s.exists("unpacked", img.hash.Hex); ok || err != nil {
		return dir, err
	}
	added, err := s.adding(ctx) // or what is half there would be removed
	if err != nil {
		return "", err
	}
	defer added()
	unlock, err := s.lock(ctx, true, "unpacked", img.hash.Hex+".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if ok, err := s.exists("unpacked", img.hash.Hex); ok || err != nil {
		return dir, err
	}
	if err := s.check(opCreate, dir); err != nil {
		return "", diskError(err)
	}
	part, err := os.MkdirTemp(s.path("unpacked"), "part-")
	if err != nil {
		return "", diskError(err)
	}
	defer os.RemoveAll(part) // of no effect once it is renamed
	if err := s.unpackInto(ctx, part, img, progress); err != nil {
		return "", diskError(err)
	}
	if err := s.syncTree(part); err != nil {
		return "", diskError(fmt.Errorf("write the files to disk: %w", err))
	}
	if err := os.Chmod(part, 0o755); err != nil {
		return "", err
	}
	if err := s.rename(part, dir); err != nil {
		return "", diskError(err)
	}
	return dir, nil
}

func (s *Store) unpackInto(ctx context.Context, dir string, img *Image, progress func(done, total int64)) error {
	if img.Artifact {
		return nil
	}
	if !img.hasRoot() {
		return errorOf(ErrNotWasm, "it is a Proxy-Wasm plugin, which has no root file system")
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	u := &unpacker{store: s, root: root, bytes: s.limits.Unpacked, entries: s.limits.Entries}
	var done, total int64
	for _, d := range img.manifest.Layers {
		total += d.Size
	}
	for i, d := range img.manifest.Layers {
		err := s.openLayer(ctx, d, img.file.RootFS.DiffIDs[i], &u.bytes, u.layer)
		if err != nil {
			return fmt.Errorf("layer %d of %d (%s): %w", i+1, len(img.manifest.Layers), short(d.Digest), err)
		}
		if done += d.Size; progress != nil {
			progress(done, total)
		}
	}
	return nil
}

// openLayer is readLayer, and discards a blob that is damaged.
func (s *Store) openLayer(ctx context.Context, d v1.Descriptor, diff v1.Hash, limit *int64, f func(r io.Reader) error) error {
	err := s.readLayer(ctx, d, diff, limit, f)
	if errors.Is(err, ErrDamaged) {
		s.discardDamaged(d.Digest)
	}
	return err
}

// readLayer passes a layer's uncompressed bytes to f, of at most *limit bytes,
// which it counts down, and checks them against diff.
func (s *Store) readLayer(ctx context.Context, d v1.Descriptor, diff v1.Hash, limit *int64, f func(r io.Reader) error) error {
	blob, err := os.Open(s.blobPath(d.Digest))
	if err != nil {
		return errorOf(ErrDamaged, "the image store lacks it (%v): pull or load the image again", err)
	}
	defer blob.Close()
	plain, err := decompress(&contextReader{ctx, blob})
	if err != nil {
		return errorOf(ErrDamaged, "it is damaged: %v", err)
	}
	defer plain.Close()
	sum := sha256.New()
	r := io.TeeReader(&limitReader{r: plain, left: limit, limit: s.limits.Unpacked}, sum)
	if err := f(r); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, r); err != nil { // what comes behind the last entry
		return layerError(err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); diff.Algorithm != "sha256" || got != diff.Hex {
		return errorOf(ErrDamaged, "it is damaged: uncompressed it has the SHA-256 %s, not %s", got, diff)
	}
	return nil
}

// layerError tells what is wrong with the bytes from all else that is.
func layerError(err error) error {
	switch {
	case errors.Is(err, ErrTooLarge), errors.Is(err, ErrUnsafe), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	return errorOf(ErrDamaged, "it is damaged: %v", err)
}

// decompress tells by the first bytes whether it is gzip, zstd or plain.
func decompress(r io.Reader) (io.ReadCloser, error) {
	b := bufio.NewReaderSize(r, 128<<10)
	head, err := b.Peek(4)
	if err != nil && err != io.EOF {
		return nil, err
	}
	switch {
	case len(head) >= 2 && head[0] == 0x1f && head[1] == 0x8b:
		return gzip.NewReader(b)
	case string(head) == "\x28\xb5\x2f\xfd":
		z, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(128<<20), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}
	return io.NopCloser(b), nil
}

// A contextReader fails once its context is done.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(b)
}

// A limitReader fails with [ErrTooLarge] past its limit.
type limitReader struct {
	r     io.Reader
	left  *int64
	limit int64 // for the error
}

func (l *limitReader) Read(b []byte) (int, error) {
	n, err := l.r.Read(b)
	if *l.left -= int64(n); *l.left < 0 {
		return 0, errorOf(ErrTooLarge, "it decompresses to more than the %d bytes that an image may have", l.limit)
	}
	return n, err
}

// layer applies one layer, a tar stream, to the root.
func (u *unpacker) layer(r io.Reader) error {
	u.own = map[string]bool{}
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return layerError(err)
		}
		if u.entries--; u.entries < 0 {
			return errorOf(ErrTooLarge, "the image has more than %d files", u.store.limits.Entries)
		}
		if err := u.entry(h, t); err != nil {
			return fmt.Errorf("%s: %w", printable(h.Name), err)
		}
	}
}

// printable is a name as it may appear in an error.
func printable(name string) string {
	quoted := fmt.Sprintf("%q", name)
	if len(quoted) > 200 {
		quoted = quoted[:197] + `..."`
	}
	return quoted
}

// removeTree removes a directory so that nobody sees half of it.
func (s *Store) removeTree(elements ...string) error {
	from := s.path(elements...)
	trash, err := os.MkdirTemp(s.path("unpacked"), "part-")
	if err != nil {
		return diskError(err)
	}
	if err := os.Rename(from, filepath.Join(trash, "root")); err != nil {
		os.Remove(trash)
		return err
	}
	return os.RemoveAll(trash)
}
