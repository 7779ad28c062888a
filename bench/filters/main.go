// Command filters measures what a Proxy-Wasm plugin costs for a request: ten
// look-ups of headers and one replacement, in C and in Go, against the same in
// Go outside of Wasm. Contenders take turns, several rounds over; printed are
// medians of processor time, and of their ratios to the native one.
//
// It is run by scripts/bench-filters.sh, which builds the plugins.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"golang.org/x/sys/unix"

	"github.com/hako-run/hako/engine"
	"github.com/hako-run/hako/engine/wasm"
	"github.com/hako-run/hako/proxywasm"
	"github.com/hako-run/hako/proxywasm/filter"
	"github.com/hako-run/hako/wasi"
)

var (
	rounds = flag.Int("rounds", 9, "rounds to take medians of")
	times  = flag.Int("times", 20000, "requests of a round")
	inC    = flag.String("c", "", "the plugin in C")
	inGo   = flag.String("go", "", "plugins in Go, one with the root id lookups")
	scan   = flag.String("scan", "", "a plugin in C that looks for a word in bodies")
)

// A contender does its work so many times.
type contender struct {
	name string
	work func(times int) error
}

func main() {
	flag.Parse()
	runtime.LockOSThread()
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run() error {
	e, err := engine.New(engine.Options{
		Hosts:   []func(context.Context, wazero.Runtime) error{wasi.Instantiate, proxywasm.Instantiate},
		Imports: proxywasm.WithImports,
	})
	if err != nil {
		return err
	}
	c, err := load(e, *inC, "")
	if err != nil {
		return err
	}
	g, err := load(e, *inGo, "lookups")
	if err != nil {
		return err
	}
	callbacks := []contender{{"native", native}, {"C plugin", callback(c)}, {"Go plugin", callback(g)}}
	if err := compare("the callback alone", *times, callbacks); err != nil {
		return err
	}
	var chains []contender
	chains = append(chains, contender{"native middleware", serve(middleware(http.HandlerFunc(answer)))})
	chains = append(chains, contender{"no filter", serve(http.HandlerFunc(answer))})
	for _, p := range []struct {
		name   string
		plugin *proxywasm.Plugin
		n      int
	}{{"1 filter in C", c, 1}, {"5 filters in C", c, 5}, {"1 filter in Go", g, 1}} {
		var list []filter.Filter
		for range p.n {
			list = append(list, filter.Filter{Plugin: p.plugin, Name: p.name})
		}
		chains = append(chains, contender{p.name, serve(filter.New(list, filter.Options{}).Handler(http.HandlerFunc(answer)))})
	}
	if err := compare("a request and its response", *times/4, chains); err != nil {
		return err
	}
	for _, d := range []struct{ name, path string }{{"look-ups", *inC}, {"64 KiB of a body", *scan}} {
		plain, err := bare(d.path, false)
		if err != nil {
			return err
		}
		checked, err := bare(d.path, true)
		if err != nil {
			return err
		}
		if err := compare("checks for the deadline, "+d.name, *times/40, []contender{{"without", plain}, {"with", checked}}); err != nil {
			return err
		}
	}
	return nil
}

// compare prints what contenders cost, and how many times the first.
func compare(what string, times int, list []contender) error {
	costs := make([][]float64, len(list))
	ratios := make([][]float64, len(list))
	allocs := make([]float64, len(list))
	for _, c := range list { // for what is made once
		if err := c.work(times/10 + 1); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	for range *rounds {
		for i, c := range list {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := used()
			if err := c.work(times); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			cost := float64(used()-began) / float64(times) / 1000
			runtime.ReadMemStats(&after)
			allocs[i] = float64(after.Mallocs-before.Mallocs) / float64(times)
			costs[i] = append(costs[i], cost)
			ratios[i] = append(ratios[i], cost/costs[0][len(costs[0])-1])
		}
	}
	fmt.Printf("%-44s %10s %8s %8s\n", what, "CPU us", "x", "allocs")
	for i, c := range list {
		slices.Sort(costs[i])
		slices.Sort(ratios[i])
		fmt.Printf("  %-42s %10.2f %8.2f %8.1f\n", c.name, costs[i][len(costs[i])/2], ratios[i][len(ratios[i])/2], allocs[i])
	}
	return nil
}

// used is the processor time of the process, collecting garbage included.
func used() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t); err != nil {
		panic(err)
	}
	return time.Duration(t.Nano())
}

