package wasi

import "context"

// A Waiter is asked to wait, by host functions that may have to for long. It
// is the runtime's: a call that holds a thread of its own can give it up
// meanwhile.
type Waiter interface {
	// Wait calls f, which returns when there is nothing to wait for, or
	// panics.
	Wait(f func())
}

type waiterKey struct{}

// WaiterKey is what a Waiter lies under in the context of a call.
func WaiterKey() any { return waiterKey{} }

// Wait calls f, which waits for something, with the Waiter of ctx if it has
// one. Host functions of any package use it where they wait.
func Wait(ctx context.Context, f func()) {
	if w, ok := ctx.Value(waiterKey{}).(Waiter); ok {
		w.Wait(f)
		return
	}
	f()
}
