package engine

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/hako-run/hako/wasi"
)

// wasmPage is the unit of a linear memory's size, in bytes.
const wasmPage = 64 << 10

// linear is an instance's linear memory, as wazero asks for it.
type linear struct {
	region region
	// room is the most that limit can be.
	room uint64
	// limit is the size that it may grow to, in bytes.
	limit uint64
	// image is the size of the image below, if forked: what wazero gets at
	// instantiation in place of what the module declares, and again whenever
	// resetting is set.
	image     uint64
	resetting bool

	now    atomic.Uint64 // the size
	peak   atomic.Uint64 // the largest size so far
	denied atomic.Uint64 // the smallest size that was refused, 0 if none was
}

var _ experimental.LinearMemory = (*linear)(nil)

// Allocate lets a linear serve as the allocator for its one instance.
func (l *linear) Allocate(_, _ uint64) experimental.LinearMemory { return l }

// Reallocate gives the memory another size, or nil if that is too much.
// wazero takes the length of the result as the memory's size, whatever it
// asked for.
func (l *linear) Reallocate(size uint64) []byte {
	if l.resetting {
		size = l.image
	}
	size = max(size, l.image)
	if size > l.limit {
		if was := l.denied.Load(); was == 0 || size < was {
			l.denied.Store(size)
		}
		return nil
	}
	b, err := l.region.bytes(size)
	if err != nil {
		l.denied.Store(size)
		return nil
	}
	l.now.Store(size)
	if size > l.peak.Load() {
		l.peak.Store(size)
	}
	return b
}

// Free gives the memory back. It may be called more than once.
func (l *linear) Free() {
	if l.region != nil {
		l.region.free()
		l.region = nil
	}
}

// setLimit changes the limit to max bytes, 0 for all there is room for.
func (l *linear) setLimit(max int64) error {
	switch {
	case max < 0 || uint64(max) > l.room:
		return fmt.Errorf("a memory limit of %d bytes: there is room for %d", max, l.room)
	case max == 0:
		l.limit = l.room
	case uint64(max) < l.now.Load():
		return fmt.Errorf("a memory limit of %d bytes: %d are in use: %w", max, l.now.Load(), &LimitError{Limit: wasi.LimitMemory, Max: max})
	default:
		l.limit = uint64(max)
	}
	return nil
}

// reset makes the memory what it was at first. mod is the module that it
// belongs to.
func (l *linear) reset(mod api.Module) error {
	if err := l.region.reset(); err != nil {
		return err
	}
	if l.now.Load() != l.image {
		// wazero learns a memory's size from growing alone.
		l.resetting = true
		_, ok := mod.Memory().Grow(1)
		l.resetting = false
		if !ok {
			return errors.New("shrink a memory: it is as large as the module allows")
		}
	}
	l.peak.Store(l.image)
	l.denied.Store(0)
	return nil
}
