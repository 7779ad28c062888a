package proxywasm

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/hako-run/hako/engine"
	"github.com/hako-run/hako/internal/guestbuild"
	"github.com/hako-run/hako/wasi"
)

var long = flag.Bool("long", os.Getenv("HAKO_LONG") != "", "run the long forms of the tests")

// testEngine is shared by all tests. Closing it fails if one leaves a VM.
var testEngine = sync.OnceValue(func() *engine.Engine {
	e, err := engine.New(engine.Options{
		Hosts:   []func(context.Context, wazero.Runtime) error{wasi.Instantiate, Instantiate, testHost},
		Imports: WithImports,
	})
	if err != nil {
		panic(err)
	}
	return e
})

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if err := testEngine().Close(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, "a test left something open:", err)
		code = 1
	}
	os.Exit(code)
}

// testHost has the function that the probe asks what to do.
func testHost(ctx context.Context, r wazero.Runtime) error {
	params := []api.ValueType{api.ValueTypeI32, api.ValueTypeI32, api.ValueTypeI32, api.ValueTypeI32, api.ValueTypeI32, api.ValueTypeI32}
	b := r.NewHostModuleBuilder("test")
	b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, mod api.Module, p []uint64) {
		vm := ctx.Value(vmKey{}).(*vm)
		v, _ := probes.Load(vm.plugin.cfg.Name)
		c := &probeCall{ctx: ctx, vm: vm, mem: mod.Memory(), cb: callback(uint32(p[0]))}
		for i := range c.args {
			c.args[i] = uint32(p[1+i])
		}
		p[0] = uint64(v.(*probe).hook(c))
	}), params, []api.ValueType{api.ValueTypeI32}).Export("hook")
	_, err := b.Instantiate(ctx)
	return err
}

// Numbers of the probe's functions that are no callbacks.
const (
	onInitialize callback = 1000
	onAllocate   callback = 1001
	onMain       callback = 1002
)

var probes sync.Map // name -> *probe

// A probe is a plugin that a test works by hand.
type probe struct {
	t      testing.TB
	plugin *Plugin
	log    *syncBuffer
	clock  *fakeClock

	mu    sync.Mutex
	hooks map[callback]func(*probeCall) uint32
	seen  []string
}

// probeCall is one callback of a probe.
type probeCall struct {
	ctx  context.Context
	vm   *vm
	mem  api.Memory
	cb   callback
	args [5]uint32
	used uint32
}

// probeSource compiles the probe, by ABI and variant.
func probeSource(t testing.TB, abi ABI, variant ...string) *engine.Module {
	t.Helper()
	args := []string{"-O2", "-nostdlib", "-Wl,--no-entry", "-mbulk-memory", "-fno-builtin", "testdata/probe/probe.c",
		"-DABI=" + strings.ReplaceAll(abi.String(), ".", "_")}
	if abi == ABI010 {
		args = append(args, "-DTWO")
	}
	for _, v := range variant {
		args = append(args, "-D"+v)
	}
	return compileFile(t, guestbuild.C(t, args))
}

func compileFile(t testing.TB, path string) *engine.Module {
	t.Helper()
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m, err := testEngine().Compile(context.Background(), filepath.Base(path), source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// newProbe makes a probe that is not loaded yet.
func newProbe(t testing.TB) *probe {
	p := &probe{t: t, log: &syncBuffer{}, clock: newFakeClock(), hooks: map[callback]func(*probeCall) uint32{}}
	for _, cb := range []callback{onVMStart, onConfigure, onDone} {
		p.on(cb, func(*probeCall) uint32 { return 1 })
	}
	return p
}

// load loads the probe with what cfg says beside its module.
func (p *probe) load(cfg Config) error {
	p.t.Helper()
	if cfg.Module == nil {
		cfg.Module = probeSource(p.t, ABI021)
	}
	cfg.Name = fmt.Sprintf("%s/%p", p.t.Name(), p)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.NewTextHandler(p.log, &slog.HandlerOptions{Level: slog.LevelDebug - 4}))
	}
	if cfg.Clock == nil {
		cfg.Clock = p.clock
	}
	if cfg.VMs == 0 {
		cfg.VMs = 1
	}
	probes.Store(cfg.Name, p)
	plugin, err := Load(context.Background(), cfg)
	if err != nil {
		return err
	}
	p.plugin = plugin
	p.t.Cleanup(func() {
		plugin.Close()
		p.clock.advance(time.Hour)
		waitFor(p.t, "the plugin to end", func() bool {
			select {
			case <-plugin.Done():
				return true
			default:
				p.clock.advance(time.Minute)
				return false
			}
		})
	})
	return nil
}

