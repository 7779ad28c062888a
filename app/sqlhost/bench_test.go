package sqlhost_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/hako-run/hako/app/sqlhost"
	"github.com/hako-run/hako/app/sqlhost/internal/script"
	"github.com/hako-run/hako/engine"
)

// BenchmarkThreeQueries makes three queries, of one row, of a count and of
// twenty rows, in a guest and natively, in turns; the ratio is that of the two.
func BenchmarkThreeQueries(b *testing.B) {
	s := newShop(b, sqlhost.Options{})
	db := s.native("shop", "CREATE TABLE t(id INTEGER PRIMARY KEY, y TEXT)",
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<1000) INSERT INTO t SELECT i, 'row '||i FROM n")
	var stderr bytes.Buffer
	in, err := s.instance(engine.Limits{}, s.databases(), nil, nil, nil, &stderr)
	if err != nil {
		b.Fatal(err)
	}
	defer in.Close()
	const round = 20
	guest := func() {
		if n, err := in.Call(context.Background(), "three", round); err != nil || int32(n[0]) < 0 {
			b.Fatal(n, err, stderr.String())
		}
	}
	native := func() {
		if _, err := script.Three(db, round); err != nil {
			b.Fatal(err)
		}
	}
	guest()
	native()
	var inGuest, here time.Duration
	rounds := 0
	for b.Loop() {
		start := time.Now()
		guest()
		middle := time.Now()
		native()
		inGuest += middle.Sub(start)
		here += time.Since(middle)
		rounds++
	}
	b.ReportMetric(float64(inGuest.Microseconds())/float64(rounds*round), "guest-us")
	b.ReportMetric(float64(here.Microseconds())/float64(rounds*round), "native-us")
	b.ReportMetric(float64(inGuest)/float64(here), "ratio")
}
