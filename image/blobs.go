package image

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// blobPath returns where the blob of that digest lies in the layout.
func (s *Store) blobPath(h v1.Hash) string { return s.path("blobs", h.Algorithm, h.Hex) }

// checkDescriptor refuses digests and sizes that cannot be.
func checkDescriptor(d v1.Descriptor) error {
	if d.Digest.Algorithm != "sha256" || len(d.Digest.Hex) != 2*sha256.Size {
		return errorOf(ErrDamaged, "the digest %q is not a SHA-256", d.Digest)
	}
	if d.Size < 0 {
		return errorOf(ErrDamaged, "%s has the size %d", d.Digest, d.Size)
	}
	return nil
}

// hasBlob reports whether the blob is there in that size.
func (s *Store) hasBlob(d v1.Descriptor) bool {
	info, err := os.Stat(s.blobPath(d.Digest))
	return err == nil && info.Mode().IsRegular() && info.Size() == d.Size
}

// readBlob returns a small blob, checked against its digest.
func (s *Store) readBlob(h v1.Hash, limit int64) ([]byte, error) {
	f, err := os.Open(s.blobPath(h))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errorOf(ErrDamaged, "the image store lacks the blob %s: pull or load its image again", h)
	}
	if err != nil {
		return nil, err
	}
	b, err := readVerified(f, h, limit)
	f.Close()
	if errors.Is(err, ErrDamaged) {
		s.discardDamaged(h)
	}
	return b, err
}

// discardDamaged removes a blob whose bytes are not those of its digest, so
// that pulling, loading or building its image again brings it back.
func (s *Store) discardDamaged(h v1.Hash) {
	f, err := os.Open(s.blobPath(h))
	if err != nil {
		return
	}
	sum := sha256.New()
	_, err = io.Copy(sum, f)
	f.Close()
	if err == nil && sha256Hash(sum) != h {
		os.Remove(s.blobPath(h)) // if it stays, it is found again
	}
}

// readVerified reads what must have the digest.
func readVerified(r io.Reader, h v1.Hash, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", h, err)
	case int64(len(b)) > limit:
		return nil, errorOf(ErrTooLarge, "%s is larger than the %d bytes that are allowed", h, limit)
	}
	return b, verify(b, h)
}

func verify(b []byte, h v1.Hash) error {
	if sum := sha256.Sum256(b); h.Algorithm != "sha256" || hex.EncodeToString(sum[:]) != h.Hex {
		return errorOf(ErrDamaged, "%s is damaged: its bytes have the SHA-256 %x", h, sum)
	}
	return nil
}

// putBytes keeps a small blob.
func (s *Store) putBytes(ctx context.Context, b []byte) (v1.Hash, error) {
	sum := sha256.Sum256(b)
	d := v1.Descriptor{Digest: v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}, Size: int64(len(b))}
	return d.Digest, s.putBlob(ctx, d, fromBytes(b), nil)
}

// An opener opens a blob at an offset. It may return an earlier one.
type opener func(ctx context.Context, offset int64) (r io.ReadCloser, at int64, err error)

func fromBytes(b []byte) opener {
	return func(context.Context, int64) (io.ReadCloser, int64, error) {
		return io.NopCloser(bytes.NewReader(b)), 0, nil
	}
}

// A permanentError is one that trying again does not help.
type permanentError struct{ error }

func (e permanentError) Unwrap() error { return e.error }

// How often a blob is tried, without a byte of progress between, and how long
// the first pause is.
const (
	blobTries = 4
	blobPause = 200 * time.Millisecond
)

// putBlob keeps the blob that open reads, unless it is there. One process
// fetches a blob at a time; the others wait for it. What was fetched when it
// fails is the beginning of the next try, now or in another process. Progress
// is told how many bytes were added, and may be nil.
func (s *Store) putBlob(ctx context.Context, d v1.Descriptor, open opener, progress func(int64)) (err error) {
	if err := checkDescriptor(d); err != nil {
		return err
	}
	if progress == nil {
		progress = func(int64) {}
	}
	if s.hasBlob(d) {
		progress(d.Size)
		return nil
	}
	unlock, err := s.lock(ctx, true, "ingest", d.Digest.Hex+".lock")
	if err != nil {
		return err
	}
	defer unlock()
	if s.hasBlob(d) { // another was quicker
		progress(d.Size)
		return nil
	}
	partial := s.path("ingest", d.Digest.Hex+".partial")
	if err := s.check(opCreate, partial); err != nil {
		return diskError(err)
	}
	f, err := os.OpenFile(partial, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return diskError(err)
	}
	defer func() {
		f.Close()
		if errors.Is(err, ErrDiskFull) {
			os.Remove(partial) // others need the space more
		}
	}()
	in := &ingest{store: s, want: d, file: f, progress: progress}
	if err := in.resume(); err != nil {
		return diskError(err)
	}
	if err := in.fill(ctx, open); err != nil {
		return diskError(err)
	}
	if err := s.syncFile(f); err != nil {
		return diskError(fmt.Errorf("write %s: %w", d.Digest, err))
	}
	if err := f.Close(); err != nil {
		return diskError(fmt.Errorf("write %s: %w", d.Digest, err))
	}
	if err := s.rename(partial, s.blobPath(d.Digest)); err != nil {
		return diskError(fmt.Errorf("keep %s: %w", d.Digest, err))
	}
	os.Remove(s.path("ingest", d.Digest.Hex+".lock"))
	return nil
}

