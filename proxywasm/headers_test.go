package proxywasm

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// expect fails the test if a host function returned something else.
func (c *probeCall) expect(t *testing.T, want Status, name string, args ...any) {
	t.Helper()
	if got := c.with(name, args...); got != want {
		t.Errorf("%s(%v): %v, want %v", name, args, got, want)
	}
}

// gives is expect of a function with a result in memory.
func (c *probeCall) gives(t *testing.T, want, name string, args ...any) {
	t.Helper()
	c.expect(t, StatusOK, name, append(args, c.out(0), c.out(1))...)
	if got := c.given(); got != want {
		t.Errorf("%s(%v) gave %q, want %q", name, args, got, want)
	}
}

// inRequest runs f in proxy_on_request_headers.
func inRequest(t *testing.T, cfg Config, x *Exchange, f func(*probeCall)) *probe {
	t.Helper()
	p := loadProbe(t, cfg)
	ran := false
	p.do(onRequestHeaders, func(c *probeCall) { ran = true; f(c) })
	s := p.plugin.NewStream(0, x)
	defer s.Close()
	s.RequestHeaders(true)
	if !ran {
		t.Fatalf("the callback was not made: %s", p.log)
	}
	return p
}

func TestHeaderValues(t *testing.T) {
	x := get()
	x.RequestHeaders.Add("X-Two", "a")
	x.RequestHeaders.Add("x-two", "b")
	inRequest(t, Config{}, x, func(c *probeCall) {
		c.gives(t, "GET", "proxy_get_header_map_value", 0, ":method")
		c.gives(t, "a", "proxy_get_header_map_value", 0, "X-TWO")
		c.expect(t, StatusNotFound, "proxy_get_header_map_value", 0, "x-none", c.out(0), c.out(1))
		c.expect(t, StatusOK, "proxy_add_header_map_value", 0, "X-Two", "c")
		c.expect(t, StatusOK, "proxy_replace_header_map_value", 0, "x-TWO", "only")
		c.expect(t, StatusOK, "proxy_replace_header_map_value", 0, "x-new", "new")
		c.expect(t, StatusOK, "proxy_add_header_map_value", 0, "x-empty", "")
		c.gives(t, "", "proxy_get_header_map_value", 0, "x-empty")
		if c.out32(0) != 0 {
			t.Errorf("an empty value has address %d", c.out32(0))
		}
		c.expect(t, StatusOK, "proxy_remove_header_map_value", 0, "x-one")
		c.expect(t, StatusOK, "proxy_remove_header_map_value", 0, "x-not-there")
		// Unknown maps, bad memory, maps that are not there.
		for _, f := range []string{"proxy_get_header_map_value", "proxy_add_header_map_value", "proxy_replace_header_map_value"} {
			c.expect(t, StatusBadArgument, f, 8, "a", c.out(0), c.out(1))
			c.expect(t, StatusInvalidMemoryAccess, f, 0, 0xfffffff0, 32, c.out(0), c.out(1))
			c.expect(t, StatusBadArgument, f, 2, "a", c.out(0), c.out(1))
			c.expect(t, StatusBadArgument, f, 6, "a", c.out(0), c.out(1))
		}
		c.expect(t, StatusInvalidMemoryAccess, "proxy_get_header_map_value", 0, ":method", c.out(0), 0xfffffffe)
		c.expect(t, StatusInvalidMemoryAccess, "proxy_get_header_map_value", 0, ":method", 0xfffffffe, c.out(0))
		c.expect(t, StatusInvalidMemoryAccess, "proxy_add_header_map_value", 0, "a", 0xfffffff0, 32)
		c.expect(t, StatusBadArgument, "proxy_remove_header_map_value", 8, "a")
		c.expect(t, StatusBadArgument, "proxy_remove_header_map_value", 2, "a")
		c.expect(t, StatusInvalidMemoryAccess, "proxy_remove_header_map_value", 0, 0xfffffff0, 32)
		// What would end a header line, or is no name.
		for _, v := range []string{"a\r\nb: c", "a\n", "a\x00"} {
			c.expect(t, StatusBadArgument, "proxy_add_header_map_value", 0, "x-bad", v)
			c.expect(t, StatusBadArgument, "proxy_replace_header_map_value", 0, "x-one", v)
		}
		for _, n := range []string{"", ":", "a b", "a:b", "ä", "a\n"} {
			c.expect(t, StatusBadArgument, "proxy_add_header_map_value", 0, n, "v")
		}
	})
	want := "[{:method GET} {:path /a?b=c} {:authority example.com} {:scheme https} {x-two only} {x-new new} {x-empty }]"
	if got := fmt.Sprint(x.RequestHeaders.fields); got != want {
		t.Errorf("the headers are\n%s, want\n%s", got, want)
	}
	if x.RoutesCleared() != 1 {
		t.Errorf("the route was cleared %d times", x.RoutesCleared())
	}
}

