// Command serve measures Hako as a server against others: Go's net/http,
// nginx and Caddy. Every case is measured for each of its contenders in turn,
// several rounds over; printed are medians, and what counts, ratios.
//
// Servers have one processor and one thread for it, wrk and the upstream
// another. Processor time is that of the server's processes, from /proc: it
// says more than requests per second where others use the machine too.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

var (
	rounds = flag.Int("rounds", 5, "rounds to take medians of")
	length = flag.Duration("time", 2*time.Second, "time of each measurement; whole seconds")
	only   = flag.String("only", "", "measure the cases whose names contain this")
	quick  = flag.Bool("quick", false, "one round of a second, and not of everything, to see that it runs")
	hako   = flag.String("hako", "bin/hako", "the command")
	built  = flag.String("built", "", "folder of the built guests and servers")
	debian = flag.String("debian", "", "folder with Debian's nginx, Caddy and wrk")
	open   = flag.Int("connections", 16, "connections of a client")
)

// A contender is a server in one case.
type contender struct {
	name   string
	server *server
	url    string
}

// A case is work that several servers can do.
type benchmark struct {
	name       string
	contenders []contender // Hako first
	goals      []float64   // how many times as good Hako is to be, against each of the others; 0: none
	measure    func(c contender) (sample, error)
}

// A sample is one measurement.
type sample struct {
	requests int
	elapsed  time.Duration
	cpu      time.Duration
}

func (s sample) rate() float64 { return float64(s.requests) / s.elapsed.Seconds() }

// cost is the processor time of a request, in microseconds.
func (s sample) cost() float64 { return float64(s.cpu.Microseconds()) / float64(s.requests) }

func main() {
	flag.Parse()
	if *quick {
		*rounds, *length = 1, time.Second
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	dir, err := os.MkdirTemp("", "hako-bench-serve-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	w := &world{dir: dir}
	defer w.close()
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt)
	go func() {
		<-interrupted
		w.close()
		os.RemoveAll(dir)
		os.Exit(130)
	}()
	if err := w.start(); err != nil {
		return err
	}
	all := slices.DeleteFunc(w.benchmarks(), func(b benchmark) bool {
		return !strings.Contains(b.name, *only) || *quick && strings.Contains(b.name, "100 KB")
	})
	samples := make([][][]sample, len(all))
	for round := range *rounds {
		for i, b := range all {
			if samples[i] == nil {
				samples[i] = make([][]sample, len(b.contenders))
			}
			for j, c := range b.contenders {
				if round == 0 && !*quick { // for what is made once
					if _, err := b.measure(c); err != nil {
						return fmt.Errorf("%s, %s: %w", b.name, c.name, err)
					}
				}
				s, err := b.measure(c)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", b.name, c.name, err)
				}
				samples[i][j] = append(samples[i][j], s)
			}
		}
	}
	fmt.Printf("%-18s %-18s %10s %12s %12s %12s %6s\n", "", "", "per second", "CPU us each", "x per second", "x CPU", "goal")
	for i, b := range all {
		first := samples[i][0]
		for j, c := range b.contenders {
			rates, costs := ratios(first, samples[i][j])
			fmt.Printf("%-18s %-18s %10.0f %12.1f", b.name, c.name, median(samples[i][j], sample.rate), median(samples[i][j], sample.cost))
			if j > 0 {
				goal := ""
				if b.goals[j-1] > 0 {
					goal = fmt.Sprint(b.goals[j-1])
				}
				fmt.Printf(" %12.2f %12.2f %6s", rates, costs, goal)
			}
			fmt.Println()
		}
	}
	return nil
}

// ratios returns how many times as many requests per second, and per second of
// processor time, Hako answered: medians of the rounds' ratios.
func ratios(hako, other []sample) (rate, cost float64) {
	var rates, costs []float64
	for i := range hako {
		rates = append(rates, hako[i].rate()/other[i].rate())
		costs = append(costs, other[i].cost()/hako[i].cost())
	}
	return middle(rates), middle(costs)
}

func median(s []sample, of func(sample) float64) float64 {
	var list []float64
	for _, one := range s {
		list = append(list, of(one))
	}
	return middle(list)
}

func middle(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}

func (w *world) benchmarks() []benchmark {
	case2 := func(name, path string, goals ...float64) benchmark {
		return benchmark{name, []contender{
			{"hako", w.hako, w.hako.url + path}, {"caddy", w.caddy, w.caddy.url + path}, {"nginx", w.nginx, w.nginx.url + path},
		}, append(goals, 0, 0)[:2], w.wrk}
	}
	return []benchmark{
		{"hello", []contender{
			{"worker, forked", w.hako, w.hako.url + "/hello"}, {"native net/http", w.hello, w.hello.url + "/"}, {"cgi", w.hako, w.hako.url + "/cgi"},
			{"worker, session", w.hako, w.hako.url + "/session"}, {"in C, forked", w.hako, w.hako.url + "/c"},
		}, []float64{0.5, 5, 0, 0}, w.wrk},
		{"page, 3 queries", []contender{
			{"worker, forked", w.hako, w.hako.url + "/page"}, {"native net/http", w.page, w.page.url + "/"},
			{"worker, session", w.hako, w.hako.url + "/page-session"},
		}, []float64{0, 0}, w.wrk},
		case2("proxy 1 KB", "/proxy/1k.bin", 1.2),
		case2("proxy 100 KB", "/proxy/100k.bin", 1.2),
		{"filters, proxy 1 KB", []contender{
			{"1 filter", w.hako, w.hako.url + "/filter1/1k.bin"}, {"none", w.hako, w.hako.url + "/proxy/1k.bin"},
			{"5 filters", w.hako, w.hako.url + "/filter5/1k.bin"},
			{"caddy, none", w.caddy, w.caddy.url + "/proxy/1k.bin"}, {"nginx, none", w.nginx, w.nginx.url + "/proxy/1k.bin"},
		}, []float64{0, 0, 0, 0}, w.wrk},
		case2("file 1 KB", "/1k.bin", 1.2),
		case2("file 100 KB", "/100k.bin", 1.2),
		{"TLS handshake", []contender{
			{"hako", w.hako, w.hako.tls}, {"caddy", w.caddy, w.caddy.tls}, {"nginx", w.nginx, w.nginx.tls},
		}, []float64{0, 0}, handshakes},
	}
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }
