package phpt

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/hako-run/hako/php"
)

// A sample of PHP's own tests passes on PHP as WebAssembly. All of them are
// run by make php-tests.
func TestSample(t *testing.T) {
	dir, err := php.Build()
	if err != nil {
		t.Fatal(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	w, err := NewWasm(t.Context(), dir, filepath.Join(cache, "hako", "compiled"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}()
	listed, err := Failing()
	if err != nil {
		t.Fatal(err)
	}
	tests := Sample()
	if testing.Short() {
		var few []string
		for i := 0; i < len(tests); i += 10 {
			few = append(few, tests[i])
		}
		tests = few
	}
	for _, name := range tests {
		if _, ok := listed[name]; ok {
			t.Errorf("%s is both in sample.txt and in failing.txt", name)
		}
	}
	s := Suite{Source: source(t), On: w, Workers: min(4, runtime.NumCPU())}
	results, err := s.Run(t.Context(), tests)
	if err != nil {
		t.Fatal(err)
	}
	passed := 0
	for _, r := range results {
		if r.Outcome == Passed {
			passed++
		} else {
			t.Errorf("%s: %s %s\n%s", r.Test, r.Outcome, r.Reason, r.Output)
		}
	}
	if passed < 250 && !testing.Short() {
		t.Errorf("%d tests passed: the sample is to be some 300", passed)
	}
}

// source is the folder of PHP's source package.
func source(t *testing.T) string {
	t.Helper()
	cmd := exec.Command("../../scripts/debsource.sh", "trixie", "php8.4")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("fetch PHP's source package: %v", err)
	}
	return strings.TrimSpace(string(out))
}
