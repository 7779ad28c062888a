package main

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"time"

	"github.com/hako-run/hako/pagestore"
	"github.com/hako-run/hako/sqlite"
)

// A storeWorkload measures the store itself, where a plain file has no
// counterpart.
type storeWorkload struct {
	name string
	run  func(dir string)
}

func storeWorkloads() []storeWorkload {
	return []storeWorkload{
		{"oldest of 10,000 versions", oldest},
		{"bytes for a version", bytesPerVersion},
		{"branch of 1 GB", branch},
		{"open 100,000 databases", open},
	}
}

func openStore(dir string) *pagestore.Store {
	s, err := pagestore.Open(filepath.Join(dir, "hako"), pagestore.Options{})
	check(err)
	return s
}

func closeStore(s *pagestore.Store) {
	check(sqlite.Detach(s))
	check(s.Close())
}

func openDB(s *pagestore.Store, ref string) *sql.DB {
	db, err := sqlite.OpenDB(s, ref)
	check(err)
	db.SetMaxOpenConns(1)
	return db
}

// oldest compares reading the first of many versions with reading the last.
func oldest(dir string) {
	rows, versions := scale(30_000), scale(10_000)
	s := openStore(dir)
	_, err := s.Create("db", pagestore.CreateOptions{})
	check(err)
	db := openDB(s, "db")
	do(db, table)
	fill(db, rows)
	first := head(s, "db")
	rng := rand.New(rand.NewPCG(3, 3))
	for range versions {
		do(db, "UPDATE t SET b = ?, c = ? WHERE id = ?", rng.IntN(1e6), text(rng, 30), 1+rng.IntN(rows))
	}
	check(db.Close())
	last := head(s, "db")
	closeStore(s)

	read := func(ref string, points, warm bool) time.Duration {
		s := openStore(dir)
		defer closeStore(s)
		db := openDB(s, ref)
		defer db.Close()
		run := func() {
			if !points {
				var n, sum int
				check(db.QueryRow("SELECT count(*), sum(length(a) + b) FROM t").Scan(&n, &sum))
				return
			}
			rng := rand.New(rand.NewPCG(4, 4))
			st, err := db.Prepare("SELECT a FROM t WHERE id = ?")
			check(err)
			defer st.Close()
			var a string
			for range scale(20_000) {
				check(st.QueryRow(1 + rng.IntN(rows)).Scan(&a))
			}
		}
		if warm {
			run()
		}
		start := time.Now()
		run()
		return time.Since(start)
	}
	for _, c := range []struct {
		name         string
		points, warm bool
		goal         float64
	}{
		{"oldest of 10,000: scan, warm", false, true, 0.9},
		{"oldest of 10,000: scan, cold", false, false, 0.7},
		{"oldest of 10,000: points, warm", true, true, 0.9},
		{"oldest of 10,000: points, cold", true, false, 0.7},
	} {
		var h, o []time.Duration
		for range *rounds {
			h = append(h, read(fmt.Sprintf("db@%d", last), c.points, c.warm))
			o = append(o, read(fmt.Sprintf("db@%d", first), c.points, c.warm))
		}
		fmt.Printf("%-34s %10s %10s of the head %10.2f %6.2g\n", c.name, show(median(o)), show(median(h)),
			float64(median(h))/float64(median(o)), c.goal)
	}
}

func head(s *pagestore.Store, name string) pagestore.Version {
	d, err := s.Database(name)
	check(err)
	return d.Head().Version
}

// branch measures making a branch of a database of 1 GB.
func branch(dir string) {
	s := openStore(dir)
	defer closeStore(s)
	d, err := s.Create("big", pagestore.CreateOptions{})
	check(err)
	tx, err := d.Begin(pagestore.TxOptions{})
	check(err)
	rng := rand.NewChaCha8([32]byte{1})
	page := make([]byte, 4096)
	for n := range uint32(scale(1 << 18)) {
		rng.Read(page)
		check(tx.WritePage(n+1, page))
	}
	start := time.Now()
	_, err = tx.Commit(context.Background())
	check(err)
	fmt.Printf("%-34s %10s\n", "commit of 1 GB", show(time.Since(start)))
	sn, err := d.HeadSnapshot()
	check(err)
	defer sn.Close()
	var times []time.Duration
	for i := range 5 {
		start := time.Now()
		_, err := s.Branch(sn, fmt.Sprintf("b%d", i))
		check(err)
		times = append(times, time.Since(start))
	}
	fmt.Printf("%-34s %10s %32s\n", "branch of 1 GB", show(median(times)), "goal: under 5 ms")
}

// open measures opening a store that has many databases.
func open(dir string) {
	s := openStore(dir)
	var wg sync.WaitGroup
	n := scale(100_000)
	for w := range 16 {
		wg.Go(func() {
			for i := w; i < n; i += 16 {
				_, err := s.Create(fmt.Sprintf("database-%d", i), pagestore.CreateOptions{})
				check(err)
			}
		})
	}
	wg.Wait()
	closeStore(s)
	var times []time.Duration
	for range *rounds {
		start := time.Now()
		s := openStore(dir)
		_, err := s.Database("database-77")
		check(err)
		times = append(times, time.Since(start))
		closeStore(s)
	}
	fmt.Printf("%-34s %10s %32s\n", "open a store of 100,000 databases", show(median(times)), "goal: under 1 s")
}

