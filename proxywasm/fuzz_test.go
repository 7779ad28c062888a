package proxywasm

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"
)

// FuzzHostFunctions calls host functions with any arguments: a status comes
// back, and the VM goes on.
func FuzzHostFunctions(f *testing.F) {
	edges := []uint64{0, 1, 4, 8, 64, 0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff, 1 << 40, ^uint64(0)}
	for i := range probeImports {
		seed := []byte{byte(i)}
		for k := range 12 {
			seed = binary.LittleEndian.AppendUint64(seed, edges[(i+k)%len(edges)])
		}
		f.Add(seed)
		f.Add(append([]byte{byte(i)}, make([]byte, 12*8)...))
	}
	d := &fakeDispatcher{}
	foreign := &Foreign{}
	foreign.Register("", func(_ *ForeignCall, args []byte) ([]byte, Status) { return args[:min(len(args), 100)], StatusOK })
	exit := slices.Index(probeImports, "proc_exit")
	m := probeSource(f, ABI02100)
	f.Fuzz(func(t *testing.T, b []byte) {
		x := &wholeHost{}
		x.RequestHeaders, x.ResponseHeaders = get().RequestHeaders, MakeHeaders(":status", "200")
		p := newProbe(t)
		run := func(c *probeCall) {
			for b := b; len(b) > 0; {
				number := int(b[0]) % len(probeImports)
				b = b[1:]
				if number == exit {
					return
				}
				at := uint32(c.guest("args_at"))
				var args [16]uint64
				for i := range 12 {
					if len(b) >= 8 {
						args[i] = binary.LittleEndian.Uint64(b)
						b = b[8:]
					}
					c.mem.WriteUint64Le(at+8*uint32(i), args[i])
				}
				status := Status(c.guest("exec", uint64(number)))
				if strings.HasPrefix(probeImports[number], "proxy_") && status > StatusUnimplemented {
					t.Errorf("%s%v: %v", probeImports[number], args, status)
				}
			}
		}
		for _, cb := range []callback{onConfigure, onRequestBody, onLog, onHTTPCallResponse} {
			p.on(cb, func(c *probeCall) uint32 { run(c); return 1 })
		}
		cfg := Config{Module: m, Dispatcher: d, Foreign: foreign, Shared: NewShared(), Allow: []string{"http_call:*", "grpc_call:*", "redis:*", "foreign:*", "queue:*"},
			Limits: Limits{CPU: 10 * time.Second}}
		if err := p.load(cfg); err != nil {
			t.Fatal(err)
		}
		s := p.plugin.NewStream(0, x)
		s.RequestHeaders(false)
		s.RequestBody([]byte("hello"), true)
		s.Close()
		if st := p.plugin.Stats(); st.Crashes > 0 {
			t.Errorf("it crashed: %s", p.log)
		}
	})
}

// A wholeHost serves Higress' functions, too.
type wholeHost struct{ Exchange }

func (*wholeHost) Inject([]byte, bool)                  {}
func (*wholeHost) UpstreamHosts() *Headers              { return MakeHeaders("10.0.0.1:80", "") }
func (*wholeHost) OverrideUpstream(address string) bool { return address != "" }

// TestProbeCallsAll: no host function is left out by the tests with any
// arguments, but those of compilers that end a plugin or have no effect.
func TestProbeCallsAll(t *testing.T) {
	for i := range hostFunctions {
		switch name := hostFunctions[i].name; name {
		case "abort", "emscripten_notify_memory_growth":
		default:
			if !slices.Contains(probeImports, name) {
				t.Errorf("the probe does not call %s", name)
			}
		}
	}
}

