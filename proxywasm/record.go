package proxywasm

import (
	"bytes"
	"crypto/rand"
)

// recording tells whether what passes is recorded.
func (vm *vm) recording() bool { return vm.plugin.cfg.Recorder != nil && vm.replay == nil }

// depth is 1 within the allocator.
func (vm *vm) depth() int {
	if vm.phase == phaseAlloc {
		return 1
	}
	return 0
}

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

// newEvent begins the event of a host call.
func (vm *vm) newEvent(name string) Event {
	e := Event{VM: vm.number, Kind: Call, Name: name, Depth: vm.depth()}
	if c := vm.context(); c != nil {
		e.Context = c.id
	}
	return e
}

// recordCall calls a host function and records it.
func (vm *vm) recordCall(h hostCall, f *hostFunction, p []uint64) (status Status) {
	outer := vm.event
	vm.event = vm.newEvent(f.name)
	vm.event.Args = append([]uint64(nil), p[:len(f.params)]...)
	defer func() {
		e := vm.event
		vm.event = outer
		e.Result = uint64(status)
		r := recover()
		if err, ok := r.(error); ok {
			e.Err = err.Error()
		}
		vm.plugin.cfg.Recorder.Record(&e)
		if r != nil {
			panic(r)
		}
	}()
	return f.call(h, p)
}

// output records, or compares, what a plugin writes to its standard output or
// error.
func (vm *vm) output(level LogLevel, b []byte) {
	switch {
	case vm.replay != nil:
		if e := vm.replay.take(vm, CallOutput); len(e.In) != 1 || !bytes.Equal(e.In[0].Data, b) {
			panic(vm.replay.differs("it writes %q where the recording has something else", b))
		}
	case vm.recording():
		e := vm.newEvent(CallOutput)
		e.Args, e.In = []uint64{uint64(level)}, []Input{{Data: b}}
		vm.plugin.cfg.Recorder.Record(&e)
	}
}

// chance records, or replays, a number that a plugin cannot know.
func (vm *vm) chance(name string, which uint64, value func() int64) int64 {
	if !vm.begun {
		return value()
	}
	if vm.replay != nil {
		return int64(vm.replay.take(vm, name).Result)
	}
	v := value()
	if vm.recording() {
		e := vm.newEvent(name)
		e.Args, e.Result = []uint64{which}, uint64(v)
		vm.plugin.cfg.Recorder.Record(&e)
	}
	return v
}

// random is what a plugin gets by random_get.
type random struct{ vm *vm }

func (r random) Read(b []byte) (int, error) {
	if r.vm.replay != nil {
		e := r.vm.replay.take(r.vm, CallRandom)
		if len(e.Out) != 1 || len(e.Out[0].Data) != len(b) {
			panic(r.vm.replay.differs("it wants %d random bytes where the recording has others", len(b)))
		}
		return copy(b, e.Out[0].Data), nil
	}
	n, err := rand.Read(b)
	if r.vm.recording() {
		e := r.vm.newEvent(CallRandom)
		e.Out = []Output{{Data: append([]byte(nil), b...)}}
		r.vm.plugin.cfg.Recorder.Record(&e)
	}
	return n, err
}
