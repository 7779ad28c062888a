// Package guestbuild compiles Wasm guests for tests and examples: C by clang
// and wasi-libc, Go by the go command, Rust and AssemblyScript by their
// compilers. What it builds is kept under the cache
// folder by a hash of the sources, the flags and the toolchain, so a guest is
// compiled once for a machine.
package guestbuild

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// TB is the part of testing.TB that building needs.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
}

// C compiles and links C sources into a module and returns its path. Args are
// clang's: sources, flags, libraries; "-o" is added. Files that args do not
// name but that the sources include are to be listed in also, so that a
// change of them is seen.
func C(t TB, args []string, also ...string) string {
	t.Helper()
	path, err := CompileC(args, also...)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return path
}

// Go compiles the main package in folder dir for wasip1 and returns the
// module's path. Flags go to "go build", as "-buildmode=c-shared".
func Go(t TB, dir string, flags ...string) string {
	t.Helper()
	path, err := CompileGo(dir, flags...)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return path
}

// SDK returns the folder of the C toolchain, with bin/wasi-cc and bin/wasi-ar
// in it, making it if need be.
var SDK = sync.OnceValues(func() (string, error) { return tool("wasi.sh") })

// CompileC is [C] outside of tests.
func CompileC(args []string, also ...string) (string, error) {
	sdk, err := SDK()
	if err != nil {
		return "", err
	}
	h := sha256.New()
	fmt.Fprintln(h, filepath.Base(sdk))
	for _, arg := range args {
		fmt.Fprintln(h, filepath.Base(arg))
		if err := hashFile(h, arg); err != nil && !os.IsNotExist(err) {
			return "", fmt.Errorf("read source %s: %w", arg, err)
		}
	}
	for _, file := range also {
		if err := hashFile(h, file); err != nil {
			return "", fmt.Errorf("read source %s: %w", file, err)
		}
	}
	return cached(h.Sum(nil), func(out string) error {
		return run(exec.Command(filepath.Join(sdk, "bin/wasi-cc"), append(args, "-o", out)...))
	})
}

// CompileGo is [Go] outside of tests. The go command keeps its own cache, so
// it is always asked.
func CompileGo(dir string, flags ...string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	fmt.Fprintln(h, abs, flags)
	folder, err := cacheDir()
	if err != nil {
		return "", err
	}
	out := filepath.Join(folder, hex.EncodeToString(h.Sum(nil)[:12])+".wasm")
	tmp, err := os.MkdirTemp(folder, "go-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	built := filepath.Join(tmp, "out.wasm")
	args := append([]string{"build", "-buildvcs=false", "-o", built}, flags...)
	cmd := exec.Command("go", append(args, ".")...)
	cmd.Dir = abs
	// Another go.mod that the caller's own build may use is not this module's.
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	if err := run(cmd); err != nil {
		return "", err
	}
	return out, os.Rename(built, out)
}

func cacheDir() (string, error) {
	base, err := base()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(base, "guests")
	return dir, os.MkdirAll(dir, 0o755)
}

// base returns the folder that scripts keep things in, too.
func base() (string, error) {
	if dir := os.Getenv("HAKO_CACHE"); dir != "" {
		return dir, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, ".cache", "hako"), nil
}

// cached returns the file kept under key, made by build if there is none.
func cached(key []byte, build func(out string) error) (string, error) {
	dir, err := cacheDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, hex.EncodeToString(key[:12])+".wasm")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	tmp, err := os.MkdirTemp(dir, "c-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	out := filepath.Join(tmp, "out.wasm")
	if err := build(out); err != nil {
		return "", err
	}
	return path, os.Rename(out, path)
}

func hashFile(w io.Writer, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			return hashFile(w, p)
		})
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}

func run(cmd *exec.Cmd) error {
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return nil
}
