package sqlite

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hako-run/hako/pagestore"
)

// asWriter makes the test's program one that writes to a file: its value is
// the kind, its argument the path.
const asWriter = "HAKO_TEST_WRITER"

func TestMain(m *testing.M) {
	if kind := os.Getenv(asWriter); kind != "" {
		if err := writeForever(kind, os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const movers = 20 // accounts between which a writer moves money; the sum stays 0

// writeForever changes a file until standard input ends. It says when it has
// begun.
func writeForever(kind, path string) error {
	db, err := sql.Open("sqlite", "file:"+path+"?_busy_timeout=60000&_txlock=immediate")
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	ended := make(chan struct{})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(ended)
	}()
	begin := []string{
		"PRAGMA journal_mode=" + kind, "PRAGMA wal_autocheckpoint=4", "PRAGMA synchronous=NORMAL", "PRAGMA cache_size=10",
		"CREATE TABLE IF NOT EXISTS t(a INTEGER PRIMARY KEY, b INTEGER, c)", "CREATE INDEX IF NOT EXISTS i ON t(b)",
		fmt.Sprintf("INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%d) SELECT i, 0, randomblob(3000) FROM n", movers),
	}
	if kind == "EXCLUSIVE" {
		begin = append(begin[4:], "BEGIN EXCLUSIVE")
	}
	for _, q := range begin {
		if _, err := db.Exec(q); err != nil {
			return fmt.Errorf("%s: %w", q, err)
		}
	}
	fmt.Println("begun")
	if kind == "EXCLUSIVE" {
		<-ended
		return nil
	}
	for i := 0; ; i++ {
		select {
		case <-ended:
			return nil
		default:
		}
		tx, err := db.Begin()
		if err != nil {
			return err
		}
		for _, q := range []string{
			fmt.Sprintf("UPDATE t SET b = b + %d, c = randomblob(3000) WHERE a = 1 + %d", i, i%movers),
			fmt.Sprintf("UPDATE t SET b = b - %d, c = randomblob(3000) WHERE a = 1 + %d", i, (i*7+1)%movers),
		} {
			if _, err := tx.Exec(q); err != nil {
				return err
			}
		}
		if err := tx.Commit(); err != nil {
			return err
		}
		time.Sleep(time.Millisecond)
	}
}

// startWriter starts a process that writes to a file until the test ends or
// stop is called.
func startWriter(t *testing.T, kind, path string) (stop func()) {
	t.Helper()
	cmd := osexec.Command(os.Args[0], path)
	cmd.Env = append(os.Environ(), asWriter+"="+kind)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("writer: %v: %s", err, errs.String())
		}
	}
	t.Cleanup(stop)
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "begun\n" {
		t.Fatalf("writer: %q, %v: %s", line, err, errs.String())
	}
	return stop
}

// balanced fails the test unless the database is what some commit of a writer
// left.
func balanced(t *testing.T, q querier) {
	t.Helper()
	integrity(t, q)
	want(t, query(t, q, "SELECT count(*), sum(b) FROM t"), fmt.Sprintf("%d|0", movers))
}

func TestImportOfAFileInUse(t *testing.T) {
	for _, kind := range []string{"WAL", "DELETE", "PERSIST", "TRUNCATE"} {
		t.Run(kind, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.sqlite")
			stop := startWriter(t, kind, path)
			s := newStore(t)
			for i := range effort(6, 2) {
				name := fmt.Sprint("x", i)
				if _, err := Import(t.Context(), s, name, path, ImportOptions{}); err != nil {
					t.Fatal(err)
				}
				balanced(t, openConn(t, s, name))
			}
			stop() // which tells of errors of its own
			emptyTemp(t, s)
		})
	}
}

