package sqlhost

import (
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// at returns the T at address p of SQLite's memory.
func at[T any](p uintptr) *T { return *(**T)(unsafe.Pointer(&p)) }

// bytesAt returns the n bytes at address p of SQLite's memory.
func bytesAt(p uintptr, n int) []byte { return unsafe.Slice(at[byte](p), n) }

// funcPointer returns f, which must be a top-level function, as SQLite calls
// it.
func funcPointer[F any](f F) uintptr { return *(*uintptr)(unsafe.Pointer(&struct{ f F }{f})) }

// copyOut puts a copy of b, and a zero, in SQLite's memory; 0 if there is no
// more. What takes it frees it with freePointer.
func copyOut(tls *libc.TLS, b []byte) uintptr {
	p := sqlite3.Xsqlite3_malloc64(tls, sqlite3.Tsqlite3_uint64(len(b)+1))
	if p != 0 {
		to := bytesAt(p, len(b)+1)
		to[copy(to, b)] = 0
	}
	return p
}

var freePointer = funcPointer(sqlite3.Xsqlite3_free)

// word is the size of an address.
const word = unsafe.Sizeof(uintptr(0))
