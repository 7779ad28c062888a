package php

import (
	"sync"
	"testing"

	"github.com/hako-run/hako/app"
	"github.com/hako-run/hako/pagestore"
)

// PDO and SQLite3 open a granted database, and other paths as files.
func TestSQLite(t *testing.T) {
	modes(t, func(t *testing.T, session bool) {
		db := newDatabase(t)
		s := serve(t, files{
			"make.php": `<?php $db = new PDO('sqlite:/db/site.sqlite'); $db->exec('CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, v TEXT)'); echo 'made';`,
			"add.php": `<?php $db = new PDO('sqlite:/db/site.sqlite', null, null, [PDO::ATTR_TIMEOUT => 60]);
				$db->beginTransaction(); $db->prepare('INSERT INTO t(v) VALUES(?)')->execute([$_GET['v']]); $db->commit(); echo 'added';`,
			"persistent.php": `<?php $db = new PDO('sqlite:/db/site.sqlite', null, null, [PDO::ATTR_PERSISTENT => true, PDO::ATTR_TIMEOUT => 60]);
				echo $db->query('SELECT count(*) FROM t')->fetchColumn();`,
			"class.php": `<?php $db = new SQLite3('/db/site.sqlite', SQLITE3_OPEN_READONLY); echo $db->querySingle('SELECT count(*) FROM t');`,
			"die.php":   `<?php $db = new PDO('sqlite:/db/site.sqlite'); $db->beginTransaction(); $db->exec("INSERT INTO t(v) VALUES('lost')"); ` + `if (isset($_GET['exit'])) exit('left'); undefined();`,
			"file.php": `<?php @unlink('/data/own.sqlite'); $db = new PDO('sqlite:/data/own.sqlite'); $db->exec('CREATE TABLE t(v); INSERT INTO t VALUES(7)');
				$m = new PDO('sqlite::memory:'); echo $db->query('SELECT v FROM t')->fetchColumn(), $m->query('SELECT 8')->fetchColumn(), filesize('/data/own.sqlite') > 0 ? 'file' : '';`,
			"other.php":   `<?php try { new PDO('sqlite:/db/other.sqlite'); echo 'opened'; } catch (PDOException $e) { echo 'refused'; }`,
			"version.php": `<?php $db = new PDO('sqlite:/db/site.sqlite'); echo $db->query('SELECT hako_version()')->fetchColumn();`,
		}, func(c *app.ServiceConfig) {
			c.Session, c.Warm = session, []string{"/make.php", "/persistent.php", "/class.php"}
			c.Spec.Databases = []app.DatabaseGrant{{Snapshot: db, Guest: "/db/site.sqlite"}}
		})
		s.want("/persistent.php", 200, "0")
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				for range 8 {
					if a, err := s.do("GET", "/add.php?v=x", nil); err != nil || a.body != "added" {
						t.Errorf("%v, %s\n%s", err, a.body, s.log)
					}
				}
			})
		}
		wg.Wait()
		if a := s.get("/die.php"); a.StatusCode != 500 {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
		s.want("/die.php?exit", 200, "left")
		for range 2 {
			s.want("/persistent.php", 200, "40")
			s.want("/class.php", 200, "40")
		}
		s.want("/version.php", 200, "41")
		s.want("/file.php", 200, "78file")
		s.want("/other.php", 200, "refused")
		w, err := theWorld()
		if err != nil {
			t.Fatal(err)
		}
		ref, err := pagestore.ParseRef(db)
		if err != nil {
			t.Fatal(err)
		}
		snap, err := w.store.Snapshot(ref)
		if err != nil {
			t.Fatal(err)
		}
		defer snap.Close()
		if snap.Version() != 41 {
			t.Errorf("the store has version %d", snap.Version())
		}
	})
}
