package proxywasm_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	pw "github.com/hako-run/hako/proxywasm"
)

// The commands in docs/filters.md work, and what they build are plugins.
func TestDocs(t *testing.T) {
	if testing.Short() {
		t.Skip("compiling the firewall takes long")
	}
	text, err := os.ReadFile("../docs/filters.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllSubmatch(text, -1)
	if len(blocks) < 6 {
		t.Fatalf("docs/filters.md has %d commands", len(blocks))
	}
	module := regexp.MustCompile(`bin/\S+\.wasm`)
	if err := os.MkdirAll("../bin", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, block := range blocks {
		name := module.Find(block[1])
		if name == nil {
			t.Errorf("this builds nothing in bin: %s", block[1])
			continue
		}
		path := filepath.Join("..", string(name))
		if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		cmd := exec.Command("bash", "-euo", "pipefail", "-c", string(block[1]))
		cmd.Dir = ".."
		// What the other tests build, so that it is compiled but once.
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", block[1], err, out)
			continue
		}
		profile, err := pw.Inspect(guestModule(t, path))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(profile.Missing) > 0 || !profile.HTTP {
			t.Errorf("%s lacks %v; for HTTP: %v", name, profile.Missing, profile.HTTP)
		}
	}
}