// Where there are no locks a copy is of one moment, or refused.
func TestCopyWithoutLocks(t *testing.T) {
	for _, kind := range []string{"WAL", "DELETE"} {
		path := filepath.Join(t.TempDir(), "x.sqlite")
		stop := startWriter(t, kind, path)
		whole := 0
		for range effort(40, 10) {
			u, err := openUserFile(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			u.close()
			if u.f, err = os.Open(path); err != nil {
				t.Fatal(err)
			}
			u.locked = false
			dir := t.TempDir()
			copied, err := u.copyTo(t.Context(), dir, func(int64, int64) {})
			u.close()
			if errors.Is(err, ErrFileBusy) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			whole++
			balanced(t, openPlain(t, copied))
		}
		stop()
		t.Logf("%s: %d whole copies", kind, whole)
	}
}

func TestImportOfALockedFile(t *testing.T) {
	defer func(d time.Duration) { lockWait = d }(lockWait)
	lockWait = 100 * time.Millisecond
	path := filepath.Join(t.TempDir(), "x.sqlite")
	stop := startWriter(t, "EXCLUSIVE", path)
	s := newStore(t)
	if _, err := Import(t.Context(), s, "x", path, ImportOptions{}); !errors.Is(err, ErrFileBusy) {
		t.Errorf("locked: %v", err)
	}
	lockWait = time.Hour
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Import(ctx, s, "x", path, ImportOptions{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("locked, and impatient: %v", err)
	}
	stop()
	if _, err := Import(t.Context(), s, "x", path, ImportOptions{}); err != nil {
		t.Errorf("after the lock: %v", err)
	}
}

// folder describes a directory and all in it, such that any change shows.
func folder(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		var content []byte
		if info.Mode().IsRegular() {
			if content, err = os.ReadFile(path); err != nil {
				return err
			}
		}
		fmt.Fprintf(&b, "%s %v %v %d %x\n", path, info.Mode(), info.ModTime(), info.Size(), sha256.Sum256(content))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// emptyTemp fails the test if something was left in a store's directory for
// temporary files.
func emptyTemp(t *testing.T, s *pagestore.Store) {
	t.Helper()
	left, err := os.ReadDir(filepath.Join(s.Dir(), "tmp"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// abandoned copies a database with all that lies beside it now, as a crash
// would leave it, to a folder, and returns its path there.
func abandoned(t *testing.T, path, dir string, suffixes ...string) string {
	t.Helper()
	to := filepath.Join(dir, "mine.sqlite")
	for _, suffix := range append(suffixes, "") {
		b, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to+suffix, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

func TestImportTouchesNothing(t *testing.T) {
	inWAL := []string{"PRAGMA journal_mode=WAL", "CREATE TABLE t(a INTEGER PRIMARY KEY, b)", someRows, "PRAGMA wal_checkpoint(TRUNCATE)"}
	inTx := []string{"PRAGMA cache_size=2", "BEGIN", "UPDATE t SET b = hex(b)"}
	for name, c := range map[string]struct {
		statements []string
		beside     []string // what a crash leaves
		rows       string
		aside      bool
	}{
		"rollback journal":    {[]string{"CREATE TABLE t(a INTEGER PRIMARY KEY, b)", someRows}, nil, "1000|5786", false},
		"kept journal":        {[]string{"PRAGMA journal_mode=PERSIST", "CREATE TABLE t(a INTEGER PRIMARY KEY, b)", someRows}, []string{"-journal"}, "1000|5786", false},
		"hot journal":         {append([]string{"CREATE TABLE t(a INTEGER PRIMARY KEY, b)", someRows}, inTx...), []string{"-journal"}, "1000|5786", true},
		"WAL mode, no WAL":    {inWAL, nil, "1000|5786", false},
		"WAL mode, empty WAL": {inWAL, []string{"-wal", "-shm"}, "1000|5786", false},
		"WAL":                 {append(inWAL, "INSERT INTO t(b) VALUES ('later')"), []string{"-wal"}, "1001|5791", true},
		"WAL and SHM":         {append(inWAL, "INSERT INTO t(b) VALUES ('later')"), []string{"-wal", "-shm"}, "1001|5791", true},
	} {
		for _, mode := range []fs.FileMode{0o755, 0o555} {
			t.Run(fmt.Sprintf("%s %o", name, mode), func(t *testing.T) {
				original := filepath.Join(t.TempDir(), "x.sqlite")
				conn := openPlain(t, original)
				exec(t, conn, c.statements...)
				dir := t.TempDir()
				path := abandoned(t, original, dir, c.beside...)
				for _, d := range []string{path, dir} {
					if err := os.Chmod(d, mode); err != nil {
						t.Fatal(err)
					}
				}
				t.Cleanup(func() { os.Chmod(dir, 0o755) })
				before := folder(t, dir)
				s := newStore(t)
				aside := false
				_, err := Import(t.Context(), s, "x", path, ImportOptions{Progress: func(p ImportProgress) {
					aside = aside || p.Step == ImportAside
				}})
				if err != nil {
					t.Fatal(err)
				}
				if after := folder(t, dir); after != before {
					t.Errorf("before:\n%safter:\n%s", before, after)
				}
				if aside != c.aside {
					t.Errorf("copied aside: %v", aside)
				}
				got := openConn(t, s, "x")
				integrity(t, got)
				want(t, query(t, got, "SELECT count(*), sum(length(b)) FROM t"), c.rows)
				emptyTemp(t, s)
			})
		}
	}
}

// A symbolic link leads to what lies beside the file, not beside the link.
func TestImportThroughALink(t *testing.T) {
	original := filepath.Join(t.TempDir(), "x.sqlite")
	exec(t, openPlain(t, original), "PRAGMA journal_mode=WAL", "CREATE TABLE t(a)", "INSERT INTO t VALUES (1)")
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(abandoned(t, original, t.TempDir(), "-wal"), link); err != nil {
		t.Fatal(err)
	}
	s := newStore(t)
	if _, err := Import(t.Context(), s, "x", link, ImportOptions{}); err != nil {
		t.Fatal(err)
	}
	want(t, query(t, openConn(t, s, "x"), "SELECT a FROM t"), "1")
}

// FuzzImportBeside imports a file with a damaged journal and WAL beside it.
func FuzzImportBeside(f *testing.F) {
	dir := f.TempDir()
	path := filepath.Join(dir, "x.sqlite")
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		f.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	side := func(suffix string, statements ...string) []byte {
		for _, q := range statements {
			if _, err := db.Exec(q); err != nil {
				f.Fatal(err)
			}
		}
		b, err := os.ReadFile(path + suffix)
		if err != nil {
			f.Fatal(err)
		}
		return b
	}
	good := side("", "PRAGMA page_size=512", "CREATE TABLE t(a INTEGER PRIMARY KEY, b)", "INSERT INTO t(b) VALUES (1), ('x'), (zeroblob(900))")
	journal := side("-journal", "PRAGMA cache_size=1", "BEGIN", "UPDATE t SET b = zeroblob(2000)")
	wal := side("-wal", "ROLLBACK", "PRAGMA journal_mode=WAL", "INSERT INTO t(b) VALUES ('later')")
	f.Add(journal, []byte{}, uint16(0), byte(0))
	f.Add([]byte{}, wal, uint16(0), byte(0))
	f.Add(journal, wal, uint16(16), byte(1))
	f.Fuzz(func(t *testing.T, journal, wal []byte, at uint16, flip byte) {
		if len(journal)+len(wal) > 1<<16 {
			return
		}
		path := filepath.Join(t.TempDir(), "x.sqlite")
		for suffix, b := range map[string][]byte{"": good, "-journal": journal, "-wal": wal} {
			if b = bytes.Clone(b); suffix != "" && int(at) < len(b) {
				b[at] ^= flip
			}
			if len(b) > 0 {
				if err := os.WriteFile(path+suffix, b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		before := folder(t, filepath.Dir(path))
		s := newStore(t)
		_, err := Import(context.Background(), s, "x", path, ImportOptions{})
		_, exists := s.Database("x")
		if (err == nil) != (exists == nil) {
			t.Fatalf("import: %v, database: %v", err, exists)
		}
		if after := folder(t, filepath.Dir(path)); after != before {
			t.Errorf("before:\n%safter:\n%s", before, after)
		}
		if err == nil {
			integrity(t, openConn(t, s, "x"))
		}
		emptyTemp(t, s)
	})
}
