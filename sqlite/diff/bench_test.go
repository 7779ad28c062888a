package diff

import (
	"context"
	"fmt"
	"slices"
	"testing"
)

func BenchmarkSummary(b *testing.B) {
	path, db := tempFile(b)
	run(b, db, fmt.Sprintf(`CREATE TABLE r(id INTEGER PRIMARY KEY, a TEXT, b INT); CREATE INDEX ra ON r(a);
		`+series+`INSERT INTO r SELECT i, 'some text for row '||i, i*7 FROM n`, 200_000))
	before := state(b, path, db)
	for _, bench := range []struct{ name, sql string }{
		{"row", "UPDATE r SET b=-1 WHERE id=100000"},
		{"thousand rows", "UPDATE r SET b=-1 WHERE id%200=0"},
		{"all rows", "UPDATE r SET b=b+1"},
	} {
		run(b, db, bench.sql)
		after := state(b, path, db)
		changed := slices.Collect(differing(before, after))
		for _, known := range []bool{true, false} {
			b.Run(fmt.Sprintf("%s, pages known %v", bench.name, known), func(b *testing.B) {
				for b.Loop() {
					var o Options
					if known {
						o.Changed = slices.Values(changed)
					}
					d, err := New(before, after, o)
					if err != nil {
						b.Fatal(err)
					}
					if _, err := d.Summary(context.Background()); err != nil {
						b.Fatal(err)
					}
					d.Close()
				}
			})
		}
		before = after
	}
}
