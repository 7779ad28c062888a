package proxywasm

import "sync"

// Foreign are Go functions that plugins call by name
// (proxy_call_foreign_function). Config.Allow must name them, too. The zero
// value is empty; it is safe for concurrent use.
type Foreign struct {
	mu        sync.RWMutex
	functions map[string]ForeignFunc
}

// A ForeignFunc serves a foreign function. It is called while the plugin
// runs, so it returns soon; args are good until it returns.
type ForeignFunc func(call *ForeignCall, args []byte) (results []byte, status Status)

// A ForeignCall is who calls.
type ForeignCall struct {
	Plugin, RootID string
	// Stream is the host of the stream in whose context the plugin calls, nil
	// in that of a root.
	Stream StreamHost
	// Callback calls proxy_on_foreign_function of the plugin's root with data
	// in the buffer of the arguments, after the present callback. It may be
	// kept and called at any time, by any goroutine.
	Callback func(function uint32, data []byte)
}

// Register makes a function known, instead of any of that name.
func (f *Foreign) Register(name string, fn ForeignFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.functions == nil {
		f.functions = map[string]ForeignFunc{}
	}
	f.functions[name] = fn
}

func (f *Foreign) find(name string) ForeignFunc {
	if f == nil {
		return nil
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.functions[name]
}
