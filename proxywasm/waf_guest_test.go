package proxywasm_test

import (
	"encoding/json"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/hako-run/hako/internal/guestbuild"
	pw "github.com/hako-run/hako/proxywasm"
)

var wafGuest = once(func(t testing.TB) string {
	return guestbuild.Go(t, "../examples/filters/waf", "-buildmode=c-shared", "-tags", "no_fs_access", "-ldflags", "-s -w")
})

// wafLimits are what the firewall needs beyond the defaults.
var wafLimits = pw.Limits{Memory: 256 << 20, CPU: 30 * time.Second, Start: 5 * time.Minute}

type wafRequest struct {
	Name, Method, Path, Body string
	Headers                  map[string]string
	Status                   int // that it is refused with, 0 if it passes
}

func (r *wafRequest) message() message {
	m := get(r.Path, "accept", "*/*")
	if r.Method != "" {
		m.headers.Set(":method", r.Method)
	}
	if r.Headers["user-agent"] == "" {
		m.headers.Set("user-agent", "Mozilla/5.0")
	}
	for name, value := range r.Headers {
		m.headers.Set(name, value)
	}
	for i := 0; i < len(r.Body); i += 50 {
		m.body = append(m.body, r.Body[i:min(i+50, len(r.Body))])
	}
	return m
}

func wafRequests(t testing.TB) (list []wafRequest) {
	text, err := os.ReadFile("../examples/filters/waf/testdata/requests.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// The firewall is a plugin of real size: 30 MB of Wasm, and 700 rules parsed as
// it is configured. It comes to the verdicts of Coraza outside of Wasm, which
// its own tests hold to the same table.
func TestWAF(t *testing.T) {
	if testing.Short() {
		t.Skip("compiling the firewall takes long")
	}
	begun := time.Now()
	module := guestModule(t, wafGuest(t))
	t.Logf("compiled in %v", time.Since(begun).Round(time.Millisecond))
	_ = module

	begun = time.Now()
	metrics := pw.NewRegistry()
	p, log := load(t, wafGuest(t), pw.Config{
		Name: "waf", Limits: wafLimits, Metrics: metrics, VMs: 2, HeadersMayStop: true,
		Roots: []pw.Root{
			{Config: []byte(`{"hold_headers": true}`)},
			{Name: "lenient", Config: []byte(`{"detect_only": true}`)},
		},
	})
	t.Logf("two configurations read in %v", time.Since(begun).Round(time.Millisecond))
	if forked, why := p.Forked(); !forked {
		t.Errorf("VMs are not forked: %v", why)
	}
	requests := wafRequests(t)
	blocked := 0
	for _, r := range requests {
		got := exchange(t, p, 0, r.message(), answer("200", "fine"))
		if r.Status == 0 {
			if got.upstream == nil || got.upstream.text() != r.Body || got.client.text() != "fine" {
				t.Errorf("%s: refused, or changed: status %s", r.Name, got.client.headers.Value(":status"))
			}
			continue
		}
		blocked++
		if got.upstream != nil {
			t.Errorf("%s: passed", r.Name)
		}
		expect(t, got.client.headers, ":status", strconv.Itoa(r.Status))
	}
	if len(log.matching("rule 942100:")) == 0 {
		t.Error("the log does not name the rule that found SQL")
	}
	for _, r := range requests {
		if got := exchange(t, p, 1, r.message(), answer("200")); got.upstream == nil {
			t.Errorf("%s: refused where hostile requests are only to be logged", r.Name)
		}
	}
	counted := map[string]uint64{}
	for _, m := range metrics.All() {
		counted[m.Name] = m.Value()
	}
	if counted["waf_requests"] != uint64(2*len(requests)) || counted["waf_blocked"] != uint64(blocked) {
		t.Errorf("metrics are %v, want %d requests and %d blocked", counted, 2*len(requests), blocked)
	}
	t.Run("responses", func(t *testing.T) {
		leak := answer("500", "<b>You have an error in your SQL syntax; ", "check the manual that corresponds to your MySQL server version")
		leak.headers.Set("content-type", "text/html")
		got := exchange(t, p, 0, get("/", "accept", "*/*", "user-agent", "Mozilla/5.0"), leak)
		expect(t, got.client.headers, ":status", "403")
		if got.client.text() != "" {
			t.Errorf("the client got %q", got.client.text())
		}
	})
	s := p.Stats()
	t.Logf("%d VMs with %d MiB of memory, %d forks", s.VMs, s.Memory>>20, s.Forks)
	for _, c := range s.Callbacks {
		if c.CPU.Count > 0 {
			t.Logf("%-28s %5d calls, %v CPU each", c.Name, c.CPU.Count, (c.CPU.Sum / time.Duration(c.CPU.Count)).Round(time.Microsecond))
		}
	}
}

// A configuration that the firewall cannot read is refused, with the reason in
// the log.
func TestWAFRefuses(t *testing.T) {
	if testing.Short() {
		t.Skip("compiling the firewall takes long")
	}
	for config, want := range map[string]string{
		`{"rule": []}`: "the configuration is not the JSON object that the WAF takes",
		`{"core_rules": false, "rules": ["SecRule ARGS \"@rx (\" \"id:1\""]}`: "parse the rules",
	} {
		_, log, err := tryLoad(t, wafGuest(t), pw.Config{Limits: wafLimits, Roots: []pw.Root{{Config: []byte(config)}}})
		if err == nil {
			t.Errorf("%s was taken", config)
		}
		if len(log.matching(want)) == 0 {
			t.Errorf("%s: the log does not say %q", config, want)
		}
	}
}