// TestHeaderNotFound010: in 0.1.0 a header that is not there is empty.
func TestHeaderNotFound010(t *testing.T) {
	inRequest(t, Config{Module: probeSource(t, ABI010)}, get(), func(c *probeCall) {
		c.gives(t, "", "proxy_get_header_map_value", 0, "x-none")
	})
}

func TestHeaderPairs(t *testing.T) {
	x := get()
	x.RequestHeaders = MakeHeaders(":path", "/", "a", "", "b", "22")
	const serialised = "\x03\x00\x00\x00" + "\x05\x00\x00\x00\x01\x00\x00\x00" + "\x01\x00\x00\x00\x00\x00\x00\x00" + "\x01\x00\x00\x00\x02\x00\x00\x00" +
		":path\x00/\x00a\x00\x00b\x0022\x00"
	inRequest(t, Config{}, x, func(c *probeCall) {
		c.gives(t, serialised, "proxy_get_header_map_pairs", 0)
		c.gives(t, "", "proxy_get_header_map_pairs", 1)
		c.gives(t, "", "proxy_get_header_map_pairs", 5)
		c.expect(t, StatusOK, "proxy_get_header_map_size", 0, c.out(0))
		if got := c.out32(0); got != uint32(len(serialised)) {
			t.Errorf("size %d, want %d", got, len(serialised))
		}
		c.expect(t, StatusBadArgument, "proxy_get_header_map_pairs", 8, c.out(0), c.out(1))
		c.expect(t, StatusBadArgument, "proxy_get_header_map_size", 8, c.out(0))
		c.expect(t, StatusBadArgument, "proxy_get_header_map_size", 2, c.out(0))
		c.expect(t, StatusInvalidMemoryAccess, "proxy_get_header_map_pairs", 0, 0xfffffffe, c.out(1))
		c.expect(t, StatusInvalidMemoryAccess, "proxy_get_header_map_size", 0, 0xfffffffe)
		c.expect(t, StatusBadArgument, "proxy_set_header_map_pairs", 8, serialised)
		c.expect(t, StatusInvalidMemoryAccess, "proxy_set_header_map_pairs", 0, 0xfffffff0, 32)
		for _, hostile := range []string{
			"\x01\x00\x00\x00", "\xff\xff\xff\xff" + strings.Repeat("\x00", 64), serialised[:len(serialised)-1], serialised + "x",
			"\x01\x00\x00\x00\xff\xff\xff\xff\x01\x00\x00\x00a\x00b\x00", "\x01\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00aXb\x00",
			"\x01\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00a\x00\r\n\x00", "\x01\x02",
		} {
			c.expect(t, StatusBadArgument, "proxy_set_header_map_pairs", 0, hostile)
		}
		c.expect(t, StatusBadArgument, "proxy_set_header_map_pairs", 0, string(appendPairs(nil, slices.Repeat([]Field{{"a", "b"}}, maxPairs+1))))
		c.gives(t, serialised, "proxy_get_header_map_pairs", 0)
		c.expect(t, StatusOK, "proxy_set_header_map_pairs", 0, "\x01\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00A\x00z\x00")
		c.gives(t, "z", "proxy_get_header_map_value", 0, "a")
		for _, empty := range []string{"\x00", "\x00\x00\x00\x00", ""} {
			c.expect(t, StatusOK, "proxy_set_header_map_pairs", 0, empty)
			c.gives(t, "", "proxy_get_header_map_pairs", 0)
		}
	})
}