// FuzzPropertyPaths walks any path.
func FuzzPropertyPaths(f *testing.F) {
	for _, path := range []string{"request\x00headers\x00a", "node\x00a\x00b", "metadata\x000", "\x00\x00", "connection\x00tls_version", "upstream\x00", "filter_state\x00wasm."} {
		f.Add(path)
	}
	p := loadProbe(f, Config{Node: map[string]any{"a": []any{1, "b"}}})
	x := get()
	x.Attributes.Extra = map[string]any{"metadata": []any{map[string]any{"": "x"}}}
	f.Fuzz(func(t *testing.T, path string) {
		s := p.plugin.NewStream(0, x)
		s.RequestHeaders(true)
		if _, status := s.scope.property(nil, path); status != StatusOK && status != StatusNotFound && status != StatusSerializationFailure {
			t.Errorf("%q: %v", path, status)
		}
		s.Close()
	})
}

// FuzzBufferWrite compares with the specification's words.
func FuzzBufferWrite(f *testing.F) {
	f.Add([]byte("hello"), uint32(1), uint32(2), []byte("x"))
	f.Fuzz(func(t *testing.T, old []byte, start, size uint32, data []byte) {
		b := Buffer{}
		b.Set(slices.Clone(old))
		if !b.write(start, size, data) {
			t.Fatal("refused")
		}
		want := []byte{}
		for i, c := range old {
			if uint64(i) == uint64(start) {
				want = append(want, data...)
			}
			if uint64(i) < uint64(start) || uint64(i) >= uint64(start)+uint64(size) {
				want = append(want, c)
			}
		}
		if uint64(start) >= uint64(len(old)) {
			want = append(want, data...)
		}
		if string(b.Bytes()) != string(want) {
			t.Errorf("%q, want %q", b.Bytes(), want)
		}
	})
}

// TestSoak: streams that end in every way leave nothing behind.
func TestSoak(t *testing.T) {
	streams := 4000
	if *long {
		streams = 100_000
	} else if testing.Short() {
		streams = 500
	}
	p := loadProbe(t, Config{VMs: 2, Limits: Limits{Body: 1 << 10}})
	p.do(onRequestHeaders, func(c *probeCall) {
		switch c.args[0] % 11 {
		case 3:
			c.with("proxy_send_local_response", 403, "", "no", "", 0)
		case 5:
			c.with("proxy_close_stream", 0)
		case 7:
			if c.args[0]%77 == 7 {
				c.guest("trap")
			}
		}
		c.with("proxy_set_property", "k", "v")
	})
	p.on(onRequestBody, func(c *probeCall) uint32 { return c.args[0] % 4 })
	p.on(onDone, func(c *probeCall) uint32 {
		if c.args[0]%13 == 1 {
			c.with("proxy_done")
			return 0
		}
		return 1
	})
	var first uint64
	for i := range streams {
		x := get()
		s := p.plugin.NewStream(0, x)
		if i%3 > 0 {
			s.RequestHeaders(false)
			for range i % 5 {
				s.RequestBody(make([]byte, 300), false)
			}
		}
		if i%4 > 0 {
			x.ResponseHeaders = MakeHeaders(":status", "200")
			s.ResponseHeaders(i%2 == 0)
		}
		s.Close()
		p.clock.advance(time.Minute)
		if p.calls(); i == streams/4 {
			first = heapInUse()
		}
	}
	if now := heapInUse(); now > first+first/2+4<<20 {
		t.Errorf("%d bytes of heap after a quarter of the streams, %d at the end", first, now)
	}
	waitFor(t, "contexts to end", func() bool {
		p.plugin.mu.Lock()
		vms := slices.Clone(p.plugin.vms)
		p.plugin.mu.Unlock()
		for _, v := range vms {
			v.acquire()
			n := len(v.contexts)
			v.release()
			if n != 1 {
				return false
			}
		}
		return true
	})
	if st := p.plugin.Stats(); st.Open != 0 || st.Streams != int64(streams) || st.Crashes == 0 {
		t.Errorf("%+v", fmt.Sprintf("%+v", st)[:100])
	}
}

func heapInUse() uint64 {
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
