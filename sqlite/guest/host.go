package guest

import (
	"context"
	"fmt"
	"time"

	"github.com/hako-run/hako/sqlite/vfscore"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// ModuleName is the import module that libhakosqlite.a asks for.
const ModuleName = "hako_sqlite_v1"

const (
	i32 = api.ValueTypeI32
	i64 = api.ValueTypeI64
)

// maxText is the longest text that a guest may pass, in bytes.
const maxText = 4096

// A call is a call of a host function: its arguments lie in the stack, and so
// does its result then.
type call struct {
	d     *Databases
	mem   api.Memory
	stack []uint64
}

func (c *call) i32(i int) int32 { return int32(uint32(c.stack[i])) }
func (c *call) i64(i int) int64 { return int64(c.stack[i]) }

// bytes returns the guest's memory that the arguments i, the address, and i+1,
// the length, name.
func (c *call) bytes(i int) ([]byte, bool) {
	if c.mem == nil {
		return nil, false
	}
	return c.mem.Read(uint32(c.stack[i]), uint32(c.stack[i+1]))
}

// text is bytes for a name or the like.
func (c *call) text(i int) (string, bool) {
	if uint32(c.stack[i+1]) > maxText {
		return "", false
	}
	b, ok := c.bytes(i)
	return string(b), ok
}

// put32 writes numbers at the address that argument i is.
func (c *call) put32(i int, values ...int32) bool {
	at := uint32(c.stack[i])
	if c.mem == nil {
		return false
	}
	if _, ok := c.mem.Read(at, uint32(4*len(values))); !ok {
		return false
	}
	for k, v := range values {
		c.mem.WriteUint32Le(at+uint32(4*k), uint32(v))
	}
	return true
}

// fits reports whether n bytes can be written at the address that argument i
// is.
func (c *call) fits(i int, n uint32) bool {
	if c.mem == nil {
		return false
	}
	_, ok := c.mem.Read(uint32(c.stack[i]), n)
	return ok
}

func (c *call) code(code vfscore.Code) { c.stack[0] = api.EncodeI32(int32(code)) }
func (c *call) int(n int)              { c.stack[0] = api.EncodeI32(int32(n)) }

// opened ends a call that opens a file, for which argument i is the place of
// the handle.
func (c *call) opened(i int, handle int32, code vfscore.Code) {
	if code == vfscore.OK {
		c.put32(i, handle)
	}
	c.code(code)
}

// A function is a host function. Without databases, or once they are closed, it
// is not called, unless it needs none, and failed is its result.
type function struct {
	name    string
	params  []api.ValueType
	results []api.ValueType
	failed  int64
	call    func(ctx context.Context, c *call)
}

// needless reports whether the function does without databases. Those are the
// ones without a result.
func (f *function) needless() bool { return f.results == nil }

// Instantiate makes the host module part of a runtime.
func Instantiate(ctx context.Context, r wazero.Runtime) error {
	b := r.NewHostModuleBuilder(ModuleName)
	for _, f := range functions {
		b.NewFunctionBuilder().WithGoModuleFunction(f, f.params, f.results).Export(f.name)
	}
	if _, err := b.Instantiate(ctx); err != nil {
		return fmt.Errorf("instantiate host module %s: %w", ModuleName, err)
	}
	return nil
}

// Call is api.GoModuleFunction's.
func (f *function) Call(ctx context.Context, m api.Module, stack []uint64) {
	d := FromContext(ctx)
	if f.needless() {
		f.call(ctx, &call{mem: m.Memory(), stack: stack})
		return
	}
	if d == nil || d.closed {
		stack[0] = uint64(f.failed)
		return
	}
	d.call = call{d, m.Memory(), stack}
	f.call(ctx, &d.call)
	d.call.stack = nil
}

func params(types ...api.ValueType) []api.ValueType { return types }

var (
	one  = params(i32)
	long = params(i64)
)

const (
	cantOpen = int64(vfscore.CantOpen)
	failure  = int64(0xffffffff) // -1 as an i32
)

// functions are described in c/hako_host.h.
var functions = []*function{
	{"granted", params(i32, i32), one, 0, func(_ context.Context, c *call) {
		name, ok := c.text(0)
		if ok {
			g, _ := c.d.find(name)
			ok = g != nil
		}
		c.int(boolInt(ok))
	}},
	{"open", params(i32, i32, i32, i32, i32), one, cantOpen, func(_ context.Context, c *call) {
		name, ok := c.text(1)
		if !ok || !c.fits(4, 12) {
			c.code(misuse)
			return
		}
		s := c.d.session(c.i32(0))
		if s == nil && c.i32(0) != 0 {
			c.code(misuse)
			return
		}
		flags := c.i32(3)
		handle, s, code := c.d.openMain(s, name, flags&1 != 0, flags&2 != 0)
		if code == vfscore.OK {
			c.put32(4, handle, int32(s.number), int32(boolInt(c.d.files[handle].main.ReadOnly())))
		}
		c.code(code)
	}},
	{"journal", params(i32, i32), one, cantOpen, func(_ context.Context, c *call) {
		f := c.d.getMain(c.i32(0))
		if f == nil || !c.fits(1, 4) {
			c.code(misuse)
			return
		}
		handle, code := c.d.openJournal(f)
		c.opened(1, handle, code)
	}},
	{"super", params(i32, i32, i32, i32), one, cantOpen, func(_ context.Context, c *call) {
		s := c.d.session(c.i32(0))
		name, ok := c.text(1)
		if s == nil || !ok || !c.fits(3, 4) {
			c.code(misuse)
			return
		}
		handle, code := c.d.openSuper(s, name)
		c.opened(3, handle, code)
	}},
	{"temp", params(i32), one, cantOpen, func(_ context.Context, c *call) {
		if !c.fits(0, 4) {
			c.code(misuse)
			return
		}
		handle, code := c.d.openTemp()
		c.opened(0, handle, code)
	}},
	{"close", params(i32), one, int64(vfscore.OK), func(_ context.Context, c *call) {
		f := c.d.get(c.i32(0))
		if f == nil {
			c.code(misuse)
			return
		}
		c.code(c.d.close(c.i32(0), f))
	}},
	{"read", params(i32, i32, i32, i64), one, int64(vfscore.IOErrRead), func(_ context.Context, c *call) {
		p, ok := c.bytes(1)
		if !ok {
			c.code(misuse)
			return
		}
		c.code(c.d.read(c.i32(0), p, c.i64(3)))
	}},
	{"write", params(i32, i32, i32, i64), one, int64(vfscore.IOErrWrite), func(_ context.Context, c *call) {
		p, ok := c.bytes(1)
		if !ok {
			c.code(misuse)
			return
		}
		c.code(c.d.write(c.i32(0), p, c.i64(3)))
	}},
	{"truncate", params(i32, i64), one, int64(vfscore.IOErrTruncate), func(_ context.Context, c *call) {
		c.code(c.d.truncate(c.i32(0), c.i64(1)))
	}},
	{"size", params(i32, i32), one, int64(vfscore.IOErrSize), func(_ context.Context, c *call) {
		if !c.fits(1, 8) {
			c.code(misuse)
			return
		}
		n, code := c.d.size(c.i32(0))
		if code == vfscore.OK {
			c.mem.WriteUint64Le(uint32(c.stack[1]), uint64(n))
		}
		c.code(code)
	}},
	{"lock", params(i32, i32), one, int64(vfscore.IOErrLock), func(_ context.Context, c *call) {
		c.code(c.d.lock(c.i32(0), c.i32(1)))
	}},
	{"unlock", params(i32, i32), one, int64(vfscore.OK), func(_ context.Context, c *call) {
		c.code(c.d.unlock(c.i32(0), c.i32(1)))
	}},
	{"sync", params(i32, i32, i32), one, int64(vfscore.IOErrSync), func(ctx context.Context, c *call) {
		super, ok := c.text(1)
		if !ok {
			c.code(misuse)
			return
		}
		c.code(c.d.sync(ctx, c.i32(0), super, int64(c.mem.Size())))
	}},
	{"pragma", params(i32, i32, i32, i32, i32, i32, i32), one, failure, func(_ context.Context, c *call) {
		name, ok1 := c.text(1)
		arg, ok2 := c.text(3)
		out, ok3 := c.bytes(5)
		if !ok1 || !ok2 || !ok3 {
			c.int(-1)
			return
		}
		result, handled := c.d.pragma(c.i32(0), name, arg)
		if !handled {
			c.int(-1)
			return
		}
		c.int(copy(out, result))
	}},
	{"delete", params(i32, i32, i32), one, int64(vfscore.IOErrDelete), func(ctx context.Context, c *call) {
		name, ok := c.text(0)
		if !ok {
			c.code(misuse)
			return
		}
		c.code(c.d.delete(ctx, name, c.i32(2) != 0))
	}},
	{"exists", params(i32, i32), one, 0, func(_ context.Context, c *call) {
		name, ok := c.text(0)
		c.int(boolInt(ok && c.d.exists(name)))
	}},
	{"busy", params(i32, i32), one, 0, func(ctx context.Context, c *call) {
		c.int(boolInt(c.d.busy(ctx, c.i32(0), c.i32(1))))
	}},
	{"busy_timeout", params(i32, i32), one, int64(misuse), func(_ context.Context, c *call) {
		c.code(c.d.busyTimeout(c.i32(0), c.i32(1)))
	}},
	{"version", params(i32), long, -1, func(_ context.Context, c *call) {
		c.stack[0] = uint64(c.d.version(c.i32(0)))
	}},
	{"time", params(i32, i32, i32), one, failure, func(_ context.Context, c *call) {
		out, ok := c.bytes(1)
		text, known := c.d.time(c.i32(0))
		if !ok || !known {
			c.int(-1)
			return
		}
		c.int(copy(out, text))
	}},
	{"at", params(i32, i32, i32), long, -1, func(_ context.Context, c *call) {
		spec, ok := "", true
		if c.i32(2) >= 0 {
			spec, ok = c.text(1)
		}
		if !ok {
			c.stack[0] = ^uint64(0)
			return
		}
		c.stack[0] = uint64(c.d.at(c.i32(0), spec))
	}},
	{"page_size", params(i32), one, 0, func(_ context.Context, c *call) {
		c.int(int(c.d.pageSize(c.i32(0))))
	}},
	{"error", params(i32, i32), one, 0, func(_ context.Context, c *call) {
		out, ok := c.bytes(0)
		if !ok || c.d.err == nil {
			c.int(0)
			return
		}
		c.int(copy(out, text(c.d.err)))
	}},
	// These two need no databases.
	{"sleep", params(i32), nil, 0, func(ctx context.Context, c *call) {
		sleep(ctx, time.Duration(c.i32(0))*time.Microsecond)
	}},
	{"random", params(i32, i32), nil, 0, func(_ context.Context, c *call) {
		if p, ok := c.bytes(0); ok {
			random(p)
		}
	}},
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
