package sql

import (
	"database/sql/driver"
	"unsafe"
)

//go:wasmimport hako_sql_v1 open
func hostOpen(name unsafe.Pointer, n uint32, flags uint32) int32

//go:wasmimport hako_sql_v1 close
func hostClose(conn int32) int32

//go:wasmimport hako_sql_v1 prepare
func hostPrepare(conn int32, sql unsafe.Pointer, n uint32, timeout int32) int32

//go:wasmimport hako_sql_v1 exec
func hostExec(conn int32, sql unsafe.Pointer, n uint32, args unsafe.Pointer, argsLen uint32, timeout int32, result unsafe.Pointer) int32

//go:wasmimport hako_sql_v1 query
func hostQuery(conn int32, sql unsafe.Pointer, n uint32, args unsafe.Pointer, argsLen uint32, timeout int32, to unsafe.Pointer, toLen uint32) int32

//go:wasmimport hako_sql_v1 next
func hostNext(conn, cursor, timeout int32, to unsafe.Pointer, toLen uint32) int32

//go:wasmimport hako_sql_v1 finish
func hostFinish(conn, cursor int32) int32

//go:wasmimport hako_sql_v1 state
func hostState(conn int32) int32

//go:wasmimport hako_sql_v1 error
func hostError(to unsafe.Pointer, n uint32) int32

func pointer(b []byte) unsafe.Pointer     { return unsafe.Pointer(unsafe.SliceData(b)) }
func textPointer(s string) unsafe.Pointer { return unsafe.Pointer(unsafe.StringData(s)) }

// codeGone says that the connection is none of this instance's: it was opened
// before the instance was frozen that this one is a copy of.
const codeGone = 255

// An Error is an error of SQLite, or of the host on its behalf.
type Error struct {
	code int
	text string
}

// Error returns the text that the host has for it.
func (e *Error) Error() string { return e.text }

// Code returns SQLite's extended result code.
func (e *Error) Code() int { return e.code }

// check makes an error of a result below 0.
func check(n int32) error {
	switch {
	case n >= 0:
		return nil
	case n == -codeGone:
		return driver.ErrBadConn
	}
	b := make([]byte, 256)
	size := hostError(pointer(b), uint32(len(b)))
	if int(size) > len(b) {
		b = make([]byte, size)
		size = hostError(pointer(b), uint32(len(b)))
	}
	return &Error{int(-n), string(b[:max(0, min(int(size), len(b)))])}
}