// loadProbe makes and loads a probe.
func loadProbe(t testing.TB, cfg Config) *probe {
	t.Helper()
	p := newProbe(t)
	if err := p.load(cfg); err != nil {
		t.Fatal(err)
	}
	return p
}

// on sets what a callback does.
func (p *probe) on(cb callback, f func(*probeCall) uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hooks[cb] = f
}

// once is on with a function that need not say what it returns.
func (p *probe) do(cb callback, f func(*probeCall)) {
	p.on(cb, func(c *probeCall) uint32 { f(c); return 0 })
}

func (p *probe) hook(c *probeCall) (result uint32) {
	p.mu.Lock()
	f := p.hooks[c.cb]
	p.mu.Unlock()
	if f != nil {
		result = f(c)
	}
	if c.cb < callbackCount {
		p.mu.Lock()
		p.seen = append(p.seen, fmt.Sprint(c))
		p.mu.Unlock()
	}
	return result
}

// String is the callback as "done(2)".
func (c *probeCall) String() string {
	t := callbackTypes[c.cb]
	n := t.params
	if n > len(c.args) {
		n = len(c.args)
	}
	var args []string
	for _, a := range c.args[:n] {
		args = append(args, fmt.Sprint(a))
	}
	return strings.TrimPrefix(t.name, "proxy_on_") + "(" + strings.Join(args, ",") + ")"
}

// calls takes the callbacks so far.
func (p *probe) calls() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := strings.Join(p.seen, " ")
	p.seen = nil
	return s
}

// has tells whether a callback was made.
func (p *probe) has(call string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.seen {
		if s == call {
			return true
		}
	}
	return false
}

// saw tells whether a callback was made, with whatever arguments.
func (p *probe) saw(cb callback) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.seen, func(s string) bool {
		return strings.HasPrefix(s, strings.TrimPrefix(callbackTypes[cb].name, "proxy_on_")+"(")
	})
}

// put writes data where the guest's allocator does not, and returns where.
func (c *probeCall) put(data string) (ptr, size uint64) {
	at := c.heap() + 4096 + c.used
	if !c.mem.WriteString(at, data) {
		panic(fmt.Errorf("no room for %d bytes at %d", len(data), at))
	}
	c.used += uint32(len(data)+15) &^ 7
	return uint64(at), uint64(len(data))
}

func (c *probeCall) heap() uint32 { return uint32(c.guest("heap_at")) }

// out is where the n-th result of a host function goes.
func (c *probeCall) out(n uint32) uint64 { return uint64(c.heap() + 64 + 8*n) }

func (c *probeCall) out32(n uint32) uint32 {
	v, _ := c.mem.ReadUint32Le(uint32(c.out(n)))
	return v
}

// given is the data whose address and size are in the first two results.
func (c *probeCall) given() string {
	b, ok := c.mem.Read(c.out32(0), c.out32(1))
	if !ok {
		return "outside of memory"
	}
	return string(b)
}

// guest calls a function of the guest; its failure is the plugin's.
func (c *probeCall) guest(name string, args ...uint64) uint64 {
	res, err := c.vm.in.Call(c.ctx, name, args...)
	if err != nil {
		panic(err)
	}
	if len(res) == 0 {
		return 0
	}
	return res[0]
}

