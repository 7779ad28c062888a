package guestbuild_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/hako-run/hako/internal/guestbuild"
)

func TestCompileC(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(dir, "main.c")
	write := func(text string) {
		if err := os.WriteFile(source, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(`#include <setjmp.h>
#include <stdio.h>
static jmp_buf env;
int main(void) { if (!setjmp(env)) longjmp(env, 1); puts("back"); }`)
	args := []string{"-O2", "-mllvm", "-wasm-enable-sjlj", "-mllvm", "-wasm-use-legacy-eh=false", source, "-lsetjmp"}
	first := guestbuild.C(t, args)
	module, err := os.ReadFile(first)
	if err != nil || !bytes.HasPrefix(module, []byte("\x00asm\x01\x00\x00\x00")) {
		t.Fatalf("%s is no module: %v", first, err)
	}
	if again := guestbuild.C(t, args); again != first {
		t.Errorf("the same source gave %s, then %s", first, again)
	}
	write("int main(void) { return 3; }")
	if other := guestbuild.C(t, args); other == first {
		t.Errorf("a changed source gave the old module")
	}
	write("int main(void) { return }")
	if _, err := guestbuild.CompileC(args); err == nil {
		t.Errorf("a source with a mistake compiled")
	}
}

func TestCompilersOfFilters(t *testing.T) {
	const filters = "../../examples/filters/"
	for name, compile := range map[string]func() string{
		"C++": func() string {
			return guestbuild.CXX(t, []string{"-I", "../../guest/c"}, "../../proxywasm/testdata/c/phases.cc", "../../guest/c/proxy_wasm.h")
		},
		"Rust": func() string {
			return guestbuild.Rust(t, filters+"rust/greeting.rs", "../../guest/rust/proxy_wasm.rs")
		},
		"AssemblyScript": func() string {
			return guestbuild.AssemblyScript(t, filters+"assemblyscript/greeting.ts")
		},
	} {
		first := compile()
		module, err := os.ReadFile(first)
		if err != nil || !bytes.HasPrefix(module, []byte("\x00asm\x01\x00\x00\x00")) {
			t.Errorf("%s: %s is no module: %v", name, first, err)
		}
		if again := compile(); again != first {
			t.Errorf("%s: the same source gave %s, then %s", name, first, again)
		}
	}
}
