package proxywasm

import "sync"

// An inbox holds what is to be done in a VM by itself, in order: ticks,
// answers of calls, queues. A goroutine works on it while there is something.
type inbox struct {
	mu      sync.Mutex
	waiting []func()
	busy    bool
	closed  bool
}

// post has f run with the VM's lock held, unless the VM ends before.
func (vm *vm) post(f func()) {
	b := &vm.inbox
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	b.waiting = append(b.waiting, f)
	if !b.busy {
		b.busy = true
		go vm.work()
	}
}

func (vm *vm) work() {
	for {
		f := vm.inbox.next()
		if f == nil {
			return
		}
		vm.acquire()
		if vm.failure == nil {
			f()
		}
		vm.release()
	}
}

// next returns what is to be done, nil if the goroutine is to end.
func (b *inbox) next() func() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) == 0 {
		b.busy = false
		b.waiting = nil
		return nil
	}
	f := b.waiting[0]
	b.waiting[0] = nil
	b.waiting = b.waiting[1:]
	return f
}

func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed, b.waiting = true, nil
}

// idle reports whether nothing waits or is under way.
func (b *inbox) idle() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.busy
}
