package engine

import (
	"context"
	"os"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"golang.org/x/sys/unix"
)

var (
	// faults counts the faults of guests.
	faults uint64
	// goHandler is the handler of SIGSEGV that Go's runtime has.
	goHandler uintptr //lint:ignore U1000 onFault goes on with it
)

//lint:ignore U1000 its address is taken in assembly
func onFault()
func onFaultAddress() uintptr

// guarding reports whether memories are guarded: whether the processor and the
// kernel let programs use the GS register, wazero plays its part, and a fault
// ends a call as it should. HAKO_GUARD_PAGES=off turns it off.
var guarding = sync.OnceValue(func() bool {
	if os.Getenv("HAKO_GUARD_PAGES") == "off" || !mayUseGS() || !handleFaults() {
		return false
	}
	r, err := reserveGuarded(wasmPage)
	if err != nil {
		return false
	}
	return tryGuard(r)
})

// mayUseGS asks for HWCAP2_FSGSBASE (Linux 5.9).
func mayUseGS() bool {
	const atHWCAP2, fsgsbase = 26, 1 << 1
	vector, err := unix.Auxv()
	if err != nil {
		return false
	}
	for _, entry := range vector {
		if entry[0] == atHWCAP2 {
			return entry[1]&fsgsbase != 0
		}
	}
	return false
}

// sigaction is the kernel's struct of that name.
type sigaction struct {
	handler, flags, restorer uintptr
	mask                     uint64
}

// handleFaults puts onFault before the handler of Go's runtime, which keeps
// the flags and the stack that it has for signals.
func handleFaults() bool {
	var action sigaction
	const size = unsafe.Sizeof(action.mask)
	_, _, errno := syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(syscall.SIGSEGV), 0, uintptr(unsafe.Pointer(&action)), size, 0, 0)
	const sigInfo, onStack = 0x4, 0x08000000
	if errno != 0 || action.handler <= 1 || action.flags&sigInfo == 0 || action.flags&onStack == 0 {
		return false
	}
	goHandler = action.handler
	action.handler = onFaultAddress()
	_, _, errno = syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(syscall.SIGSEGV), uintptr(unsafe.Pointer(&action)), 0, size, 0, 0)
	return errno == 0
}

// guardFits reports whether wazero's execution context is as onFault takes it
// to be.
func guardFits(fn api.Function) bool {
	t := reflect.TypeOf(fn)
	if t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
		return false
	}
	context, ok := t.Elem().FieldByName("execCtx")
	if !ok || context.Type.Kind() != reflect.Struct {
		return false
	}
	for name, want := range map[string]uintptr{
		"exitCode": 0, "originalFramePointer": 16, "originalStackPointer": 24, "stackBottomPtr": 40,
		"goCallReturnAddress": 48, "stackPointerBeforeGoCall": 56, "framePointerBeforeGoCall": 1152,
	} {
		if field, ok := context.Type.FieldByName(name); !ok || field.Offset != want {
			return false
		}
	}
	return true
}

// outOfBounds is a module whose function f reads beyond the memory, and does
// not use what it read.
var outOfBounds = []byte{
	0, 'a', 's', 'm', 1, 0, 0, 0,
	1, 4, 1, 0x60, 0, 0, // type 0: no parameters, no results
	3, 2, 1, 0, // function 0 of type 0
	5, 3, 1, 0, 1, // a memory of a page
	7, 5, 1, 1, 'f', 0, 0, // export f
	10, 10, 1, 8, 0, 0x41, 0x7c, 0x28, 2, 0, 0x1a, 0xb, // drop (i32.load (i32.const -4))
}

// tryGuard runs the module above in a guarded region. It reports whether that
// ended as it should, by a fault.
func tryGuard(r region) bool {
	memory := &linear{region: r, room: wasmPage, limit: wasmPage}
	defer memory.Free()
	ctx := experimental.WithMemoryAllocator(withGuard(context.Background()), memory)
	rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler())
	defer rt.Close(ctx)
	mod, err := rt.Instantiate(ctx, outOfBounds)
	if err != nil {
		return false
	}
	f := mod.ExportedFunction("f")
	if !guardFits(f) {
		return false
	}
	before := atomic.LoadUint64(&faults)
	_, err = f.Call(ctx)
	return err != nil && strings.HasPrefix(err.Error(), "wasm error: out of bounds memory access") && atomic.LoadUint64(&faults) == before+1
}
