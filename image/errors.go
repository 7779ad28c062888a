package image

import (
	"errors"
	"fmt"
	"syscall"
)

// What errors.Is finds in this package's errors.
var (
	// ErrReference: the text is no reference to an image.
	ErrReference = errors.New("not an image reference")
	// ErrUnknownImage: the store has no such image.
	ErrUnknownImage = errors.New("unknown image")
	// ErrNotWasm: it is an image, but not one of a Wasm module.
	ErrNotWasm = errors.New("not a Wasm image")
	// ErrDamaged: bytes differ from their digest, or do not parse.
	ErrDamaged = errors.New("damaged")
	// ErrUnsafe: a layer or a build tries what could reach outside of its image.
	ErrUnsafe = errors.New("unsafe")
	// ErrTooLarge: a limit of [Limits] is exceeded.
	ErrTooLarge = errors.New("too large")
	// ErrDiskFull: there is no space left for what was to be written.
	ErrDiskFull = errors.New("disk full")
	// ErrNoModule: the image does not say which module to run, or lacks it.
	ErrNoModule = errors.New("no module to run")
	// ErrDigest: a file has another digest than it must have.
	ErrDigest = errors.New("wrong digest")
	// ErrSignature: an image has no signature by the key that it must have one
	// of.
	ErrSignature = errors.New("not signed")
	// ErrPlainHTTP: the registry would have to be spoken to without TLS.
	ErrPlainHTTP = errors.New("plain HTTP refused")
)

// An UnknownImageError is an [ErrUnknownImage] with a name that may be meant.
type UnknownImageError struct {
	Name    string
	Nearest string // "" if none is near
}

func (e *UnknownImageError) Error() string {
	if e.Nearest != "" {
		return fmt.Sprintf("unknown image %q: did you mean %q?", e.Name, e.Nearest)
	}
	return fmt.Sprintf("unknown image %q", e.Name)
}

func (e *UnknownImageError) Is(target error) bool { return target == ErrUnknownImage }

// A kindError gives an error's text a sentinel that the text does not repeat.
type kindError struct {
	kind error
	text string
}

func (e *kindError) Error() string        { return e.text }
func (e *kindError) Is(target error) bool { return target == e.kind }

func errorOf(kind error, format string, args ...any) error {
	return &kindError{kind, fmt.Sprintf(format, args...)}
}

// diskError marks an error of the file system that means a full disk.
func diskError(err error) error {
	if err == nil || errors.Is(err, ErrDiskFull) {
		return err
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, errQuota) {
		return fmt.Errorf("%w: %w", ErrDiskFull, err)
	}
	return err
}
