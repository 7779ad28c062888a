package main

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
)

const table = "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT, b INT, c TEXT)"

func workloads() []workload {
	return []workload{
		{"autocommit inserts, 1 client", 1.0, func(c *contender) (func(), func()) { return inserts(c, 1, 2000) }},
		{"autocommit inserts, 8 databases", 1.3, func(c *contender) (func(), func()) { return inserts(c, 8, 400) }},
		{"autocommit inserts, 64 databases", 2.5, func(c *contender) (func(), func()) { return inserts(c, 64, 100) }},
		{"100k inserts, 1 transaction", 1.0, bulk},
		{"100k point selects", 1.3, func(c *contender) (func(), func()) { return points(c, "cache_size=-2000") }},
		{"100k point selects, 64 MB cache", 1.3, func(c *contender) (func(), func()) { return points(c, "cache_size=-65536") }},
		{"full scan, warm", 1.0, func(c *contender) (func(), func()) { return scan(c, true) }},
		{"full scan, cold", 0.8, func(c *contender) (func(), func()) { return scan(c, false) }},
	}
}

func text(rng *rand.Rand, n int) string {
	var b strings.Builder
	for b.Len() < n {
		fmt.Fprintf(&b, "%x ", rng.Uint32N(1<<20))
	}
	return b.String()[:n]
}

func inserts(c *contender, databases, each int) (func(), func()) {
	each = scale(each)
	dbs := make([]*sql.DB, databases)
	for i := range dbs {
		dbs[i] = single(c.open(fmt.Sprintf("db%d", i)))
		do(dbs[i], table)
		do(dbs[i], "CREATE INDEX t_b ON t(b)")
	}
	run := func() {
		var wg sync.WaitGroup
		for i, db := range dbs {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(uint64(i), 1))
				st, err := db.Prepare("INSERT INTO t(a, b, c) VALUES(?, ?, ?)")
				check(err)
				defer st.Close()
				for range each {
					_, err := st.Exec(text(rng, 60), rng.IntN(1e6), text(rng, 30))
					check(err)
				}
			})
		}
		wg.Wait()
	}
	return run, func() { closeAll(dbs...) }
}

func bulk(c *contender) (func(), func()) {
	db := single(c.open("db"))
	do(db, table)
	do(db, "CREATE INDEX t_b ON t(b)")
	return func() { fill(db, scale(100_000)) }, func() { closeAll(db) }
}

func fill(db *sql.DB, rows int) {
	rng := rand.New(rand.NewPCG(1, 1))
	tx, err := db.Begin()
	check(err)
	st, err := tx.Prepare("INSERT INTO t(a, b, c) VALUES(?, ?, ?)")
	check(err)
	for range rows {
		_, err := st.Exec(text(rng, 60), rng.IntN(1e6), text(rng, 30))
		check(err)
	}
	check(tx.Commit())
}

func points(c *contender, pragma string) (func(), func()) {
	db := single(c.open("db"), pragma)
	do(db, table)
	rows := scale(200_000)
	fill(db, rows)
	do(db, "PRAGMA wal_checkpoint(TRUNCATE)")
	c.rest()
	query := func(n int) {
		rng := rand.New(rand.NewPCG(2, 2))
		st, err := db.Prepare("SELECT a FROM t WHERE id = ?")
		check(err)
		defer st.Close()
		var a string
		for range n {
			check(st.QueryRow(1 + rng.IntN(rows)).Scan(&a))
		}
	}
	query(scale(20_000))
	return func() { query(scale(100_000)) }, func() { closeAll(db) }
}

func scan(c *contender, warm bool) (func(), func()) {
	db := single(c.open("db"))
	do(db, table)
	fill(db, scale(300_000))
	do(db, "PRAGMA wal_checkpoint(TRUNCATE)")
	c.rest()
	one := func() {
		var n, sum int
		check(db.QueryRow("SELECT count(*), sum(length(a) + b) FROM t").Scan(&n, &sum))
	}
	if warm {
		one()
	} else {
		closeAll(db)
		c.cool()
		db = single(c.open("db"))
	}
	return one, func() { closeAll(db) }
}

func closeAll(dbs ...*sql.DB) {
	for _, db := range dbs {
		check(db.Close())
	}
}
