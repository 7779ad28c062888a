package proxywasm

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// hostModule is where plugins import host functions from, beside WASI.
const hostModule = "env"

var (
	// ErrNoVM ends a guest that calls a host function and is no plugin.
	ErrNoVM = errors.New("only a plugin may call this function")
	// ErrTooEarly ends a plugin that calls a host function where only logs
	// and WASI are allowed: as it starts, and in its allocator.
	ErrTooEarly = errors.New("must not be called as the plugin starts or allocates")
	// ErrAbort ends a plugin that calls abort.
	ErrAbort = errors.New("the plugin aborted")
)

// Instantiate gives a runtime the host functions, once: it is for
// engine.Options.Hosts.
func Instantiate(ctx context.Context, r wazero.Runtime) error {
	_, err := hostFunctionsFor(r, resultlessSet{}).Instantiate(ctx)
	return err
}

// hostFunctionsFor has the host functions, those of a set without a result.
func hostFunctionsFor(r wazero.Runtime, without resultlessSet) wazero.HostModuleBuilder {
	b := r.NewHostModuleBuilder(hostModule)
	for i := range hostFunctions {
		f := &hostFunctions[i]
		if n := slices.Index(resultless[:], f.name); n >= 0 && without[n] {
			other := *f
			other.void = true
			f = &other
		}
		var results []api.ValueType
		if !f.void {
			results = []api.ValueType{api.ValueTypeI32}
		}
		params := make([]api.ValueType, len(f.params))
		for i, c := range f.params {
			params[i] = api.ValueTypeI32
			if c == 'I' {
				params[i] = api.ValueTypeI64
			}
		}
		b.NewFunctionBuilder().WithGoModuleFunction(f, params, results).Export(f.name)
	}
	return b
}

// known tells whether there is a host function of that name.
func known(name string) bool {
	for i := range hostFunctions {
		if hostFunctions[i].name == name {
			return true
		}
	}
	return false
}

// A hostFunction is one that plugins import.
type hostFunction struct {
	name   string
	params string // i or I for each: i32, i64
	void   bool   // no result
	always bool   // also as the plugin starts or allocates
	call   func(h hostCall, p []uint64) Status
}

// A hostCall is one call of a host function.
type hostCall struct {
	vm  *vm
	ctx context.Context
	mem api.Memory
}

// Call is the function. Of parameters that are i32, the lower half counts.
func (f *hostFunction) Call(ctx context.Context, mod api.Module, p []uint64) {
	vm, ok := ctx.Value(vmKey{}).(*vm)
	if !ok {
		panic(fmt.Errorf("%s: %w", f.name, ErrNoVM))
	}
	if vm.phase != phaseRun && !f.always {
		panic(fmt.Errorf("%s: %w", f.name, ErrTooEarly))
	}
	for i := range f.params {
		if f.params[i] == 'i' {
			p[i] = uint64(uint32(p[i]))
		}
	}
	h := hostCall{vm, ctx, mod.Memory()}
	var status Status
	switch {
	case vm.replay != nil:
		status = vm.replay.call(h, f, p)
	case vm.plugin.cfg.Recorder != nil:
		status = vm.recordCall(h, f, p)
	default:
		status = f.call(h, p)
	}
	if !f.void {
		p[0] = uint64(status)
	}
}

// bytes is a part of the plugin's memory, good until the plugin runs again,
// its allocator included.
func (h hostCall) bytes(ptr, size uint64) ([]byte, bool) {
	b, ok := h.mem.Read(uint32(ptr), uint32(size))
	if ok && h.vm.recording() {
		h.vm.event.In = append(h.vm.event.In, Input{uint32(ptr), append([]byte{}, b...)})
	}
	return b, ok
}

// room tells whether size bytes may be written.
func (h hostCall) room(ptr uint64, size uint32) bool {
	_, ok := h.mem.Read(uint32(ptr), size)
	return ok
}

func (h hostCall) put32(ptr uint64, v uint32) bool {
	ok := h.mem.WriteUint32Le(uint32(ptr), v)
	if ok && h.vm.recording() {
		h.vm.event.Out = append(h.vm.event.Out, Output{Pointer: uint32(ptr), Data: le.AppendUint32(nil, v)})
	}
	return ok
}

func (h hostCall) put64(ptr, v uint64) bool {
	ok := h.mem.WriteUint64Le(uint32(ptr), v)
	if ok && h.vm.recording() {
		h.vm.event.Out = append(h.vm.event.Out, Output{Pointer: uint32(ptr), Data: le.AppendUint64(nil, v)})
	}
	return ok
}

// give puts data into memory that the plugin's allocator makes room in, and
// its address and length where the plugin wants them. No data has address 0.
func (h hostCall) give(data string, ptr, size uint64) Status {
	var at uint32
	if len(data) > 0 {
		var ok bool
		if at, ok = h.allocate(uint32(len(data))); !ok || !h.mem.WriteString(at, data) {
			return StatusInvalidMemoryAccess
		}
	}
	if !h.mem.WriteUint32Le(uint32(size), uint32(len(data))) || !h.mem.WriteUint32Le(uint32(ptr), at) {
		return StatusInvalidMemoryAccess
	}
	if h.vm.recording() {
		h.vm.event.Out = append(h.vm.event.Out, Output{Pointer: uint32(ptr), Size: uint32(size), Alloc: true, Data: []byte(data)})
	}
	return StatusOK
}

// allocate calls the plugin's allocator. A plugin that fails there ends.
func (h hostCall) allocate(size uint32) (uint32, bool) {
	vm := h.vm
	phase := vm.phase
	vm.phase = phaseAlloc
	vm.room[0] = uint64(size)
	err := vm.allocator.CallWithStack(h.ctx, vm.room[:])
	vm.phase = phase
	if err != nil {
		panic(fmt.Errorf("%s: %w", vm.profile.Allocator, err))
	}
	at := uint32(vm.room[0])
	return at, at != 0
}

// scope is the context that the call is about.
func (h hostCall) scope() *scope { return h.vm.context() }

// hostFunctions is set by init, as some of them reach back here.
var hostFunctions []hostFunction

func init() {
	for _, group := range [][]hostFunction{headerFunctions, bufferFunctions, streamFunctions, callFunctions, sharedFunctions, metricFunctions, systemFunctions, higressFunctions} {
		hostFunctions = append(hostFunctions, group...)
	}
}
