package wasi

import "context"

type Network struct{}
type Listener struct{ Preopened bool }
type boundListener struct{ Listener }

func bind(Listener) (*boundListener, error)               { return nil, ENOSYS }
func (l *boundListener) close() error                     { return nil }
func (l *boundListener) descriptor() (*descriptor, error) { return nil, ENOSYS }

type socket struct{}

func (*socket) Close() error                                     { return nil }
func (*socket) fileType() FileType                               { return TypeSocketStream }
func (*socket) read(context.Context, []byte, bool) (int, Errno)  { return 0, ENOSYS }
func (*socket) write(context.Context, []byte, bool) (int, Errno) { return 0, ENOSYS }
func (sub *subscription) checkSocket(waker)                      {}

var wasmEdge []function

func sockAccept(context.Context, *System, memory, []uint64) Errno   { return ENOSYS }
func sockRecv(context.Context, *System, memory, []uint64) Errno     { return ENOSYS }
func sockSend(context.Context, *System, memory, []uint64) Errno     { return ENOSYS }
func sockShutdown(context.Context, *System, memory, []uint64) Errno { return ENOSYS }
