package filter

import (
	"runtime"
	"unsafe"
)

//go:wasmimport env proxy_call_foreign_function
func callForeign(name unsafe.Pointer, nameSize int32, args unsafe.Pointer, argsSize int32, data unsafe.Pointer, size unsafe.Pointer) uint32

//go:wasmimport env proxy_get_buffer_bytes
func getBuffer(kind, start, limit int32, data unsafe.Pointer, size unsafe.Pointer) uint32

//go:wasmimport env proxy_set_effective_context
func setContext(context uint32) uint32

// foreign calls a foreign function. The host puts the results into memory that
// the SDK's allocator made.
func foreign(name string, args []byte) ([]byte, error) {
	var data *byte
	var size int32
	status := Status(callForeign(unsafe.Pointer(unsafe.StringData(name)), int32(len(name)),
		unsafe.Pointer(unsafe.SliceData(args)), int32(len(args)), unsafe.Pointer(&data), unsafe.Pointer(&size)))
	runtime.KeepAlive(args)
	if status != 0 {
		return nil, status
	}
	return unsafe.Slice(data, size), nil
}

func enter(context uint32) bool { return setContext(context) == 0 }

const foreignArguments = 8 // the buffer of the arguments

//go:wasmexport proxy_on_foreign_function
func onForeignFunction(_, function, size uint32) {
	if function != eventFunction {
		return
	}
	var data *byte
	var n int32
	if getBuffer(foreignArguments, 0, int32(size), unsafe.Pointer(&data), unsafe.Pointer(&n)) == 0 {
		deliver(unsafe.Slice(data, n))
	}
}
