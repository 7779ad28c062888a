package worker

import (
	"fmt"
	"unsafe"
)

//go:wasmimport hako_http_v1 head
func hostHead(p unsafe.Pointer, n uint32) int32

//go:wasmimport hako_http_v1 read
func hostRead(p unsafe.Pointer, n uint32) int32

//go:wasmimport hako_http_v1 trailers
func hostTrailers(p unsafe.Pointer, n uint32) int32

//go:wasmimport hako_http_v1 respond
func hostRespond(status int32, p unsafe.Pointer, n uint32) int32

//go:wasmimport hako_http_v1 write
func hostWrite(p unsafe.Pointer, n uint32) int32

//go:wasmimport hako_http_v1 flush
func hostFlush() int32

//go:wasmimport hako_http_v1 append
func hostAppend(p unsafe.Pointer, n uint32) int32

//go:wasmimport hako_http_v1 finish
func hostFinish() int32

//go:wasmimport hako_http_v1 log
func hostLog(level int32, p unsafe.Pointer, n uint32)

// An Error is what the host answered instead of doing what it was asked for.
type Error int32

// The errors of the host.
const (
	ErrInvalid  Error = -1 // a malformed header, or a length that was not kept
	ErrOrder    Error = -2 // the response is over
	ErrClosed   Error = -3 // the client has gone
	ErrTooLarge Error = -4 // the request's body is larger than allowed
	ErrTimeout  Error = -5 // the client was too slow
)

func (e Error) Error() string {
	switch e {
	case ErrInvalid:
		return "worker: the response is malformed"
	case ErrOrder:
		return "worker: the response is over"
	case ErrClosed:
		return "worker: the client has gone"
	case ErrTooLarge:
		return "worker: the request's body is too large"
	case ErrTimeout:
		return "worker: the client was too slow"
	}
	return fmt.Sprintf("worker: the host answered %d", int32(e))
}

func check(n int32) (int, error) {
	if n < 0 {
		return 0, Error(n)
	}
	return int(n), nil
}

func pointer(b []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(b)) }

// ask returns the block of fields that a host function writes.
func ask(f func(p unsafe.Pointer, n uint32) int32, b []byte) ([]byte, error) {
	for {
		n, err := check(f(pointer(b), uint32(len(b))))
		if err != nil {
			return nil, err
		}
		if n <= len(b) {
			return b[:n], nil
		}
		b = make([]byte, n)
	}
}
