package proxywasm

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestConformanceTable: docs/proxy-wasm.md has every host function and
// callback, and the tests that it names are there.
func TestConformanceTable(t *testing.T) {
	b, err := os.ReadFile("../docs/proxy-wasm.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	for i := range hostFunctions {
		if !strings.Contains(page, "`"+hostFunctions[i].name+"`") {
			t.Errorf("the page lacks the host function %s", hostFunctions[i].name)
		}
	}
	for _, cb := range callbackTypes {
		for _, name := range []string{cb.name, cb.alias} {
			if !strings.Contains(page, "`"+name+"`") && name != "" {
				t.Errorf("the page lacks the callback %s", name)
			}
		}
	}
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	tests := ""
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		tests += string(b)
	}
	for _, name := range regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9]+)`").FindAllStringSubmatch(page, -1) {
		if !strings.Contains(tests, "func "+name[1]+"(") {
			t.Errorf("the page names %s, which is not there", name[1])
		}
	}
}
