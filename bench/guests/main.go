// Command guests measures how fast guests run: C programs under hako run,
// under WasmEdge (compiled ahead of time), and natively by gcc -O2; and how
// fast instances start.
//
// Contenders take turns, several rounds over; printed are processor times as
// multiples of the native program's, medians of all rounds. Each run is long
// enough that starting it does not matter; what starting takes is measured
// with a program that does nothing.
//
// It is run by scripts/bench-guests.sh, which says where the tools are.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

var (
	rounds   = flag.Int("rounds", 5, "rounds to take medians of")
	only     = flag.String("only", "", "measure the programs whose names contain this")
	hako     = flag.String("hako", "bin/hako", "the hako command")
	clang    = flag.String("wasi-cc", "", "clang for WASI")
	lua      = flag.String("lua", "", "Lua as a WASI module")
	luaHere  = flag.String("lua-native", "", "Lua natively")
	php      = flag.String("php", "", "PHP as a WASI module")
	phpHere  = flag.String("php-native", "", "PHP natively")
	phpBench = flag.String("php-bench", "", "PHP's Zend/bench.php")
	speed    = flag.String("speedtest1", "", "SQLite's speedtest1 as a WASI module")
	speedN   = flag.String("speedtest1-native", "", "SQLite's speedtest1 natively")
	started  = flag.String("start", "", "a large WASI module that does little, to measure how it starts")
	root     = flag.String("wasmedge", "", "a folder with WasmEdge, to chroot to; without it, it is left out")
	duration = flag.Duration("duration", 400*time.Millisecond, "how long a native run should take")
)

// A program is compiled for all contenders.
type program struct {
	name           string
	native         []string
	module         string
	aot            string   // as seen within the chroot
	args           []string // before the count
	stdin          []byte
	timings        bool // the output tells times, and differs
	count          int
	expectedOutput string
}

func main() {
	flag.Parse()
	dir, err := os.MkdirTemp("", "hako-guests-")
	check(err)
	defer os.RemoveAll(dir)
	if *root != "" {
		check(os.MkdirAll(filepath.Join(*root, "bench"), 0o755))
	}
	os.Setenv("HAKO_DATA", filepath.Join(dir, "data"))
	var programs []*program
	sources, err := filepath.Glob("bench/kernels/*.c")
	check(err)
	empty := filepath.Join(dir, "empty.c")
	check(os.WriteFile(empty, []byte("int main(void) { return 0; }\n"), 0o600))
	nothing := compile(dir, empty)
	for _, source := range sources {
		if strings.Contains(source, *only) {
			programs = append(programs, compile(dir, source))
		}
	}
	if *lua != "" && strings.Contains("lua", *only) {
		script, err := os.ReadFile("bench/guests/bench.lua")
		check(err)
		programs = append(programs, &program{name: "lua", native: []string{*luaHere}, module: *lua, aot: edge(dir, "lua", *lua), args: []string{"-"}, stdin: script})
	}
	if *php != "" && strings.Contains("php", *only) {
		script, err := os.ReadFile(*phpBench)
		check(err)
		programs = append(programs, &program{name: "php", native: []string{*phpHere}, module: *php, aot: edge(dir, "php", *php), args: []string{"--"}, stdin: script, timings: true})
	}
	if *speed != "" && strings.Contains("speedtest1", *only) {
		// Not for WasmEdge: it is linked with Hako's VFS.
		programs = append(programs, &program{name: "speedtest1", native: []string{*speedN}, module: *speed, args: []string{"--memdb", "--size"}, timings: true})
	}
	fmt.Printf("%-14s %10s %10s %10s %12s\n", "", "native s", "hako x", "wasmedge x", "hako/wasmedge")
	var all, ours, theirs []float64 // ours are those that theirs are of
	for _, p := range programs {
		p.calibrate()
		var times [3][]float64
		for range *rounds {
			for i := range 3 {
				if t, ok := p.run(i); ok {
					times[i] = append(times[i], t)
				}
			}
		}
		native, h := median(times[0]), median(times[1])
		all = append(all, h/native)
		line := fmt.Sprintf("%-14s %10.3f %10.2f", p.name, native, h/native)
		if len(times[2]) > 0 {
			w := median(times[2])
			ours, theirs = append(ours, h/native), append(theirs, w/native)
			line += fmt.Sprintf(" %10.2f %12.2f", w/native, h/w)
		}
		fmt.Println(line)
	}
	if len(theirs) > 0 {
		fmt.Printf("%-14s %10s %10.2f %10.2f %12.2f\n", "mean of both", "", mean(ours), mean(theirs), mean(ours)/mean(theirs))
	}
	fmt.Printf("%-14s %10s %10.2f\n", "mean of all", "", mean(all))
	start("a program that does nothing", nothing)
	if *started != "" {
		info, err := os.Stat(*started)
		check(err)
		start(fmt.Sprintf("a module of %.1f MB from the cache", float64(info.Size())/1e6),
			&program{name: "start", native: nothing.native, module: *started, aot: edge(dir, "start", *started)})
	}
}

