package sqlite

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hako-run/hako/pagestore"
)

// plainFile makes an SQLite file with the given statements and returns its
// path. It is closed.
func plainFile(t testing.TB, params string, statements ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.sqlite")
	c := openPlain(t, path+params)
	exec(t, c, statements...)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

const someRows = "INSERT INTO t(b) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<1000) SELECT hex(i)||zeroblob(i) FROM n"

func TestImportedFileExportsByteExact(t *testing.T) {
	for name, statements := range map[string][]string{
		"plain":       {},
		"16k pages":   {"PRAGMA page_size=16384"},
		"64k pages":   {"PRAGMA page_size=65536"},
		"auto_vacuum": {"PRAGMA auto_vacuum=FULL"},
		"utf16":       {"PRAGMA encoding='UTF-16le'"},
		"wal":         {"PRAGMA journal_mode=WAL"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.sqlite")
			c := openPlain(t, path)
			exec(t, c, append(statements, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)", someRows, "DELETE FROM t WHERE a % 7 = 1", "PRAGMA wal_checkpoint(TRUNCATE)")...)
			original, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			s := newStore(t)
			var last ImportProgress
			db, err := Import(context.Background(), s, "shop", path, ImportOptions{Progress: func(p ImportProgress) {
				switch {
				case p.Step == ImportCheck && last.Step != ImportCopy && p.Total == 0 && p.Elapsed >= last.Elapsed:
				case p.Step == ImportCopy && last.Step != "" && p.Done > last.Done && p.Done <= p.Total && p.Total == int64(len(original)):
				default:
					t.Errorf("progress: %+v after %+v", p, last)
				}
				last = p
			}})
			if err != nil {
				t.Fatal(err)
			}
			if last.Done != int64(len(original)) {
				t.Errorf("progress ended with %+v", last)
			}
			conn := openConn(t, s, "shop")
			want(t, query(t, conn, "SELECT count(*), sum(length(b)) FROM t"), query(t, c, "SELECT count(*), sum(length(b)) FROM t"))
			exec(t, conn, "INSERT INTO t(b) VALUES ('later')")
			integrity(t, conn)
			at, err := db.Snapshot(1)
			if err != nil {
				t.Fatal(err)
			}
			defer at.Close()
			branch, err := s.Branch(at, "branch")
			if err != nil {
				t.Fatal(err)
			}
			began, err := branch.Snapshot(0)
			if err != nil {
				t.Fatal(err)
			}
			defer began.Close()
			for _, snap := range []*pagestore.Snapshot{at, began} {
				out := filepath.Join(t.TempDir(), "out.sqlite")
				if err := Export(context.Background(), snap, out, ExportOptions{}); err != nil {
					t.Fatal(err)
				}
				if exported, err := os.ReadFile(out); err != nil || !bytes.Equal(exported, original) {
					t.Errorf("%v exports %d bytes that differ from the %d imported ones (%v)", snap, len(exported), len(original), err)
				}
			}
			exec(t, openConn(t, s, "branch"), "INSERT INTO t(b) VALUES ('on the branch')")
			integrity(t, openConn(t, s, "branch"))
		})
	}
}

func TestExportedFileIsAnOrdinaryDatabase(t *testing.T) {
	s := newStore(t)
	c := openConn(t, s, "shop")
	exec(t, c, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)", someRows, "DELETE FROM t WHERE a > 900")
	snap, err := s.Snapshot(pagestore.Ref{Database: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	path := filepath.Join(t.TempDir(), "out.sqlite")
	if err := Export(context.Background(), snap, path, ExportOptions{}); err != nil {
		t.Fatal(err)
	}
	plain := openPlain(t, path)
	integrity(t, plain)
	want(t, query(t, plain, "SELECT * FROM t"), query(t, c, "SELECT * FROM t"))
	if err := Export(context.Background(), snap, path, ExportOptions{}); !errors.Is(err, ErrFileExists) {
		t.Errorf("overwriting: %v", err)
	}
	plain.Close()
	if err := Export(context.Background(), snap, path, ExportOptions{Overwrite: true}); err != nil {
		t.Error(err)
	}
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	if err := Export(canceled, snap, filepath.Join(filepath.Dir(path), "never"), ExportOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestImportTakesWALAndHotJournalIn(t *testing.T) {
	for _, mode := range []string{"WAL", "DELETE"} {
		path := filepath.Join(t.TempDir(), "x.sqlite")
		c := openPlain(t, path+"?_journal_mode="+mode)
		exec(t, c, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)", someRows)
		if mode == "WAL" {
			exec(t, c, "INSERT INTO t(b) VALUES ('in the WAL')")
		} else { // pages written and then a crash: the journal takes them back
			exec(t, c, "PRAGMA cache_size=2", "BEGIN", "UPDATE t SET b = hex(b)")
		}
		copied := filepath.Join(t.TempDir(), "copy.sqlite")
		for _, suffix := range []string{"", "-wal", "-journal"} {
			if b, err := os.ReadFile(path + suffix); err == nil {
				if err := os.WriteFile(copied+suffix, b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		s := newStore(t)
		if _, err := Import(context.Background(), s, "shop", copied, ImportOptions{}); err != nil {
			t.Fatalf("%s: %v", mode, err)
		}
		count := map[string]string{"WAL": "1001", "DELETE": "1000"}[mode]
		conn := openConn(t, s, "shop")
		integrity(t, conn)
		want(t, query(t, conn, "SELECT count(*) FROM t"), count)
		if mode == "DELETE" {
			want(t, query(t, conn, "SELECT sum(length(b)) FROM t"), "5786")
		}
	}
}

func TestImportRefusesWhatIsNoSoundDatabase(t *testing.T) {
	good, err := os.ReadFile(plainFile(t, "", "CREATE TABLE t(a INTEGER PRIMARY KEY, b)", "CREATE INDEX i ON t(b)", someRows))
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(good)
	for i := 4096; i < len(flipped); i += 4096 {
		flipped[i] ^= 0xff
	}
	s := newStore(t)
	for name, content := range map[string][]byte{
		"empty":    {},
		"text":     []byte(strings.Repeat("Dear Sir or Madam, ", 100)),
		"header":   good[:100],
		"cut":      good[:len(good)/2/4096*4096],
		"flipped":  flipped,
		"no pages": append(bytes.Clone(good[:16]), make([]byte, 5000)...),
	} {
		path := filepath.Join(t.TempDir(), "x.sqlite")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Import(context.Background(), s, "shop", path, ImportOptions{}); !errors.Is(err, ErrNotSQLite) || errors.Is(err, ErrDamagedFile) != (name == "header" || name == "cut" || name == "flipped") {
			t.Errorf("%s: %v", name, err)
		}
	}
	path := filepath.Join(t.TempDir(), "x.sqlite")
	if err := os.WriteFile(path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, step := range []ImportStep{ImportCheck, ImportCopy} {
		ctx, cancel := context.WithCancel(context.Background())
		if _, err := Import(ctx, s, "shop", path, ImportOptions{Progress: func(p ImportProgress) {
			if p.Step == step {
				cancel()
			}
		}}); !errors.Is(err, context.Canceled) {
			t.Errorf("canceled while %s: %v", step, err)
		}
		cancel()
	}
	if list, err := s.Databases(); err != nil || len(list) != 0 {
		t.Errorf("databases left behind: %v, %v", list, err)
	}
	if _, err := Import(context.Background(), s, "shop", path, ImportOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := Import(context.Background(), s, "shop", path, ImportOptions{}); !errors.Is(err, pagestore.ErrExists) {
		t.Errorf("into a name that is taken: %v", err)
	}
}

func TestCheckTellsHowLongItTakes(t *testing.T) {
	var told []time.Duration
	enough := make(chan struct{})
	failure := errors.New("failure")
	err := during(time.Millisecond, func(elapsed time.Duration) {
		if told = append(told, elapsed); len(told) == 4 {
			close(enough)
		}
	}, func() error {
		<-enough
		return failure
	})
	if err != failure || told[0] != 0 || told[1] <= 0 || !slices.IsSorted(told) {
		t.Errorf("%v, told %v", err, told)
	}
}

func TestEmptyDatabaseKeepsItsPageSize(t *testing.T) {
	s := newStore(t)
	db, err := s.Create("big", pagestore.CreateOptions{PageSize: 65536})
	if err != nil {
		t.Fatal(err)
	}
	c := openConn(t, s, "big")
	want(t, query(t, c, "PRAGMA page_size"), "65536")
	exec(t, c, "CREATE TABLE t(a)", "INSERT INTO t VALUES (1)")
	want(t, query(t, c, "PRAGMA page_size"), "65536")
	if got := db.Head().PageSize; got != 65536 {
		t.Errorf("page size %d", got)
	}
}

// FuzzImport imports damaged files: no panic, no half-made database.
func FuzzImport(f *testing.F) {
	good, err := os.ReadFile(plainFile(f, "", "PRAGMA page_size=512", "CREATE TABLE t(a INTEGER PRIMARY KEY, b)", "CREATE INDEX i ON t(b)", "INSERT INTO t(b) VALUES (1), ('x'), (zeroblob(900))"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good, uint16(0), byte(0))
	f.Add(good, uint16(18), byte(3))
	f.Add(good, uint16(100), byte(0xf8))
	f.Add(good[:1024], uint16(513), byte(1))
	f.Fuzz(func(t *testing.T, content []byte, at uint16, flip byte) {
		if len(content) > 1<<16 {
			return
		}
		content = bytes.Clone(content)
		if int(at) < len(content) {
			content[at] ^= flip
		}
		path := filepath.Join(t.TempDir(), "x.sqlite")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		s := newStore(t)
		_, err := Import(context.Background(), s, "x", path, ImportOptions{})
		_, exists := s.Database("x")
		if (err == nil) != (exists == nil) {
			t.Fatalf("import: %v, database: %v", err, exists)
		}
		if err == nil {
			integrity(t, openConn(t, s, "x"))
		}
	})
}

// The long form passes the page at 1 GiB, which SQLite never uses.
func TestLargeFileThereAndBack(t *testing.T) {
	megabytes := effort(4, 1)
	if long() {
		megabytes = 1030
	}
	path := filepath.Join(t.TempDir(), "x.sqlite")
	c := openPlain(t, path)
	exec(t, c, "PRAGMA page_size=65536", "CREATE TABLE t(a INTEGER PRIMARY KEY, b)",
		fmt.Sprintf("INSERT INTO t(b) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%d) SELECT zeroblob(1000000)||i FROM n", megabytes*1<<20/1000000))
	s := newStore(t)
	db, err := Import(context.Background(), s, "big", path, ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	snap, err := db.HeadSnapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	hash := sha256.New()
	if err := WritePages(context.Background(), snap, hash, nil); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	original := sha256.New()
	if _, err := io.Copy(original, f); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(hash.Sum(nil), original.Sum(nil)) {
		t.Error("exports other bytes than were imported")
	}
	conn := openConn(t, s, "big")
	exec(t, conn, "INSERT INTO t(b) SELECT randomblob(3000000)", "UPDATE t SET b = 'x' WHERE a % 3 = 0", "INSERT INTO t(b) SELECT zeroblob(900000) FROM t WHERE a % 3 = 0")
	integrity(t, conn)
	want(t, query(t, conn, "SELECT count(*) FROM t WHERE b = 'x'"), fmt.Sprint(count(t, conn, "SELECT count(*) FROM t WHERE a % 3 = 0 AND length(b) = 1")))
}
