// Command waf measures the firewall of examples/filters/waf: the same requests
// are judged by Coraza within this process and by the plugin, in turns. Figures
// are processor time.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"time"

	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"
	"github.com/corazawaf/coraza/v3"
	"github.com/tetratelabs/wazero"
	"golang.org/x/sys/unix"

	"github.com/hako-run/hako/engine"
	"github.com/hako-run/hako/examples/filters/waf/rules"
	"github.com/hako-run/hako/proxywasm"
	"github.com/hako-run/hako/wasi"
)

func main() {
	module := flag.String("module", "", "the plugin")
	requests := flag.String("requests", "", "the table of requests")
	cache := flag.String("cache", "", "where compiled code is kept")
	config := flag.String("config", "{}", "the plugin's configuration")
	rounds := flag.Int("rounds", 7, "how often each is measured")
	flag.Parse()
	if err := run(*module, *requests, *cache, *config, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

type request struct {
	Name, Method, Path, Body string
	Headers                  map[string]string
	Status                   int
}

func run(module, requests, cache, config string, rounds int) error {
	var list []request
	text, err := os.ReadFile(requests)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &list); err != nil {
		return err
	}
	runtime.LockOSThread() // clocks of one thread: the plugin's callbacks run in ours

	settings, err := rules.Parse([]byte(config))
	if err != nil {
		return err
	}
	settings.HoldHeaders = true
	whole, err := json.Marshal(settings)
	if err != nil {
		return err
	}
	var native coraza.WAF
	report("rules parsed natively", func() error {
		native, err = coraza.NewWAF(coraza.NewWAFConfig().WithRootFS(coreruleset.FS).WithDirectives(settings.Directives()))
		return err
	})
	plugin, err := load(module, cache, whole)
	if err != nil {
		return err
	}
	fmt.Printf("%-28s %12s %12s %8s\n", "", "native", "plugin", "ratio")
	var all []float64
	for _, r := range list {
		var a, b []time.Duration
		for range rounds {
			n, err := cost(func() (int, error) { return judge(native, r) }, r)
			if err != nil {
				return err
			}
			p, err := cost(func() (int, error) { return ask(plugin, r) }, r)
			if err != nil {
				return err
			}
			a, b = append(a, n), append(b, p)
		}
		slices.Sort(a)
		slices.Sort(b)
		n, p := a[rounds/2], b[rounds/2]
		ratio := float64(p) / float64(n)
		all = append(all, ratio)
		fmt.Printf("%-28s %12v %12v %7.1fx\n", r.Name, n.Round(time.Microsecond), p.Round(time.Microsecond), ratio)
	}
	slices.Sort(all)
	fmt.Printf("median ratio %.1f, from %.1f to %.1f\n", all[len(all)/2], all[0], all[len(all)-1])
	stats := plugin.Stats()
	fmt.Printf("%d VMs, %d MiB of memory in all\n", stats.VMs, stats.Memory>>20)
	return nil
}

// load compiles and configures the plugin, twice if there is a cache: what
// the second time takes is what a restart takes.
func load(module, cache string, config []byte) (p *proxywasm.Plugin, err error) {
	source, err := os.ReadFile(module)
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	for _, name := range []string{"plugin compiled", "plugin compiled, from cache"} {
		e, err := engine.New(engine.Options{
			CacheDir: cache,
			Hosts:    []func(context.Context, wazero.Runtime) error{wasi.Instantiate, proxywasm.Instantiate},
			Imports:  proxywasm.WithImports,
		})
		if err != nil {
			return nil, err
		}
		var m *engine.Module
		if err := report(name, func() (err error) { m, err = e.Compile(ctx, "waf.wasm", source); return err }); err != nil {
			return nil, err
		}
		if p != nil {
			p.Close()
			<-p.Done()
		}
		err = report("plugin configured", func() (err error) {
			p, err = proxywasm.Load(ctx, proxywasm.Config{
				Module: m, Name: "waf", VMs: 1, HeadersMayStop: true,
				Roots:  []proxywasm.Root{{Config: config}},
				Limits: proxywasm.Limits{Memory: 256 << 20, CPU: time.Minute, Start: 5 * time.Minute},
			})
			return err
		})
		if err != nil {
			return nil, err
		}
		if cache == "" {
			break
		}
	}
	return p, nil
}

func report(what string, f func() error) error {
	wall, cpu := time.Now(), used(unix.RUSAGE_SELF)
	err := f()
	fmt.Printf("%-28s %12v of processor time, %v\n", what, (used(unix.RUSAGE_SELF) - cpu).Round(time.Millisecond),
		time.Since(wall).Round(time.Millisecond))
	return err
}

func used(who int) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(who, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// cost is the processor time of one judgement, of enough to measure.
func cost(f func() (int, error), r request) (time.Duration, error) {
	const many = 5
	begun := used(unix.RUSAGE_THREAD)
	for range many {
		status, err := f()
		if err != nil {
			return 0, fmt.Errorf("%s: %w", r.Name, err)
		}
		if status != r.Status {
			return 0, fmt.Errorf("%s: status %d, want %d", r.Name, status, r.Status)
		}
	}
	return (used(unix.RUSAGE_THREAD) - begun) / many, nil
}

// each calls add for the headers of a request.
func each(r request, add func(name, value string)) {
	add("accept", "*/*")
	if r.Headers["user-agent"] == "" {
		add("user-agent", "Mozilla/5.0")
	}
	for name, value := range r.Headers {
		add(name, value)
	}
}

// judge does what the plugin does, here.
func judge(waf coraza.WAF, r request) (int, error) {
	tx := waf.NewTransaction()
	defer tx.Close()
	defer tx.ProcessLogging()
	tx.ProcessConnection("192.0.2.7", 4711, "127.0.0.1", 80)
	tx.ProcessURI(r.Path, method(r), "HTTP/1.1")
	each(r, tx.AddRequestHeader)
	tx.AddRequestHeader("Host", "shop.test")
	tx.SetServerName("shop.test")
	if it := tx.ProcessRequestHeaders(); it != nil {
		return it.Status, nil
	}
	if r.Body != "" {
		if it, _, err := tx.WriteRequestBody([]byte(r.Body)); err != nil {
			return 0, err
		} else if it != nil {
			return it.Status, nil
		}
	}
	it, err := tx.ProcessRequestBody()
	if err != nil || it == nil {
		return 0, err
	}
	return it.Status, nil
}

func method(r request) string {
	if r.Method == "" {
		return "GET"
	}
	return r.Method
}

// ask has the plugin judge.
func ask(p *proxywasm.Plugin, r request) (int, error) {
	x := &proxywasm.Exchange{
		RequestHeaders: proxywasm.MakeHeaders(":method", method(r), ":path", r.Path, ":scheme", "http", ":authority", "shop.test"),
		Attributes: proxywasm.Info{Protocol: "HTTP/1.1", Source: netip.MustParseAddrPort("192.0.2.7:4711"),
			Destination: netip.MustParseAddrPort("127.0.0.1:80")},
	}
	each(r, x.RequestHeaders.Add)
	s := p.NewStream(0, x)
	defer s.Close()
	s.RequestHeaders(r.Body == "")
	if r.Body != "" && x.Local() == nil {
		s.RequestBody([]byte(r.Body), true)
	}
	if l := x.Local(); l != nil {
		return l.Status, nil
	}
	if s.Paused(proxywasm.Request) {
		return 0, errors.New("the plugin holds the request")
	}
	return 0, nil
}