// bytesPerVersion counts what the versions of a site's database take, once
// compacted, against the pages that they changed.
func bytesPerVersion(dir string) {
	s := openStore(dir)
	defer closeStore(s)
	d, err := s.Create("site", pagestore.CreateOptions{})
	check(err)
	db := openDB(s, "site")
	for _, q := range []string{
		"CREATE TABLE wp_options(option_id INTEGER PRIMARY KEY AUTOINCREMENT, option_name TEXT UNIQUE, option_value TEXT, autoload TEXT DEFAULT 'yes')",
		"CREATE INDEX autoload ON wp_options(autoload)",
		"CREATE TABLE wp_posts(ID INTEGER PRIMARY KEY AUTOINCREMENT, post_author INT, post_date TEXT, post_content TEXT, post_title TEXT, post_status TEXT, post_name TEXT, post_modified TEXT, post_parent INT, post_type TEXT, comment_count INT)",
		"CREATE INDEX post_name ON wp_posts(post_name)",
		"CREATE INDEX type_status_date ON wp_posts(post_type, post_status, post_date, ID)",
		"CREATE INDEX post_parent ON wp_posts(post_parent)",
		"CREATE TABLE wp_postmeta(meta_id INTEGER PRIMARY KEY AUTOINCREMENT, post_id INT, meta_key TEXT, meta_value TEXT)",
		"CREATE INDEX post_id ON wp_postmeta(post_id)",
		"CREATE INDEX meta_key ON wp_postmeta(meta_key)",
		"CREATE TABLE wp_comments(comment_ID INTEGER PRIMARY KEY AUTOINCREMENT, comment_post_ID INT, comment_author TEXT, comment_date TEXT, comment_content TEXT, comment_approved TEXT)",
		"CREATE INDEX comment_post_ID ON wp_comments(comment_post_ID)",
		"CREATE INDEX comment_approved_date ON wp_comments(comment_approved, comment_date)",
	} {
		do(db, q)
	}
	rng := rand.New(rand.NewPCG(6, 6))
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	tx := func(f func(*sql.Tx)) {
		t, err := db.Begin()
		check(err)
		f(t)
		check(t.Commit())
	}
	post := func(t *sql.Tx) {
		now = now.Add(time.Minute)
		at := now.Format(time.DateTime)
		r, err := t.Exec("INSERT INTO wp_posts(post_author, post_date, post_content, post_title, post_status, post_name, post_modified, post_parent, post_type, comment_count) VALUES(1, ?, ?, ?, 'publish', ?, ?, 0, 'post', 0)",
			at, text(rng, 500+rng.IntN(3000)), text(rng, 40), text(rng, 30), at)
		check(err)
		id, _ := r.LastInsertId()
		for _, k := range []string{"_edit_last", "_edit_lock", "_thumbnail_id"} {
			do(t, "INSERT INTO wp_postmeta(post_id, meta_key, meta_value) VALUES(?, ?, ?)", id, k, text(rng, 20))
		}
	}
	tx(func(t *sql.Tx) {
		for i := range 300 {
			do(t, "INSERT INTO wp_options(option_name, option_value) VALUES(?, ?)", fmt.Sprintf("option_%d", i), text(rng, 20+rng.IntN(400)))
		}
		for range 500 {
			post(t)
		}
	})
	from := d.Head().Version
	before := compacted(d)
	for range scale(3000) {
		tx(func(t *sql.Tx) {
			now = now.Add(time.Minute)
			at := now.Format(time.DateTime)
			switch k := rng.IntN(20); {
			case k < 1:
				post(t)
			case k < 4: // an edited post
				do(t, "UPDATE wp_posts SET post_content = post_content || ?, post_modified = ? WHERE ID = ?", text(rng, 60), at, 1+rng.IntN(500))
				do(t, "UPDATE wp_postmeta SET meta_value = ? WHERE post_id = ? AND meta_key = '_edit_lock'", at, 1+rng.IntN(500))
			case k < 9: // a comment
				id := 1 + rng.IntN(500)
				do(t, "INSERT INTO wp_comments(comment_post_ID, comment_author, comment_date, comment_content, comment_approved) VALUES(?, ?, ?, ?, '1')", id, text(rng, 12), at, text(rng, 200))
				do(t, "UPDATE wp_posts SET comment_count = comment_count + 1 WHERE ID = ?", id)
			case k < 14: // a transient
				do(t, "INSERT INTO wp_options(option_name, option_value, autoload) VALUES(?, ?, 'no') ON CONFLICT(option_name) DO UPDATE SET option_value = excluded.option_value",
					fmt.Sprintf("_transient_%d", rng.IntN(40)), text(rng, 100+rng.IntN(1000)))
			default: // an option, as cron's and counters' are
				do(t, "UPDATE wp_options SET option_value = ? WHERE option_id = ?", text(rng, 20+rng.IntN(400)), 1+rng.IntN(300))
			}
		})
	}
	check(db.Close())
	changed, records := 0, int64(0)
	for c, err := range d.Log(pagestore.LogOptions{}) {
		check(err)
		if c.Version > from {
			changed += int(c.Changed)
			records += c.Stored
		}
	}
	after := compacted(d)
	versions := int64(d.Head().Version - from)
	raw := int64(changed) * 4096
	fmt.Printf("%-34s %7d B on disk, %d B as records, %d B as pages: 1/%.1f %s\n", "bytes for a version (WordPress)",
		(after-before)/versions, records/versions, raw/versions, float64(raw)/float64(after-before), "goal: 1/16")
}

func compacted(d *pagestore.Database) int64 {
	check(d.Store().Compact(context.Background()))
	st, err := d.Stat()
	check(err)
	return st.DiskBytes
}