// An ingest is a blob on its way in.
type ingest struct {
	store    *Store
	want     v1.Descriptor
	file     *os.File
	progress func(int64)

	have    int64 // bytes in the file
	hash    hash.Hash
	resumed bool // some of them are from an earlier time
}

// resume takes over what an earlier try left.
func (in *ingest) resume() error {
	in.hash = sha256.New()
	n, err := io.Copy(in.hash, in.file)
	if err != nil {
		return fmt.Errorf("read what was fetched of %s before: %w", in.want.Digest, err)
	}
	if n > in.want.Size {
		return in.reset(0)
	}
	in.have, in.resumed = n, n > 0
	in.progress(n)
	return nil
}

// reset forgets everything; counted bytes were reported as progress.
func (in *ingest) reset(counted int64) error {
	in.progress(-counted)
	in.have, in.resumed = 0, false
	in.hash.Reset()
	if _, err := in.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return in.file.Truncate(0)
}

// fill fetches what is missing and checks the whole.
func (in *ingest) fill(ctx context.Context, open opener) error {
	tries, pause := 0, in.store.pause
	for {
		before := in.have
		err := in.fetch(ctx, open)
		if err == nil {
			sum := hex.EncodeToString(in.hash.Sum(nil))
			if sum == in.want.Digest.Hex {
				return nil
			}
			resumed := in.resumed
			if err := in.reset(in.have); err != nil {
				return err
			}
			if resumed { // the earlier bytes may be to blame
				continue
			}
			return errorOf(ErrDamaged, "%s is damaged: what came has the SHA-256 %s", in.want.Digest, sum)
		}
		var permanent permanentError
		if ctx.Err() != nil || errors.As(err, &permanent) || errors.Is(diskError(err), ErrDiskFull) {
			return err
		}
		if in.have > before {
			tries, pause = 0, in.store.pause
		}
		if tries++; tries == blobTries {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		pause *= 2
	}
}

// fetch reads on from where the file ends.
func (in *ingest) fetch(ctx context.Context, open opener) error {
	if in.have == in.want.Size {
		return nil
	}
	r, at, err := open(ctx, in.have)
	if err != nil {
		return err
	}
	defer r.Close()
	if at != in.have {
		if err := in.reset(in.have); err != nil {
			return permanentError{err}
		}
		if at != 0 {
			return permanentError{fmt.Errorf("%s was to be read from 0 or %d and comes from %d", in.want.Digest, in.have, at)}
		}
	}
	buf := make([]byte, 256<<10)
	for in.have < in.want.Size {
		n, err := r.Read(buf[:min(int64(len(buf)), in.want.Size-in.have)])
		if n > 0 {
			if err := in.store.check(opWrite, in.file.Name()); err != nil {
				return permanentError{err}
			}
			if _, err := in.file.Write(buf[:n]); err != nil {
				return permanentError{fmt.Errorf("write %s: %w", in.want.Digest, err)}
			}
			in.hash.Write(buf[:n])
			in.have += int64(n)
			in.progress(int64(n))
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == io.EOF && in.have < in.want.Size:
			return fmt.Errorf("%s ends after %d of %d bytes: %w", in.want.Digest, in.have, in.want.Size, io.ErrUnexpectedEOF)
		case err != nil && err != io.EOF:
			return fmt.Errorf("read %s: %w", in.want.Digest, err)
		}
	}
	if n, _ := io.ReadFull(r, buf[:1]); n > 0 {
		return permanentError{errorOf(ErrDamaged, "%s is longer than the %d bytes it should have", in.want.Digest, in.want.Size)}
	}
	return nil
}
