package proxywasm

import (
	"crypto/rand"
	"io"
)

// recording tells whether what host functions read and write is collected.
func (vm *vm) recording() bool { return vm.plugin.cfg.Recorder != nil && vm.replay == nil }

func (vm *vm) recordEnter(name string, args []uint64) {
	vm.plugin.cfg.Recorder.Record(&Event{VM: vm.number, Kind: Enter, Name: name, Context: vm.current.id, Args: args})
}

func (vm *vm) recordLeave(name string, c *scope, result uint64, err error) {
	e := &Event{VM: vm.number, Kind: Leave, Name: name, Context: c.id, Result: result}
	if err != nil {
		e.Err = err.Error()
	}
	vm.plugin.cfg.Recorder.Record(e)
}

// recordCall calls a host function and records it.
func (vm *vm) recordCall(h hostCall, f *hostFunction, p []uint64) (status Status) {
	outer := vm.event
	vm.event = Event{VM: vm.number, Kind: Call, Name: f.name, Args: append([]uint64(nil), p[:len(f.params)]...)}
	if c := vm.context(); c != nil {
		vm.event.Context = c.id
	}
	defer func() {
		e := vm.event
		vm.event = outer
		e.Result = uint64(status)
		if r := recover(); r != nil {
			if err, ok := r.(error); ok {
				e.Err = err.Error()
			}
			vm.plugin.cfg.Recorder.Record(&e)
			panic(r)
		}
		vm.plugin.cfg.Recorder.Record(&e)
	}()
	return f.call(h, p)
}

// recordOutput records what a plugin writes to its standard output or error.
func (vm *vm) recordOutput(level LogLevel, b []byte) {
	if !vm.recording() {
		return
	}
	e := &Event{VM: vm.number, Kind: Call, Name: "fd_write", Args: []uint64{uint64(level)}, In: [][]byte{b}}
	if c := vm.context(); c != nil {
		e.Context = c.id
	}
	vm.plugin.cfg.Recorder.Record(e)
}

// random is what a plugin gets by random_get.
func (vm *vm) random() io.Reader { return rand.Reader }

// replay is what answers a plugin's host calls from a recording.
type replay struct{}

func (*replay) host(h hostCall, f *hostFunction, p []uint64) Status { return f.call(h, p) }
