package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	hakoapp "github.com/hako-run/hako/app"
	"github.com/spf13/cobra"
)

func (a *app) statsCommand() *cobra.Command {
	var follow, once bool
	var interval time.Duration
	cmd := &cobra.Command{
		Use:   "stats [NAME]...",
		Short: "Show what running servers and guests do at the moment",
		Long: `Show for each server what its apps, routes and databases do: requests and commits
a second, how long requests take, what runs and waits, processor time and memory;
for what hako run runs, processor time and memory. Each figure is of the last
interval. On a terminal the table is shown again and again; anywhere else once,
unless --follow is given. Without names, of everything that runs.

P50 and P99 are estimated from the buckets of the metrics. CPU is in percent of
one processor. MEMORY of a guest is its linear memory: instances that were forked
share what they have not changed, so that the server's own can be less.`,
		Args: arguments(0, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if follow && once {
				return usageErrorf("--follow and --no-stream are opposites")
			}
			if interval < 100*time.Millisecond {
				return usageErrorf("--interval %s: it is at least 100ms", interval)
			}
			follow = follow || !once && !a.json && isTerminal(a.Out)
			return a.stats(cmd.Context(), args, follow, interval)
		},
		ValidArgsFunction: a.completeProcess,
	}
	flags := cmd.Flags()
	flags.BoolVarP(&follow, "follow", "f", false, "go on until interrupted; with --json an object each time")
	flags.BoolVar(&once, "no-stream", false, "show the figures of one interval, and end")
	flags.DurationVar(&interval, "interval", time.Second, "how long to measure for")
	a.jsonFlag(cmd)
	return cmd
}

// A sample is what a process told of itself.
type sample struct {
	info  hakoapp.Info
	stats hakoapp.Stats
}

// sampled asks the processes of these names, or all there are. One that ends
// meanwhile is left out.
func (a *app) sampled(ctx context.Context, names []string) ([]sample, error) {
	var list []sample
	var errs []error
	for _, registry := range a.registries() {
		infos, err := registry.List()
		if err != nil {
			return nil, err
		}
		for _, info := range infos {
			if len(names) > 0 && !slices.ContainsFunc(names, func(n string) bool { return n == info.Name || strings.HasPrefix(info.ID, n) }) {
				continue
			}
			stats, err := registry.Stats(ctx, info.Name)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			list = append(list, sample{info, stats})
		}
	}
	if len(list) == 0 {
		if len(errs) > 0 {
			return nil, errors.Join(errs...)
		}
		if len(names) > 0 {
			return nil, fmt.Errorf("%s: %w: hako ps lists those that are", strings.Join(names, ", "), hakoapp.ErrNotRunning)
		}
	}
	return list, nil
}

func (a *app) stats(ctx context.Context, names []string, follow bool, interval time.Duration) error {
	before, err := a.sampled(ctx, names)
	if err != nil {
		return err
	}
	screen := isTerminal(a.Out) && !a.json && follow
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if len(before) > 0 || follow { // else there is nothing to wait for
			select {
			case <-tick.C:
			case <-ctx.Done():
				return nil
			}
		}
		now, err := a.sampled(ctx, names)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		rates := []processRates{} // and not null
		for _, s := range now {
			if i := slices.IndexFunc(before, func(b sample) bool { return b.info.ID == s.info.ID }); i >= 0 {
				rates = append(rates, ratesOf(before[i], s))
			}
		}
		before = now
		if a.json {
			if err := a.printJSON(rates); err != nil {
				return err
			}
		} else {
			var b bytes.Buffer
			if err := printRates(&b, rates); err != nil {
				return err
			}
			text := b.String()
			if screen {
				// From the top, each line cleared as it is written, then what
				// is left below: a screen that is cleared first flickers.
				text = "\x1b[H" + strings.ReplaceAll(text, "\n", "\x1b[K\n") + "\x1b[J"
			}
			if _, err := io.WriteString(a.Out, text); err != nil {
				return err
			}
		}
		if !follow {
			return nil
		}
	}
}

