package pagestore

import "fmt"

// A detailError is a sentinel error whose text says the same, and more.
type detailError struct{ sentinel, detail error }

func detailf(sentinel error, format string, args ...any) error {
	return &detailError{sentinel, fmt.Errorf(format, args...)}
}

func (e *detailError) Error() string   { return e.detail.Error() }
func (e *detailError) Unwrap() []error { return []error{e.sentinel, e.detail} }
