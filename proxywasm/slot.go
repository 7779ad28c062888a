package proxywasm

import "sync"

// A Slot has the plugin that new streams take, so that it can be replaced
// while streams are open. The zero value is empty. It is safe for concurrent
// use.
type Slot struct {
	mu      sync.RWMutex
	current *Plugin
}

// Swap makes new streams take next, which may be nil, and closes what was
// there before: it ends when its streams have. It is returned, so that one
// can wait for that (Plugin.Done).
func (s *Slot) Swap(next *Plugin) (old *Plugin) {
	s.mu.Lock()
	old, s.current = s.current, next
	s.mu.Unlock()
	if old != nil && old != next {
		old.Close()
	}
	return old
}

// Plugin returns the plugin that new streams take, or nil.
func (s *Slot) Plugin() *Plugin {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.current
}

// NewStream begins a stream of the present plugin; it reports false if there
// is none.
func (s *Slot) NewStream(root int, host StreamHost) (*Stream, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.current == nil {
		return nil, false
	}
	return s.current.NewStream(root, host), true
}
