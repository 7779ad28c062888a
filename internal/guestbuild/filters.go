package guestbuild

import (
	"crypto/sha256"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
)

// Rust compiles the Rust source file main for WASI as a library with exported
// functions and returns the module's path. Files that it includes are to be
// listed in also.
func Rust(t TB, main string, also ...string) string {
	t.Helper()
	path, err := compileWith(rustc, "", []string{main}, append(also, main), func(out string) []string {
		return []string{"-o", out, main}
	})
	if err != nil {
		t.Fatalf("%v", err)
	}
	return path
}

// CXX compiles and links the C++ source file main as a library with exported
// functions and returns the module's path. Args are further ones of clang's;
// files that the source includes are to be listed in also.
func CXX(t TB, args []string, main string, also ...string) string {
	t.Helper()
	path, err := compileWith(cxx, "", append(args, main), append(also, main), func(out string) []string {
		return append([]string{"-std=c++20", "-O2", "-mexec-model=reactor", "-o", out, main}, args...)
	})
	if err != nil {
		t.Fatalf("%v", err)
	}
	return path
}

// AssemblyScript compiles the source file main, which may import the
// Proxy-Wasm SDK, and returns the module's path.
func AssemblyScript(t TB, main string, also ...string) string {
	t.Helper()
	// The compiler takes sources within its working folder only.
	dir, name := filepath.Split(main)
	path, err := compileWith(asc, dir, []string{name}, append(also, main), func(out string) []string {
		return []string{name, "-b", out, "--optimize"}
	})
	if err != nil {
		t.Fatalf("%v", err)
	}
	return path
}

var (
	cxx   = sync.OnceValues(func() (string, error) { return tool("wasi-cxx.sh") })
	rustc = sync.OnceValues(func() (string, error) { return tool("rust.sh") })
	asc   = sync.OnceValues(func() (string, error) { return tool("assemblyscript.sh") })
)

// tool runs a script that makes a compiler, and returns the path it prints.
func tool(script string) (string, error) {
	_, here, _, _ := runtime.Caller(0)
	path := filepath.Join(filepath.Dir(here), "../../scripts", script)
	cmd := exec.Command(path)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("make a compiler for Wasm guests with %s: %w\n%s", path, err, stderr.String())
	}
	return strings.TrimSpace(string(out)), nil
}

// compileWith runs a compiler in dir unless its output for these sources is
// kept already. The compiler's path tells its version.
func compileWith(compiler func() (string, error), dir string, named, sources []string, args func(out string) []string) (string, error) {
	command, err := compiler()
	if err != nil {
		return "", err
	}
	h := sha256.New()
	fmt.Fprintln(h, command, named)
	for _, file := range sources {
		if err := hashFile(h, file); err != nil {
			return "", fmt.Errorf("read source %s: %w", file, err)
		}
	}
	return cached(h.Sum(nil), func(out string) error {
		cmd := exec.Command(command, args(out)...)
		cmd.Dir = dir
		return run(cmd)
	})
}