// processRates are what a process did in an interval, for a second.
type processRates struct {
	ID          string          `json:"id"`
	Name        string          `json:"name"`
	Time        time.Time       `json:"time"`
	Seconds     float64         `json:"seconds"` // the interval
	CPU         float64         `json:"cpu"`     // percent of one processor
	Memory      int64           `json:"memory"`
	Connections int             `json:"connections,omitempty"`
	InFlight    int             `json:"in_flight,omitempty"`
	Apps        []appRates      `json:"apps,omitempty"`
	Routes      []routeRates    `json:"routes,omitempty"`
	Databases   []databaseRates `json:"databases,omitempty"`

	server bool
}

type routeRates struct {
	Name     string  `json:"name"`
	App      string  `json:"app,omitempty"`
	Requests float64 `json:"requests"` // a second
	P50      float64 `json:"p50_ms"`
	P99      float64 `json:"p99_ms"`
	InFlight int     `json:"in_flight"`
	Errors   float64 `json:"errors"`  // 5xx a second
	Aborted  float64 `json:"aborted"` // a second
	Total    uint64  `json:"requests_total"`
	Failed   uint64  `json:"errors_total"`
}

type appRates struct {
	Name      string            `json:"name"`
	Requests  float64           `json:"requests"`
	P50       float64           `json:"p50_ms"`
	P99       float64           `json:"p99_ms"`
	Running   int               `json:"running"`
	Waiting   int               `json:"waiting"`
	Instances int               `json:"instances"`
	Forks     float64           `json:"forks"`
	CPU       float64           `json:"cpu"`
	Memory    int64             `json:"memory"`
	Shed      uint64            `json:"shed"` // in the interval, as are those that follow
	Crashes   uint64            `json:"crashes"`
	Limits    map[string]uint64 `json:"limits,omitempty"`
	Errors    float64           `json:"errors"` // 5xx a second
}

type databaseRates struct {
	Name    string  `json:"name"`
	Version uint64  `json:"version"`
	Commits float64 `json:"commits"`
}

// ratesOf tells what happened between two samples.
func ratesOf(before, now sample) processRates {
	b, n := before.stats, now.stats
	seconds := max(n.Time.Sub(b.Time).Seconds(), 1e-3)
	rate := func(now, before uint64) float64 { return float64(now-min(now, before)) / seconds }
	cpu := func(now, before time.Duration) float64 { return max(0, 100*(now-before).Seconds()/seconds) }
	ms := func(h hakoapp.Histogram, q float64) float64 {
		return float64(h.Quantile(q).Microseconds()) / 1000
	}
	r := processRates{
		ID: now.info.ID, Name: now.info.Name, Time: n.Time, Seconds: seconds, CPU: cpu(n.CPU, b.CPU), Memory: n.Memory,
		Connections: n.Connections, InFlight: n.InFlight, server: now.info.Commands,
	}
	type key struct{ route, app string }
	routes := map[key]hakoapp.RouteStats{}
	for _, old := range b.Routes {
		routes[key{old.Name, old.App}] = old
	}
	apps := map[string]*appRates{}
	latencies := map[string]hakoapp.Histogram{}
	for _, a := range n.Apps {
		r.Apps = append(r.Apps, appRates{Name: a.Name, Running: a.Running, Waiting: a.Waiting, Instances: a.Instances, Memory: a.Memory})
	}
	for i := range r.Apps {
		apps[r.Apps[i].Name] = &r.Apps[i]
	}
	for _, route := range n.Routes {
		old := routes[key{route.Name, route.App}]
		latency := route.Latency.Since(old.Latency)
		r.Routes = append(r.Routes, routeRates{
			Name: route.Name, App: route.App, Requests: rate(route.Requests, old.Requests), P50: ms(latency, .5), P99: ms(latency, .99),
			InFlight: route.InFlight, Errors: rate(route.Errors, old.Errors), Aborted: rate(route.Aborted, old.Aborted),
			Total: route.Requests, Failed: route.Errors,
		})
		a := apps[route.App]
		if a == nil {
			continue
		}
		latencies[a.Name] = latencies[a.Name].Plus(latency)
		a.Requests += rate(route.Requests, old.Requests)
		a.Errors += rate(route.Errors, old.Errors)
		a.Forks += rate(route.Forks, old.Forks)
		a.CPU += cpu(route.CPU, old.CPU)
		a.Shed += route.Shed - min(route.Shed, old.Shed)
		a.Crashes += route.Crashes - min(route.Crashes, old.Crashes)
		for limit, count := range route.Limits {
			if count -= min(count, old.Limits[limit]); count > 0 {
				if a.Limits == nil {
					a.Limits = map[string]uint64{}
				}
				a.Limits[limit] += count
			}
		}
	}
	for name, h := range latencies {
		apps[name].P50, apps[name].P99 = ms(h, .5), ms(h, .99)
	}
	for _, d := range n.Databases {
		old := d.Version
		if i := slices.IndexFunc(b.Databases, func(o hakoapp.DatabaseStats) bool { return o.Name == d.Name }); i >= 0 {
			old = b.Databases[i].Version
		}
		r.Databases = append(r.Databases, databaseRates{d.Name, d.Version, rate(d.Version, old)})
	}
	return r
}