func load(e *engine.Engine, path, root string) (*proxywasm.Plugin, error) {
	source, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	m, err := e.Compile(context.Background(), path, source)
	if err != nil {
		return nil, err
	}
	return proxywasm.Load(context.Background(), proxywasm.Config{
		Module: m, Name: "lookups", VMs: 1, Roots: []proxywasm.Root{{RootID: root}},
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
}

var headers = []string{
	"user-agent", "Mozilla/5.0 (X11; Linux x86_64)", "accept", "text/html", "accept-encoding", "gzip, br", "accept-language", "en",
	"cookie", "session=0123456789abcdef", "x-forwarded-for", "10.0.0.1", "x-request-id", "4711", "x-seen", "none",
}

var names = []string{":method", ":path", ":authority", "user-agent", "accept", "accept-encoding", "cookie", "x-request-id", "x-forwarded-for", "x-absent"}

func callback(p *proxywasm.Plugin) func(int) error {
	h := proxywasm.MakeHeaders(append([]string{":method", "GET", ":path", "/shop/item?id=4711", ":authority", "example.com", ":scheme", "https"}, headers...)...)
	s := p.NewStream(0, &proxywasm.Exchange{RequestHeaders: h})
	return func(times int) error {
		for range times {
			if a := s.RequestHeaders(true); a != proxywasm.Continue {
				return fmt.Errorf("the plugin says %v", a)
			}
		}
		if h.Value("x-seen") != "much" {
			return fmt.Errorf("the plugin did nothing")
		}
		return nil
	}
}

// look is what the plugins do.
func look(h http.Header) {
	total := 0
	for _, name := range names {
		total += len(h.Get(name))
	}
	seen := "little"
	if total > 100 {
		seen = "much"
	}
	h.Set("x-seen", seen)
}

func native(times int) error {
	h := http.Header{}
	for i := 0; i < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	for range times {
		look(h)
	}
	return nil
}

func middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		look(r.Header)
		next.ServeHTTP(w, r)
	})
}

var page = make([]byte, 1024)

func answer(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h["Content-Type"], h["Content-Length"], h["Etag"] = []string{"text/html"}, []string{"1024"}, []string{`"4711"`}
	_, _ = w.Write(page)
}

// nowhere takes responses.
type nowhere struct {
	header http.Header
	n      int
}

func (w *nowhere) Header() http.Header { return w.header }
func (w *nowhere) WriteHeader(int)     {}
func (w *nowhere) Write(p []byte) (int, error) {
	w.n += len(p)
	return len(p), nil
}

func serve(h http.Handler) func(int) error {
	r := httptest.NewRequest("GET", "http://example.com/shop/item?id=4711", nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return func(times int) error {
		w := &nowhere{header: http.Header{}}
		for range times {
			clear(w.header)
			h.ServeHTTP(w, r)
		}
		if w.n != times*len(page) {
			return fmt.Errorf("%d bytes were answered", w.n)
		}
		return nil
	}
}

// bare runs a plugin's callback in wazero alone, with host functions that do
// as little as can be: what checks cost is the more visible. Of a body plugin
// it is that of the body.
func bare(path string, checks bool) (func(int) error, error) {
	source, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if checks {
		m, err := wasm.Decode(source)
		if err != nil {
			return nil, err
		}
		if _, err := m.Interrupt(wasm.InterruptOptions{}); err != nil {
			return nil, err
		}
		source = m.Encode()
	}
	ctx := context.Background()
	r := wazero.NewRuntime(ctx)
	code, err := r.CompileModule(ctx, source)
	if err != nil {
		return nil, err
	}
	hosts := map[string]wazero.HostModuleBuilder{}
	text := make([]byte, 64<<10)
	var allocate api.Function
	var room [1]uint64
	for _, f := range code.ImportedFunctions() {
		module, name, _ := f.Import()
		if hosts[module] == nil {
			hosts[module] = r.NewHostModuleBuilder(module)
		}
		give := func(m api.Module, data []byte, p []uint64) {
			if allocate == nil {
				allocate = m.ExportedFunction("proxy_on_memory_allocate")
			}
			room[0] = uint64(len(data))
			if err := allocate.CallWithStack(ctx, room[:]); err != nil {
				panic(err)
			}
			m.Memory().Write(uint32(room[0]), data)
			m.Memory().WriteUint32Le(uint32(p[0]), uint32(room[0]))
			m.Memory().WriteUint32Le(uint32(p[1]), uint32(len(data)))
		}
		hosts[module].NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(_ context.Context, m api.Module, p []uint64) {
			switch name {
			case "proxy_get_header_map_value":
				give(m, text[:16], p[3:5])
			case "proxy_get_buffer_bytes":
				give(m, text, p[3:5])
			case "check":
				p[0] = 1 << 19
				return
			}
			if len(f.ResultTypes()) > 0 {
				p[0] = 0
			}
		}), f.ParamTypes(), f.ResultTypes()).Export(name)
	}
	for _, h := range hosts {
		if _, err := h.Instantiate(ctx); err != nil {
			return nil, err
		}
	}
	in, err := r.InstantiateModule(ctx, code, wazero.NewModuleConfig().WithStartFunctions("_initialize"))
	if err != nil {
		return nil, err
	}
	name, args := "proxy_on_request_headers", []uint64{2, 12, 1}
	if in.ExportedFunction("proxy_on_request_body") != nil {
		name, args = "proxy_on_request_body", []uint64{2, uint64(len(text)), 1}
	}
	f := in.ExportedFunction(name)
	stack := make([]uint64, len(args))
	return func(times int) error {
		for range times {
			copy(stack, args)
			if err := f.CallWithStack(ctx, stack); err != nil {
				return err
			}
		}
		return nil
	}, nil
}