// call calls a host function, through the guest.
func (c *probeCall) call(name string, args ...uint64) Status {
	at := uint32(c.guest("args_at"))
	for i, a := range args {
		c.mem.WriteUint64Le(at+8*uint32(i), a)
	}
	for i, n := range probeImports {
		if n == name {
			return Status(c.guest("exec", uint64(i)))
		}
	}
	panic(fmt.Errorf("the probe has no %s", name))
}

// text makes the arguments of a call: strings become address and size.
func (c *probeCall) with(name string, args ...any) Status {
	var p []uint64
	for _, a := range args {
		switch a := a.(type) {
		case string:
			ptr, size := c.put(a)
			p = append(p, ptr, size)
		case int:
			p = append(p, uint64(a))
		case uint64:
			p = append(p, a)
		default:
			panic(fmt.Errorf("an argument of type %T", a))
		}
	}
	return c.call(name, p...)
}

// fakeModule is a module that has a memory and nothing else.
type fakeModule struct {
	api.Module
	mem api.Memory
}

func (m fakeModule) Memory() api.Memory { return m.mem }

// syncBuffer is a buffer for several goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// fakeClock goes on when it is told to.
type fakeClock struct {
	mu     sync.Mutex
	now    time.Time
	timers map[int]fakeTimer
	next   int
}

type fakeTimer struct {
	at time.Time
	f  func()
}

func newFakeClock() *fakeClock {
	return &fakeClock{now: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC), timers: map[int]fakeTimer{}}
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) AfterFunc(d time.Duration, f func()) (stop func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next++
	n := c.next
	c.timers[n] = fakeTimer{c.now.Add(d), f}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.timers, n)
	}
}

// advance lets time pass. What is due runs in the caller's goroutine.
func (c *fakeClock) advance(d time.Duration) {
	c.mu.Lock()
	c.now = c.now.Add(d)
	var due []func()
	for n, t := range c.timers {
		if !t.at.After(c.now) {
			due = append(due, t.f)
			delete(c.timers, n)
		}
	}
	c.mu.Unlock()
	for _, f := range due {
		f()
	}
}

// waitFor waits for what other goroutines do.
func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// probeImports are the functions that the probe's exec knows, by number.
var probeImports = []string{
	"proxy_get_header_map_value",
	"proxy_add_header_map_value",
	"proxy_replace_header_map_value",
	"proxy_remove_header_map_value",
	"proxy_get_header_map_pairs",
	"proxy_set_header_map_pairs",
	"proxy_get_header_map_size",
	"proxy_get_buffer_bytes",
	"proxy_set_buffer_bytes",
	"proxy_get_buffer_status",
	"proxy_get_configuration",
	"proxy_continue_stream",
	"proxy_continue_request",
	"proxy_continue_response",
	"proxy_close_stream",
	"proxy_send_local_response",
	"proxy_clear_route_cache",
	"proxy_set_effective_context",
	"proxy_done",
	"proxy_get_property",
	"proxy_set_property",
	"proxy_http_call",
	"proxy_grpc_call",
	"proxy_grpc_stream",
	"proxy_grpc_send",
	"proxy_grpc_cancel",
	"proxy_grpc_close",
	"proxy_redis_init",
	"proxy_redis_call",
	"proxy_get_shared_data",
	"proxy_set_shared_data",
	"proxy_register_shared_queue",
	"proxy_resolve_shared_queue",
	"proxy_enqueue_shared_queue",
	"proxy_dequeue_shared_queue",
	"proxy_define_metric",
	"proxy_increment_metric",
	"proxy_record_metric",
	"proxy_get_metric",
	"proxy_log",
	"proxy_get_log_level",
	"proxy_get_status",
	"proxy_get_current_time_nanoseconds",
	"proxy_set_tick_period_milliseconds",
	"proxy_call_foreign_function",
	"pthread_equal",
	"fd_write",
	"poll_oneoff",
	"clock_time_get",
	"random_get",
	"environ_sizes_get",
	"environ_get",
	"args_sizes_get",
	"proc_exit",
	"proxy_inject_encoded_data_to_filter_chain",
	"proxy_get_upstream_hosts",
	"proxy_set_upstream_override_host",
}