// printRates writes tables for people.
func printRates(w io.Writer, rates []processRates) error {
	var guests []processRates
	printed := false
	section := func() {
		if printed {
			fmt.Fprintln(w)
		}
		printed = true
	}
	for _, r := range rates {
		if !r.server {
			guests = append(guests, r)
			continue
		}
		section()
		fmt.Fprintf(w, "%s  cpu %s  memory %s  connections %d  requests under way %d\n", visible(r.Name), percentText(r.CPU), sizeText(r.Memory), r.Connections, r.InFlight)
		if len(r.Apps) > 0 {
			t := newTable(w, []int{1, 2, 3, 4, 5, 6, 7, 8, 9}, "APP", "REQ/S", "P50", "P99", "RUN", "WAIT", "FORKS/S", "CPU", "MEMORY", "5XX/S", "LIMITS HIT")
			for _, a := range r.Apps {
				t.row(a.Name, rateText(a.Requests), msText(a.P50), msText(a.P99), fmt.Sprint(a.Running), fmt.Sprint(a.Waiting),
					rateText(a.Forks), percentText(a.CPU), sizeText(a.Memory), rateText(a.Errors), limitsText(a))
			}
			if err := t.flush(); err != nil {
				return err
			}
		}
		if len(r.Routes) > 0 {
			t := newTable(w, []int{1, 2, 3, 4, 5, 6}, "ROUTE", "REQ/S", "P50", "P99", "RUN", "5XX/S", "CUT/S")
			for _, route := range r.Routes {
				t.row(route.Name, rateText(route.Requests), msText(route.P50), msText(route.P99), fmt.Sprint(route.InFlight), rateText(route.Errors), rateText(route.Aborted))
			}
			if err := t.flush(); err != nil {
				return err
			}
		}
		if len(r.Databases) > 0 {
			t := newTable(w, []int{1, 2}, "DATABASE", "VERSION", "COMMITS/S")
			for _, d := range r.Databases {
				t.row(d.Name, fmt.Sprint(d.Version), rateText(d.Commits))
			}
			if err := t.flush(); err != nil {
				return err
			}
		}
	}
	if len(guests) > 0 || len(rates) == 0 {
		section()
		t := newTable(w, []int{2, 3}, "ID", "NAME", "CPU", "MEMORY")
		for _, g := range guests {
			t.row(g.ID, g.Name, percentText(g.CPU), sizeText(g.Memory))
		}
		return t.flush()
	}
	return nil
}

// limitsText tells which limits were hit, and how often.
func limitsText(a appRates) string {
	var parts []string
	for _, limit := range slices.Sorted(maps.Keys(a.Limits)) {
		parts = append(parts, fmt.Sprintf("%s %d", limit, a.Limits[limit]))
	}
	if a.Shed > 0 {
		parts = append(parts, fmt.Sprintf("queue %d", a.Shed))
	}
	if a.Crashes > 0 {
		parts = append(parts, fmt.Sprintf("crashed %d", a.Crashes))
	}
	return strings.Join(parts, ", ")
}

func rateText(r float64) string {
	switch {
	case r == 0:
		return "0"
	case r < 10:
		return fmt.Sprintf("%.1f", r)
	}
	return fmt.Sprintf("%.0f", r)
}

func percentText(p float64) string {
	if p > 0 && p < 10 {
		return fmt.Sprintf("%.1f%%", p)
	}
	return fmt.Sprintf("%.0f%%", p)
}

func msText(ms float64) string {
	switch {
	case ms == 0:
		return "-"
	case ms < 10:
		return fmt.Sprintf("%.1fms", ms)
	case ms < 1000:
		return fmt.Sprintf("%.0fms", ms)
	}
	return fmt.Sprintf("%.1fs", ms/1000)
}
