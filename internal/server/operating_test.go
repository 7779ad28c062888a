package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// A described is a metric that a server has.
type described struct{ name, labels, help string }

// describe lists what /metrics can have, also where it has no value yet.
func describe(t *testing.T, r *prometheus.Registry) (list []described) {
	t.Helper()
	descs := make(chan *prometheus.Desc)
	go func() {
		r.Describe(descs)
		close(descs)
	}()
	parts := regexp.MustCompile(`^Desc\{fqName: "(\w+)", help: "(.*?)", (?:unit: "[^"]*", )?constLabels: \{.*\}, variableLabels: \{(.*)\}\}$`)
	for d := range descs {
		m := parts.FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("%s is not understood", d)
		}
		list = append(list, described{m[1], strings.ReplaceAll(m[3], ",", ", "), m[2]})
	}
	slices.SortFunc(list, func(a, b described) int { return strings.Compare(a.name, b.name) })
	return list
}

// startStatic starts a server that needs no guest.
func startStatic(t *testing.T) *Server {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "public"), 0o755); err != nil {
		t.Fatal(err)
	}
	c := load(t, dir, "all", "[[route]]\nmatch = { path = \"/*\" }\nstatic = \"public\"\n")
	if err := c.Server.Listen[0].UnmarshalText([]byte("127.0.0.1:0")); err != nil {
		t.Fatal(err)
	}
	metrics := c.Server.Listen[0]
	c.Server.Metrics = &metrics
	s, err := Start(t.Context(), c, Options{Data: t.TempDir(), Log: slog.New(slog.DiscardHandler), AccessLog: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(t.Context()) }()
	t.Cleanup(func() {
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Every metric that the dashboard asks for is one that a server has.
func TestDashboard(t *testing.T) {
	s := startStatic(t)
	known := map[string]bool{}
	for _, d := range describe(t, s.metrics) {
		known[d.name] = true
	}
	resp, err := http.Get("http://" + s.gate.MetricsAddress() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\w+) `).FindAllSubmatch(text, -1) {
		known[string(m[1])] = true
	}
	for _, want := range []string{"hako_connections 0", `hako_database_version{database="shop"} 0`, "go_goroutines", "process_open_fds"} {
		if !bytes.Contains(text, []byte("\n"+want)) {
			t.Errorf("/metrics has no %s", want)
		}
	}
	b, err := os.ReadFile("../../contrib/grafana/hako.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard any
	if err := json.Unmarshal(b, &dashboard); err != nil {
		t.Fatal(err)
	}
	asked := map[string]bool{}
	for _, query := range regexp.MustCompile(`"(?:expr|query)": "([^"]*(?:\\"[^"]*)*)"`).FindAllSubmatch(b, -1) {
		for _, name := range regexp.MustCompile(`\b(?:hako|go|process)_\w+`).FindAllString(string(query[1]), -1) {
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				if base, ok := strings.CutSuffix(name, suffix); ok && !known[name] {
					name = base
				}
			}
			if asked[name] = true; !known[name] {
				t.Errorf("the dashboard asks for %s, which there is not", name)
			}
		}
	}
	for name := range known {
		if strings.HasPrefix(name, "hako_") && !asked[name] {
			t.Errorf("the dashboard does not show %s", name)
		}
	}
}

// The list of metrics in the documentation is the one of the code.
func TestMetricsAreDocumented(t *testing.T) {
	s := startStatic(t)
	var want strings.Builder
	for _, d := range describe(t, s.metrics) {
		if strings.HasPrefix(d.name, "hako_") {
			fmt.Fprintf(&want, "| `%s` | %s | %s |\n", d.name, d.labels, d.help)
		}
	}
	b, err := os.ReadFile("../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), want.String()) {
		t.Errorf("docs/operating.md does not have this table:\n%s", &want)
	}
}

func TestUnits(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("there is no systemd here")
	}
	var stderr strings.Builder
	find := exec.Command("../../scripts/systemd.sh")
	find.Stderr = &stderr
	found, err := find.Output()
	if err != nil {
		t.Fatalf("find or install systemd-analyze: %v\n%s", err, &stderr)
	}
	analyze := strings.TrimSpace(string(found))
	dir := t.TempDir()
	var files []string
	for _, name := range []string{"hako.service", "hako.socket"} {
		b, err := os.ReadFile(filepath.Join("../../contrib/systemd", name))
		if err != nil {
			t.Fatal(err)
		}
		// It wants the program to be there.
		b = bytes.ReplaceAll(b, []byte("/usr/local/bin/hako "), []byte("/bin/true "))
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, b, 0o644); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	if out, err := exec.Command(analyze, append([]string{"verify", "--man=no"}, files...)...).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}
