// Command bench measures Hako's databases against SQLite on a plain file, with
// the same driver (modernc.org/sqlite) and with SQLite in C
// (github.com/mattn/go-sqlite3), both in WAL mode with synchronous=FULL.
//
// Every workload runs on all contenders in turn, several rounds over; printed
// are the medians and, what counts, how many times as fast Hako is as modernc
// on a plain file in the same run.
//
// Built without cgo, as Hako is, it has no SQLite in C: -c names the same
// program built with cgo, which is run for that contender.
package main

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hako-run/hako/pagestore"
	"github.com/hako-run/hako/sqlite"
	_ "modernc.org/sqlite"
)

var (
	rounds  = flag.Int("rounds", 5, "rounds to take medians of")
	only    = flag.String("only", "", "run the workloads whose names contain this")
	dir     = flag.String("dir", "", "directory on the disk to measure; default: a temporary one")
	profile = flag.String("profile", "", "write a CPU profile of Hako's share to this file")
	inC     = flag.String("c", "", "this program built with cgo, to run SQLite in C")
	child   = flag.Bool("child", false, "run one workload once on SQLite in C and print the nanoseconds")
	quick   = flag.Bool("quick", false, "a tenth of the work, to see that it runs")
)

// A contender opens databases.
type contender struct {
	name string
	open func(db string) *sql.DB
	rest func() // does what would go on in the background
	cool func() // forgets what this process has in memory
	done func()
}

// A workload prepares something untimed and returns what is to be timed: run
// does it, and end closes what was opened.
type workload struct {
	name  string
	goal  float64 // times as fast as modernc on a plain file
	setup func(c *contender) (run, end func())
}

func main() {
	flag.Parse()
	root := *dir
	if root == "" {
		var err error
		root, err = os.MkdirTemp("", "hako-bench-")
		check(err)
		defer os.RemoveAll(root)
	}
	if *child {
		for _, w := range workloads() {
			if w.name == *only {
				run, end := w.setup(plain("sqlite3", root))
				start := time.Now()
				run()
				fmt.Println(time.Since(start).Nanoseconds())
				end()
			}
		}
		return
	}
	fmt.Printf("%-34s %10s %10s %10s %9s %6s %9s\n", "", "hako", "modernc", "mattn", "x modernc", "goal", "x mattn")
	for _, w := range workloads() {
		if strings.Contains(w.name, *only) {
			measure(w, root)
		}
	}
	for _, r := range storeWorkloads() {
		if strings.Contains(r.name, *only) {
			r.run(filepath.Join(root, "s"))
			check(os.RemoveAll(filepath.Join(root, "s")))
		}
	}
}

func measure(w workload, root string) {
	times := make([][]time.Duration, 3)
	var prof *os.File
	for round := range *rounds {
		base := filepath.Join(root, fmt.Sprint(round))
		check(os.MkdirAll(base, 0o777))
		if *inC != "" {
			times[2] = append(times[2], childTime(w, base))
		}
		for i, c := range []*contender{hako(base), plain("sqlite", base)} {
			run, end := w.setup(c)
			if i == 0 && *profile != "" && prof == nil {
				var err error
				prof, err = os.Create(*profile)
				check(err)
				check(pprof.StartCPUProfile(prof))
			}
			start := time.Now()
			run()
			times[i] = append(times[i], time.Since(start))
			if i == 0 && round == 0 && prof != nil {
				pprof.StopCPUProfile()
				prof.Close()
			}
			end()
			c.done()
		}
		check(os.RemoveAll(base))
	}
	h, m := median(times[0]), median(times[1])
	c, ratio := "-", "-"
	if len(times[2]) > 0 {
		c, ratio = show(median(times[2])), fmt.Sprintf("%.2f", float64(median(times[2]))/float64(h))
	}
	fmt.Printf("%-34s %10s %10s %10s %9.2f %6.2g %9s\n", w.name, show(h), show(m), c, float64(m)/float64(h), w.goal, ratio)
}

// childTime runs a workload on SQLite in C in a process of its own.
func childTime(w workload, dir string) time.Duration {
	cmd := exec.Command(*inC, "-child", "-only", w.name, "-dir", dir, fmt.Sprintf("-quick=%v", *quick))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	check(err)
	n, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	check(err)
	return time.Duration(n)
}

func median(d []time.Duration) time.Duration {
	d = slices.Clone(d)
	slices.Sort(d)
	return d[len(d)/2]
}

func show(d time.Duration) string { return d.Round(10 * time.Microsecond).String() }

func hako(dir string) *contender {
	path := filepath.Join(dir, "hako")
	s, err := pagestore.Open(path, pagestore.Options{})
	check(err)
	return &contender{
		name: "hako",
		open: func(name string) *sql.DB {
			ref, err := pagestore.ParseRef(name)
			check(err)
			if _, err := s.Database(ref.Database); err != nil {
				_, err = s.Create(ref.Database, pagestore.CreateOptions{})
				check(err)
			}
			db, err := sqlite.OpenDB(s, name)
			check(err)
			return db
		},
		rest: func() { check(s.Compact(context.Background())) },
		cool: func() {
			closeStore(s)
			s, err = pagestore.Open(path, pagestore.Options{})
			check(err)
		},
		done: func() { closeStore(s) },
	}
}

func plain(driver, dir string) *contender {
	return &contender{
		name: driver,
		open: func(name string) *sql.DB {
			db, err := sql.Open(driver, filepath.Join(dir, driver+"-"+name+".sqlite"))
			check(err)
			return db
		},
		rest: func() {},
		cool: func() {},
		done: func() {},
	}
}

// single limits a pool to one connection and sets what all contenders share.
func single(db *sql.DB, pragmas ...string) *sql.DB {
	db.SetMaxOpenConns(1)
	for _, p := range append([]string{"journal_mode=WAL", "synchronous=FULL", "busy_timeout=10000"}, pragmas...) {
		do(db, "PRAGMA "+p)
	}
	return db
}

func do(db interface {
	ExecContext(context.Context, string, ...any) (sql.Result, error)
}, q string, args ...any) {
	_, err := db.ExecContext(context.Background(), q, args...)
	if err != nil {
		check(fmt.Errorf("%s: %w", q, err))
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func scale(n int) int {
	if *quick {
		return max(1, n/10)
	}
	return n
}
