//go:build unix

package guest_test

import (
	"context"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"
)

const rowText = "some text of a row that is about a hundred bytes long, as rows of web applications are, more or less"

// A workload is done n times in a guest and by a connection of this process.
type workload struct {
	name   string
	cache  string // PRAGMA cache_size
	single string // one statement with a parameter, run n times; "": all
	all    string
	n      int
	mod    int // 0: the parameter counts, otherwise it jumps within 1 to mod
}

var workloads = []workload{
	{"autocommit-insert", "-2000", "INSERT INTO t(a,b) VALUES (?1,'" + rowText + "')", "", 100, 0},
	{"insert-100k-in-one", "-2000", "", "INSERT INTO u(a,b) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<100000) SELECT i, '" + rowText + "' FROM n; DELETE FROM u", 1, 0},
	{"insert-10k-statements-in-one", "-2000", "INSERT INTO t(a,b) VALUES (?1,'" + rowText + "')", "tx", 10000, 0},
	{"point-select", "-64000", "SELECT length(b) FROM t WHERE id=?1", "", 20000, 100000},
	{"point-select-small-cache", "-200", "SELECT length(b) FROM t WHERE id=?1", "", 20000, 100000},
	{"scan", "-200", "", "SELECT sum(length(b)) FROM t", 1, 0},
	{"scan-in-cache", "-64000", "", "SELECT sum(length(b)) FROM t", 1, 0},
}

// A runner does a workload once.
type runner func(w workload) error

func fill(s side) {
	for _, stmt := range []string{"CREATE TABLE t(id INTEGER PRIMARY KEY, a, b)", "CREATE TABLE u(id INTEGER PRIMARY KEY, a, b)",
		"INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<100000) SELECT i, i*7919%100003, '" + rowText + "' FROM n"} {
		if got := s.run(stmt); got != "" {
			panic(got)
		}
	}
}

func guestRunner(c *guestConn) runner {
	return func(w workload) error {
		if w.single == "" {
			_, err := c.query(c.in.ctx, w.all)
			return err
		}
		if w.all == "tx" {
			c.exec("BEGIN")
			defer c.exec("COMMIT")
		}
		sum, err := c.in.call(c.in.ctx, "repeat", c.i, w.single, 1, w.n, w.mod)
		if err == nil && int64(sum) < 0 {
			err = fmt.Errorf("SQLite error %d", -int64(sum))
		}
		return err
	}
}

func goRunner(c goConn) runner {
	ctx := context.Background()
	return func(w workload) error {
		if w.single == "" {
			_, err := c.ExecContext(ctx, w.all)
			return err
		}
		if w.all == "tx" {
			c.run("BEGIN")
			defer c.run("COMMIT")
		}
		st, err := c.PrepareContext(ctx, w.single)
		if err != nil {
			return err
		}
		defer st.Close()
		for k := 1; k <= w.n; k++ {
			arg := k
			if w.mod != 0 {
				arg = k*7919%w.mod + 1
				var n int
				if err := st.QueryRowContext(ctx, arg).Scan(&n); err != nil {
					return err
				}
			} else if _, err := st.ExecContext(ctx, arg); err != nil {
				return err
			}
		}
		return nil
	}
}

// cpu returns the processor time that the process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// median returns the middle of the values, which it sorts.
func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// BenchmarkGuest compares a guest with the driver of this process on the same
// store, in turns; guest/go is the median of the ratios of time, under 1 if the
// guest is faster, and cpu/cpu that of processor time.
func BenchmarkGuest(b *testing.B) {
	w := newWorld(b)
	w.create("g", "p")
	c := w.instance("g").open(0, "g")
	hako := openHako(b, w.store, "p")
	fill(c)
	fill(hako)
	for _, load := range workloads {
		b.Run(load.name, func(b *testing.B) {
			runs := []runner{guestRunner(c), goRunner(hako)}
			for _, s := range []side{c, hako} {
				s.run("PRAGMA cache_size=" + load.cache)
			}
			var wall, used []float64
			var total time.Duration
			for i := 0; b.Loop(); i++ {
				var took, burnt [2]time.Duration
				for k := range runs {
					k = (k + i) % 2
					begin, beginCPU := time.Now(), cpu()
					if err := runs[k](load); err != nil {
						b.Fatal(err)
					}
					took[k], burnt[k] = time.Since(begin), cpu()-beginCPU
				}
				wall = append(wall, float64(took[0])/float64(took[1]))
				used = append(used, float64(burnt[0])/float64(burnt[1]))
				total += took[0]
			}
			b.ReportMetric(median(wall), "guest/go")
			b.ReportMetric(median(used), "cpu/cpu")
			b.ReportMetric(float64(total.Nanoseconds())/float64(len(wall)*load.n), "guest-ns/op")
		})
	}
}
