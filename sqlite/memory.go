package sqlite

import (
	"unsafe"

	"modernc.org/libc"
)

// at returns the T at address p of SQLite's memory.
func at[T any](p uintptr) *T { return *(**T)(unsafe.Pointer(&p)) }

// bytesAt returns the n bytes at address p of SQLite's memory.
func bytesAt(p uintptr, n int) []byte { return unsafe.Slice(at[byte](p), n) }

// funcPointer returns f, which must be a top-level function, as SQLite calls
// it.
func funcPointer[F any](f F) uintptr { return *(*uintptr)(unsafe.Pointer(&struct{ f F }{f})) }

// textAt returns the zero-terminated string at p without copying it.
func textAt(p uintptr) []byte {
	if p == 0 {
		return nil
	}
	n := 0
	for *at[byte](p + uintptr(n)) != 0 {
		n++
	}
	return bytesAt(p, n)
}

// constant returns s in memory that is never freed.
func constant(s string) uintptr {
	p, err := libc.CString(s)
	if err != nil {
		panic("sqlite: out of memory")
	}
	return p
}