// start measures a program that does little, as a whole process.
func start(what string, p *program) {
	if command := p.command(1); command.Run() != nil { // compiles it
		check(fmt.Errorf("%v fails", command.Args))
	}
	var times [3][]float64
	for range 4 * *rounds {
		for i := range 3 {
			command := p.command(i)
			if command == nil {
				continue
			}
			began := time.Now()
			check(command.Run())
			times[i] = append(times[i], time.Since(began).Seconds())
		}
	}
	fmt.Printf("\na process that runs %s, in ms: native (which does nothing) %.1f, hako %.1f", what, 1e3*median(times[0]), 1e3*median(times[1]))
	if len(times[2]) > 0 {
		fmt.Printf(", wasmedge %.1f", 1e3*median(times[2]))
	}
	fmt.Println()
}

// compile compiles a C program in all ways.
func compile(dir, source string) *program {
	name := strings.TrimSuffix(filepath.Base(source), ".c")
	p := &program{name: name, native: []string{filepath.Join(dir, name)}, module: filepath.Join(dir, name+".wasm"), count: 1}
	run("gcc", "-O2", source, "-o", p.native[0], "-lm")
	run(*clang, "-O3", "-msimd128", source, "-o", p.module)
	p.aot = edge(dir, name, p.module)
	return p
}

// edge compiles a module by WasmEdge and returns its path in the chroot.
func edge(dir, name, module string) string {
	if *root == "" {
		return ""
	}
	b, err := os.ReadFile(module)
	check(err)
	check(os.WriteFile(filepath.Join(*root, "bench", name+".wasm"), b, 0o644))
	in, out := "/bench/"+name+".wasm", "/bench/"+name+".aot.wasm"
	if err := exec.Command("chroot", *root, "wasmedge", "compile", in, out).Run(); err != nil {
		return "" // it does not know something that the module uses, as Lua's exceptions
	}
	return out
}

// command returns how contender i runs the program, nil if it cannot.
func (p *program) command(i int) *exec.Cmd {
	args := append(slices.Clip(p.args), strconv.Itoa(p.count))
	switch i {
	case 0:
		return exec.Command(p.native[0], append(p.native[1:], args...)...)
	case 1:
		return exec.Command(*hako, append([]string{"run", "-i", p.module}, args...)...)
	}
	if p.aot == "" {
		return nil
	}
	return exec.Command("chroot", append([]string{*root, "wasmedge", "run", "--run-mode=aot", p.aot}, args...)...)
}

// patience bounds one run: a contender that takes longer interprets.
const patience = 60 * time.Second

// run returns the processor time that contender i takes, in seconds.
func (p *program) run(i int) (float64, bool) {
	command := p.command(i)
	if command == nil {
		return 0, false
	}
	var out bytes.Buffer
	command.Stdout = &out
	command.Stdin = bytes.NewReader(p.stdin)
	timer := time.AfterFunc(patience, func() { _ = command.Process.Kill() })
	err := command.Run()
	timer.Stop()
	if err != nil {
		if i == 2 {
			return 0, false
		}
		check(fmt.Errorf("%v: %w", command.Args, err))
	}
	if p.expectedOutput == "" {
		p.expectedOutput = out.String()
	} else if out.String() != p.expectedOutput && i < 2 && !p.timings {
		check(fmt.Errorf("%s computes %q by contender %d, not %q", p.name, out.String(), i, p.expectedOutput))
	}
	s := command.ProcessState
	return (s.UserTime() + s.SystemTime()).Seconds(), true
}

// calibrate finds a count for which the native program runs long enough, and
// compiles the module into hako's cache.
func (p *program) calibrate() {
	next := func(n int) int { return 2 * n }
	p.count = 1
	if p.name == "fib" { // whose work is exponential
		next = func(n int) int { return n + 1 }
		p.count = 28
	}
	for ; p.count < 1<<30; p.count = next(p.count) {
		p.expectedOutput = ""
		t, _ := p.run(0)
		if t >= duration.Seconds()/2 {
			break
		}
	}
	p.expectedOutput = ""
	count := p.count
	p.count = min(count, 28)
	p.run(1)
	p.count = count
	p.expectedOutput = ""
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

// mean is the geometric one.
func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += math.Log(x)
	}
	return math.Exp(sum / float64(len(v)))
}

func run(name string, args ...string) {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		check(fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out))
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "guests:", err)
		os.Exit(1)
	}
}