// TestHeadersWhen: headers are changed until they go on, and read for ever.
func TestHeadersWhen(t *testing.T) {
	p := loadProbe(t, Config{})
	x := get()
	x.ResponseHeaders = MakeHeaders(":status", "200")
	change := func(m int, want Status) func(*probeCall) {
		return func(c *probeCall) { c.expect(t, want, "proxy_add_header_map_value", m, "x-add", "1") }
	}
	p.do(onRequestHeaders, change(2, StatusBadArgument))
	p.do(onRequestBody, func(c *probeCall) {
		change(0, StatusBadArgument)(c)
		c.gives(t, "GET", "proxy_get_header_map_value", 0, ":method")
		if c.args[2] == 0 {
			change(1, StatusBadArgument)(c) // trailers are added at the end
		} else {
			change(1, StatusOK)(c)
		}
	})
	p.do(onResponseHeaders, change(2, StatusOK))
	p.do(onResponseBody, change(3, StatusOK))
	p.do(onLog, func(c *probeCall) {
		for m, key := range map[int]string{0: ":method", 1: "x-add", 2: ":status", 3: "x-add"} {
			if got := c.with("proxy_get_header_map_value", m, key, c.out(0), c.out(1)); got != StatusOK {
				t.Errorf("map %d cannot be read in the log: %v", m, got)
			}
			change(m, StatusBadArgument)(c)
		}
	})
	s := p.plugin.NewStream(0, x)
	s.RequestHeaders(false)
	s.RequestBody([]byte("a"), false)
	s.RequestBody([]byte("b"), true)
	s.ResponseHeaders(false)
	s.ResponseBody(nil, true)
	s.Close()
	if x.RequestTrailers.Value("x-add") != "1" || x.ResponseTrailers.Value("x-add") != "1" {
		t.Errorf("trailers %v, %v", x.RequestTrailers, x.ResponseTrailers)
	}
}

// TestHeadersBound: a plugin cannot make headers without an end.
func TestHeadersBound(t *testing.T) {
	x := get()
	inRequest(t, Config{}, x, func(c *probeCall) {
		n := 0
		for c.used = 0; n < 3*maxPairs && c.with("proxy_add_header_map_value", 0, "x-more", "value") == StatusOK; c.used = 0 {
			n++
		}
		if n != maxPairs-5 {
			t.Errorf("%d could be added", n)
		}
		c.expect(t, StatusOK, "proxy_set_header_map_pairs", 0, "")
		large := strings.Repeat("v", 400<<10)
		for i, want := range []Status{StatusOK, StatusOK, StatusBadArgument} {
			c.used = 0
			c.expect(t, want, "proxy_add_header_map_value", 0, fmt.Sprint("x-", i), large)
		}
	})
}

// TestUpperHalves: what lies in the upper half of an i32's slot is ignored;
// and address 0 is memory like any.
func TestUpperHalves(t *testing.T) {
	inRequest(t, Config{}, get(), func(c *probeCall) {
		f := &hostFunctions[0]
		key, size := c.put(":method")
		const junk = 0xdead << 32
		p := []uint64{junk, junk | key, junk | size, junk | c.out(0), junk | c.out(1)}
		f.Call(c.ctx, fakeModule{mem: c.vm.in.Memory()}, p)
		if p[0] != 0 || c.given() != "GET" {
			t.Errorf("%s: %d, %q", f.name, p[0], c.given())
		}
	})
}

func TestHeadersOfTheirOwn(t *testing.T) {
	h := MakeHeaders("A", "1", "b", "2", "a", "3")
	if got := fmt.Sprintln(h.Values("A"), h.Len(), h.Value("B"), h.Value("c")); got != "[1 3] 3 2 \n" {
		t.Error(got)
	}
	c := h.Clone()
	h.Set("B", "4")
	h.Set("a", "5")
	h.Set("C", "6")
	h.Add("\xffÄ", "7")
	if got := fmt.Sprintf("%q", h.fields); got != `[{"a" "5"} {"b" "4"} {"c" "6"} {"\xffÄ" "7"}]` {
		t.Error(got)
	}
	if got := fmt.Sprint(c.fields); got != "[{a 1} {b 2} {a 3}]" {
		t.Error(got)
	}
	if h.Changes() != 7 {
		t.Errorf("%d changes", h.Changes())
	}
	h.Reset()
	var none *Headers
	if h.Len() != 0 || none.Len() != 0 || none.Value("a") != "" || none.Clone() != nil {
		t.Error("empty ones")
	}
	// What plugins write does not change under them.
	kept := []string{}
	for i := range 500 {
		kept = append(kept, h.keep([]byte(fmt.Sprintf("value %d", i))))
	}
	for i, s := range kept {
		if s != fmt.Sprintf("value %d", i) {
			t.Fatalf("value %d became %q", i, s)
		}
	}
}

func FuzzPairs(f *testing.F) {
	f.Add([]byte("\x01\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00A\x00z\x00"))
	f.Add([]byte{0})
	f.Add([]byte("\xff\xff\xff\x7f"))
	f.Fuzz(func(t *testing.T, b []byte) {
		fields, ok := parsePairs(b)
		if !ok {
			return
		}
		again, ok := parsePairs(appendPairs(nil, fields))
		if !ok || fmt.Sprint(again) != fmt.Sprint(fields) {
			t.Errorf("%q became %q", fields, again)
		}
		if len(fields) > 0 && (string(appendPairs(nil, fields)) != string(b) || pairsSize(fields) != len(b)) {
			t.Errorf("%q was serialised differently", b)
		}
	})
}
