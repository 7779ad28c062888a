package cli

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/hako-run/hako/pagestore"
	"github.com/mattn/go-runewidth"
	_ "modernc.org/sqlite"
)

// A harness runs command lines on a data directory of its own.
type harness struct {
	t    *testing.T
	data string
	fs   vfs.FS

	checkMemory int64 // 0: as usual
}

func newHarness(t *testing.T) *harness {
	t.Helper()
	t.Setenv("TZ", "UTC")
	return &harness{t: t, data: filepath.Join(t.TempDir(), "data")}
}

func (h *harness) run(in string, args ...string) (code int, out, errs string) {
	h.t.Helper()
	var o, e bytes.Buffer
	a := newApp(Streams{strings.NewReader(in), &o, &e})
	a.storeOptions.FS = h.fs
	if h.checkMemory != 0 {
		a.checkMemory = h.checkMemory
	}
	code = a.run(h.t.Context(), append([]string{"--data", h.data}, args...))
	return code, o.String(), e.String()
}

// ok runs a command that must succeed, and returns what it printed.
func (h *harness) ok(args ...string) string {
	h.t.Helper()
	code, out, errs := h.run("", args...)
	if code != exitOK || errs != "" {
		h.t.Fatalf("%v: exit code %d\n%s\n%s", args, code, out, errs)
	}
	return out
}

// fails runs a command that must fail with the code and say want.
func (h *harness) fails(code int, want string, args ...string) {
	h.t.Helper()
	got, out, errs := h.run("", args...)
	if got != code || !strings.Contains(errs, want) || !strings.HasPrefix(errs, "hako: ") {
		h.t.Errorf("%v: exit code %d, not %d\n%s\n%s\nlacks %q", args, got, code, out, errs, want)
	}
}

// equal compares what a command prints, with times and sizes that vary
// replaced, with want.
func (h *harness) equal(want string, args ...string) {
	h.t.Helper()
	out := h.ok(args...)
	out = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`).ReplaceAllString(out, "TIME")
	if out != want {
		h.t.Errorf("%v prints\n%s\nnot\n%s", args, out, want)
	}
}

func (h *harness) sample() {
	h.t.Helper()
	h.ok("db", "create", "shop")
	h.ok("db", "shell", "shop", "CREATE TABLE orders(id INTEGER PRIMARY KEY, what TEXT)")
	h.ok("db", "shell", "shop", "INSERT INTO orders VALUES (1, 'a box'), (2, 'a bag')")
	h.ok("db", "shell", "shop", "UPDATE orders SET what = 'a bow' WHERE id = 2")
}

func TestDatabaseFromCreateToDelete(t *testing.T) {
	h := newHarness(t)
	h.equal("no databases yet: make one with `hako db create NAME` or `hako db import NAME FILE`\n", "db", "list")
	h.equal("[]\n", "db", "list", "--json")
	h.sample()
	h.equal("1|a box\n2|a bow\n", "db", "shell", "shop", "SELECT * FROM orders")
	h.equal("1|a box\n2|a bag\n", "db", "shell", "shop@2", "SELECT * FROM orders")
	h.equal("[{\"id\":1}]\n", "db", "shell", "--json", "shop@-0s", "SELECT id FROM orders LIMIT 1")
	h.equal("id\r\n1\r\n", "db", "shell", "--mode", "csv", "--headers", "shop", "SELECT id FROM orders LIMIT 1")
	h.equal("", "db", "shell", "shop", " ")
	h.equal("orders\n1\n", "db", "shell", "shop", ".tables", "SELECT 1")
	h.equal("tagged shop@2 as good\n", "db", "tag", "shop@2", "good")
	h.equal("dev begins as shop@2\n", "db", "branch", "shop@good", "dev")
	h.equal("created copy from shop@3\n", "db", "create", "copy", "--from", "shop")
	h.equal("created wiki\n", "db", "create", "wiki", "--page-size", "1024", "--retain", "30d")
	h.equal("wiki is now at version 1, equal to shop@2; what it was is wiki@0\n", "db", "restore", "wiki", "shop@2")
	h.equal("a bag\n", "db", "shell", "wiki", "SELECT what FROM orders WHERE id = 2")
	h.equal("removed the tag good of shop\n", "db", "untag", "shop", "good")
	h.equal("dev is now preview\n", "db", "rename", "dev", "preview")
	h.equal(`NAME     VERSION     SIZE  CHANGED                   RETAIN  FROM
copy           0  8.0 KiB  TIME  all     shop@3
preview        0  8.0 KiB  TIME  all     shop@2
shop           3  8.0 KiB  TIME  all
wiki           1  8.0 KiB  TIME  30d
`, "db", "list")
	h.equal("shop retains the newest 2 versions\n", "db", "retain", "shop", "2")
	h.equal("copy: ok, up to version 0\npreview: ok, up to version 0\nshop: ok, up to version 3\nwiki: ok, up to version 1\n", "db", "verify")
	h.equal("deleted copy\n", "db", "delete", "copy", "--yes")
	h.fails(exitFailed, "unknown database \"copy\"", "db", "show", "copy")
	out := h.ok("db", "show", "shop")
	for _, want := range []string{"name        shop\n", "version     3\n", "size        8.0 KiB (2 pages of 4.0 KiB)\n", "retain      2\n", "branches    1\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("show lacks %q:\n%s", want, out)
		}
	}
	if out := h.ok("db", "stat", "shop"); !strings.Contains(out, "page versions  4 (") {
		t.Errorf("stat prints\n%s", out)
	}
}

func TestLog(t *testing.T) {
	h := newHarness(t)
	h.ok("db", "create", "shop")
	h.equal("no versions\n", "db", "log", "shop")
	h.equal("[]\n", "db", "log", "shop", "--json")
	h.sampleInto()
	h.ok("db", "tag", "shop@2", "good")
	h.ok("db", "tag", "shop@2", "better")
	h.ok("db", "restore", "shop", "shop@2")
	out := h.ok("db", "log", "shop")
	lines := strings.Split(out, "\n")
	if len(lines) != 6 || !strings.HasPrefix(lines[0], "VERSION  TIME") || !strings.HasSuffix(lines[1], "restore of shop@2") || !strings.Contains(lines[3], "better, good") {
		t.Errorf("log prints\n%s", out)
	}
	var log []commitJSON
	if err := json.Unmarshal([]byte(h.ok("db", "log", "shop", "--json", "--limit", "3")), &log); err != nil {
		t.Fatal(err)
	}
	if len(log) != 3 || log[0].Version != 4 || log[0].Note != "restore of shop@2" || len(log[2].Tags) != 2 || len(log[0].Hash) != 64 {
		t.Errorf("log --json is %+v", log)
	}
	if when, err := time.Parse(time.RFC3339Nano, log[0].Time); err != nil || when.Location() != time.UTC || time.Since(when) > time.Hour {
		t.Errorf("time %s: %v", log[0].Time, err)
	}
	if out := h.ok("db", "log", "shop@2"); strings.Count(out, "\n") != 3 {
		t.Errorf("log of shop@2 prints\n%s", out)
	}
	if out := h.ok("db", "log", "shop", "--since", "1h"); strings.Count(out, "\n") != 5 {
		t.Errorf("log --since 1h prints\n%s", out)
	}
	h.equal("no versions\n", "db", "log", "shop", "--since", time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	h.fails(exitUsage, "--since \"soon\" is neither a time", "db", "log", "shop", "--since", "soon")
	h.fails(exitUsage, "--limit -1", "db", "log", "shop", "--limit", "-1")
}

// sampleInto is sample for a database that exists.
func (h *harness) sampleInto() {
	h.t.Helper()
	code, _, errs := h.run("CREATE TABLE orders(id INTEGER PRIMARY KEY, what TEXT);\nINSERT INTO orders VALUES (1, 'a box'), (2, 'a bag');\nUPDATE orders SET what = 'a bow' WHERE id = 2", "db", "shell", "shop")
	if code != exitOK {
		h.t.Fatal(errs)
	}
}

func TestDiff(t *testing.T) {
	h := newHarness(t)
	h.sample()
	h.equal("orders  +0 -0 ~1\n  ~ id=2 what: 'a bag' -> 'a bow'\n", "db", "diff", "shop@2", "shop")
	h.equal("orders  +0 -0 ~1\n", "db", "diff", "shop@2", "shop", "--rows", "0")
	h.equal("nothing differs\n", "db", "diff", "shop", "shop@3")
	h.equal("{\"table\":\"orders\",\"change\":\"changed\",\"rowid\":2,\"old\":{\"id\":2,\"what\":\"a bag\"},\"new\":{\"id\":2,\"what\":\"a bow\"}}\n{\"table\":\"orders\",\"added\":0,\"removed\":0,\"changed\":1}\n", "db", "diff", "shop@2", "shop", "--json")
	h.ok("db", "branch", "shop@2", "dev")
	h.ok("db", "shell", "dev", "INSERT INTO orders VALUES (3, 'an ''apple'''); CREATE TABLE other(x)")
	patch := h.ok("db", "diff", "dev", "shop", "--sql")
	if code, _, errs := h.run(patch, "db", "shell", "dev"); code != exitOK {
		t.Fatalf("the patch fails: %s\n%s", errs, patch)
	}
	h.equal("nothing differs\n", "db", "diff", "dev", "shop")
	h.fails(exitUsage, "exclude each other", "db", "diff", "shop", "shop", "--sql", "--json")
}

func TestImportAndExport(t *testing.T) {
	h := newHarness(t)
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	db, err := sql.Open("sqlite", file("in.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("CREATE TABLE t(a); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) INSERT INTO t SELECT hex(i * i) || ' and some text' FROM n"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if out := h.ok("db", "import", "shop", file("in.sqlite"), "--retain", "100"); !strings.HasPrefix(out, "imported "+file("in.sqlite")+" as shop: ") {
		t.Errorf("import prints %s", out)
	}
	h.fails(exitFailed, "name is taken", "db", "import", "shop", file("in.sqlite"))
	if out := h.ok("db", "export", "shop", file("out.sqlite")); !strings.HasPrefix(out, "exported shop@1 to ") {
		t.Errorf("export prints %s", out)
	}
	in, err := os.ReadFile(file("in.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := os.ReadFile(file("out.sqlite")); err != nil || !bytes.Equal(in, out) {
		t.Errorf("the exported file differs (%v)", err)
	}
	if out := h.ok("db", "export", "shop", "-"); out != string(in) {
		t.Error("what is exported to standard output differs")
	}
	h.fails(exitFailed, "--force overwrites it", "db", "export", "shop", file("out.sqlite"))
	h.ok("db", "export", "shop", file("out.sqlite"), "--force")
	for i := 5000; i < 9000; i++ {
		in[i] ^= 0x55
	}
	if err := os.WriteFile(file("bad.sqlite"), in, 0o600); err != nil {
		t.Fatal(err)
	}
	h.fails(exitFailed, "not a sound SQLite database", "db", "import", "bad", file("bad.sqlite"))
	h.fails(exitFailed, "no such file", "db", "import", "bad", file("none.sqlite"))
	h.fails(exitFailed, "unknown database \"bad\"", "db", "show", "bad")
}

func TestTrim(t *testing.T) {
	h := newHarness(t)
	h.sample()
	h.ok("db", "tag", "shop@1", "first")
	for _, dry := range []bool{true, false} {
		args := []string{"db", "trim", "shop", "--before", "3", "--json"}
		if dry {
			args = append(args, "--dry-run")
		}
		var r trimJSON
		if err := json.Unmarshal([]byte(h.ok(args...)), &r); err != nil {
			t.Fatal(err)
		}
		if r.DryRun != dry || r.Versions == 0 || r.Oldest != 3 || len(r.Kept) != 1 || r.Kept[0] != 1 {
			t.Errorf("trim is %+v", r)
		}
		if dry {
			h.equal("2\n", "db", "shell", "shop@2", "SELECT count(*) FROM orders")
		}
	}
	h.fails(exitFailed, "version 2 of shop was trimmed: kept are 1 and 3", "db", "show", "shop@2")
	h.equal("0\n", "db", "shell", "shop@first", "SELECT count(*) FROM orders")
	if out := h.ok("db", "trim", "shop", "--keep", "1"); out != "nothing to drop of shop: kept from version 3\n" {
		t.Errorf("trim prints %s", out)
	}
	h.ok("db", "create", "blog")
	h.fails(exitUsage, "shop retains all versions: say what to drop", "db", "trim", "shop")
	h.fails(exitUsage, "needs a NAME, or --all", "db", "trim")
	h.fails(exitUsage, "exclude each other", "db", "trim", "shop", "--keep", "1", "--before", "1")
	h.fails(exitUsage, "--all applies what each database retains", "db", "trim", "shop", "--all")
	h.fails(exitUsage, "--all applies what each database retains", "db", "trim", "--all", "--keep", "1")
	h.fails(exitUsage, "--keep all drops nothing", "db", "trim", "shop", "--keep", "all")
	h.fails(exitUsage, "retention \"soon\"", "db", "trim", "shop", "--keep", "soon")
	h.fails(exitUsage, "is a snapshot of blog, not of shop", "db", "trim", "shop", "--before", "blog@0")
}

func TestTrimAsRetained(t *testing.T) {
	h := newHarness(t)
	for _, name := range []string{"shop", "blog", "wiki"} {
		h.ok("db", "create", name)
		for range 5 {
			h.ok("db", "shell", name, "CREATE TABLE IF NOT EXISTS t(a); INSERT INTO t VALUES (1)")
		}
	}
	h.equal("nothing to drop: all databases retain all versions\n", "db", "trim", "--all", "--dry-run")
	h.ok("db", "retain", "shop", "2")
	h.ok("db", "retain", "blog", "3")
	oldest := func(name string) (v uint64) {
		t.Helper()
		var info struct{ Oldest uint64 }
		if err := json.Unmarshal([]byte(h.ok("db", "show", name, "--json")), &info); err != nil {
			t.Fatal(err)
		}
		return info.Oldest
	}
	if out := h.ok("db", "trim", "--all", "--dry-run"); !regexp.MustCompile(`^would drop 4 versions of blog: .*; kept from version 4\nwould drop 5 versions of shop: .*; kept from version 5\n$`).MatchString(out) {
		t.Errorf("trim --all --dry-run prints %s", out)
	}
	if out := h.ok("db", "trim", "shop"); !strings.HasPrefix(out, "dropped 5 versions of shop: ") || oldest("shop") != 5 || oldest("blog") != 0 {
		t.Errorf("trim prints %s; kept is shop from %d, blog from %d", out, oldest("shop"), oldest("blog"))
	}
	var list []trimJSON
	if err := json.Unmarshal([]byte(h.ok("db", "trim", "--all", "--json")), &list); err != nil || len(list) != 2 || list[0].Database != "blog" || list[0].Versions != 4 || list[1].Versions != 0 {
		t.Errorf("trim --all --json is %+v, %v", list, err)
	}
	if oldest("blog") != 4 || oldest("wiki") != 0 {
		t.Errorf("kept is blog from %d, wiki from %d", oldest("blog"), oldest("wiki"))
	}
}

// A typist types a statement again and again until the answer holds a word.
type typist struct {
	statement, until string
	answer           *bytes.Buffer
	deadline         time.Time
}

func (r *typist) Read(p []byte) (int, error) {
	if strings.Contains(r.answer.String(), r.until) || time.Now().After(r.deadline) {
		return 0, io.EOF
	}
	time.Sleep(time.Millisecond)
	return copy(p, r.statement), nil
}

// What is pinned is not trimmed, so the typist lets go of it each time.
func TestShellAppliesRetention(t *testing.T) {
	h := newHarness(t)
	h.sample()
	h.ok("db", "retain", "shop", "1")
	for _, interval := range []time.Duration{0, time.Millisecond} {
		var out, errs bytes.Buffer
		in := &typist{statement: ".bail off\nSELECT hako_at(1);\nSELECT hako_at(NULL);\n", until: "was trimmed", answer: &errs, deadline: time.Now().Add(10 * time.Second)}
		if interval == 0 {
			in.deadline = time.Now()
		}
		a := newApp(Streams{in, &out, &errs})
		a.storeOptions.TrimInterval = interval
		a.run(t.Context(), []string{"--data", h.data, "db", "shell", "shop"})
		if trimmed := strings.Contains(errs.String(), "version 1 of shop was trimmed"); trimmed != (interval > 0) {
			t.Errorf("trimmed every %v: %v\n%s", interval, trimmed, errs.String())
		}
		if interval == 0 && a.storeOptions.TrimInterval != time.Minute {
			t.Errorf("a shell trims every %v", a.storeOptions.TrimInterval)
		}
	}
}

func TestLockedStoreNamesItsOwner(t *testing.T) {
	h := newHarness(t)
	h.sample()
	s, err := pagestore.Open(storeDir(h.data), pagestore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	h.fails(exitFailed, fmt.Sprintf("is in use by process %d (", os.Getpid()), "db", "list")
}

func TestFullDisk(t *testing.T) {
	h := newHarness(t)
	var full atomic.Bool
	h.fs = errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite && op.Kind != errorfs.OpRemove && op.Kind != errorfs.OpFileClose {
			return &fs.PathError{Op: "write", Path: op.Path, Err: syscall.ENOSPC}
		}
		return nil
	}))
	h.sample()
	full.Store(true)
	h.fails(exitFailed, "free some space", "db", "shell", "shop", "INSERT INTO orders SELECT NULL, hex(randomblob(100)) FROM orders")
	full.Store(false)
	h.equal("2\n", "db", "shell", "shop", "SELECT count(*) FROM orders")
	h.equal("shop: ok, up to version 3\n", "db", "verify")
}

func TestDamagedStoreIsReported(t *testing.T) {
	h := newHarness(t)
	h.sample()
	h.ok("db", "shell", "shop", "WITH RECURSIVE n(i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) INSERT INTO orders SELECT i, hex(randomblob(50)) FROM n")
	h.ok("db", "trim", "shop", "--keep", "1") // compacts, so that a table file holds the pages
	var table string
	var size int64
	err := filepath.WalkDir(h.data, func(path string, e fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".sst" {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Size() > size {
			table, size = path, info.Size()
		}
		return err
	})
	if err != nil || table == "" {
		t.Fatalf("no table file: %v", err)
	}
	data, err := os.ReadFile(table)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(table, data, 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs := h.run("", "db", "verify", "shop")
	if code != exitFailed || !strings.Contains(out, "shop: DAMAGED\n") || !strings.Contains(out, "store is damaged") || !strings.Contains(errs, "1 damaged database of 1") {
		t.Errorf("verify: exit code %d\n%s\n%s", code, out, errs)
	}
	h.fails(exitFailed, "`hako db verify` tells what is damaged", "db", "shell", "shop", "SELECT sum(length(what)) FROM orders")
	h.fails(exitFailed, "hako: store is damaged: shop@4 page ", "db", "shell", "shop", "SELECT sum(length(what)) FROM orders")
	h.checkMemory = 1 // no file can be written of it
	code, out, _ = h.run("", "db", "verify", "--json")
	var results []verifyJSON
	if err := json.Unmarshal([]byte(out), &results); err != nil || code != exitFailed || len(results) != 1 || results[0].OK {
		t.Errorf("verify --json: %d, %v, %s", code, err, out)
	}
}

// A database that is too large to be checked in memory is checked as a file.
func TestVerifyLargeDatabase(t *testing.T) {
	h := newHarness(t)
	file := filepath.Join(t.TempDir(), "wal.sqlite")
	db, err := sql.Open("sqlite", "file:"+file)
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		"PRAGMA journal_mode=WAL", "CREATE TABLE orders(id INTEGER PRIMARY KEY, what TEXT)", "INSERT INTO orders VALUES (1, 'a box'), (2, 'a bag')",
		"CREATE INDEX by_what ON orders(what)",
	} {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	h.ok("db", "import", "shop", file)
	h.checkMemory = 1
	h.equal("shop: ok, up to version 1\n", "db", "verify")
	// An index that lacks rows is found by looking them up.
	h.ok("db", "shell", "shop", "PRAGMA writable_schema=ON; UPDATE sqlite_schema SET sql = 'CREATE INDEX by_what ON orders(what) WHERE id > 1' WHERE name = 'by_what'")
	h.ok("db", "shell", "shop", "INSERT INTO orders VALUES (0, 'not in it')")
	h.ok("db", "shell", "shop", "PRAGMA writable_schema=ON; UPDATE sqlite_schema SET sql = 'CREATE INDEX by_what ON orders(what)' WHERE name = 'by_what'")
	const lacks = "  integrity_check: row 1 missing from index by_what\n"
	for _, memory := range []int64{1, checkMemory} {
		h.checkMemory = memory
		if code, out, _ := h.run("", "db", "verify"); code != exitFailed || !strings.Contains(out, lacks) {
			t.Errorf("verify in %d bytes: exit code %d\n%s", memory, code, out)
		}
	}
	tmp := filepath.Join(h.data, "store", "tmp")
	if left, err := os.ReadDir(tmp); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestInterruptedCommandExitsWith130(t *testing.T) {
	h := newHarness(t)
	h.sample()
	ctx, cancel := context.WithCancel(t.Context())
	var out, errs bytes.Buffer
	in := readerFunc(func(p []byte) (int, error) {
		time.AfterFunc(50*time.Millisecond, cancel)
		return copy(p, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n;\n"), nil
	})
	code := Run(ctx, Streams{in, &out, &errs}, "--data", h.data, "db", "shell", "shop")
	if code != exitInterrupted || errs.String() != "hako: interrupted\n" {
		t.Errorf("exit code %d: %s", code, errs.String())
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestScriptFromStandardInput(t *testing.T) {
	h := newHarness(t)
	h.sample()
	code, out, errs := h.run("select 1;\nselect nope;\nselect 2;\n", "db", "shell", "shop")
	if code != exitFailed || out != "1\n" || errs != "hako: line 2: no such column: nope\n  select nope;\n         ^\n" {
		t.Errorf("exit code %d\n%s\n%s", code, out, errs)
	}
	code, out, errs = h.run(".bail off\nselect nope;\nselect 2;\n", "db", "shell", "shop")
	if code != exitFailed || out != "2\n" || !strings.HasPrefix(errs, "error: line 2: no such column") || strings.Contains(errs, "hako:") {
		t.Errorf("exit code %d\n%s\n%s", code, out, errs)
	}
	dump := h.ok("db", "shell", "shop", ".dump")
	h.ok("db", "create", "again")
	if code, _, errs := h.run(dump, "db", "shell", "again"); code != exitOK {
		t.Fatal(errs)
	}
	h.equal("nothing differs\n", "db", "diff", "again", "shop")
}

func TestCompletion(t *testing.T) {
	h := newHarness(t)
	h.sample()
	h.ok("db", "tag", "shop@2", "sale")
	for want, args := range map[string][]string{
		"shop\n:4\n":                 {"db", "show", "sh"},
		"shop@sale\tversion 2\n:4\n": {"db", "diff", "shop@sa"},
		"sale\tversion 2\n:4\n":      {"db", "untag", "shop", ""},
		":4\n":                       {"db", "create", "x"},
		":0\n":                       {"db", "import", "x", ""},
		"csv\n:4\n":                  {"db", "shell", "shop", "--mode", "cs"},
	} {
		code, out, _ := h.run("", append([]string{"__complete"}, args...)...)
		if code != 0 || out != want {
			t.Errorf("%v completes to %q, not %q", args, out, want)
		}
	}
}

func TestProgress(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(0, 0)
	p := &progress{w: &out, what: "import shop", bytes: true, now: func() time.Time { return now }, begin: now, last: now, stop: make(chan struct{})}
	p.begins("checking")
	now = now.Add(3 * time.Second)
	if got := p.line(now, 0); got != "import shop  checking, 3s" {
		t.Errorf("a step is shown as %q", got)
	}
	p.update(1, 100<<20)
	now = now.Add(6 * time.Second)
	p.update(60<<20, 100<<20)
	now = now.Add(time.Second)
	p.update(70<<20, 100<<20)
	p.end()
	if want := "import shop   60%  60 MiB of 100 MiB  4s left\n"; out.String() != want {
		t.Errorf("lines are %q, not %q", out.String(), want)
	}
	out.Reset()
	columns := 80
	p = &progress{w: &out, bar: true, what: "verify", now: func() time.Time { return now }, columns: func() int { return columns }, begin: now, last: now, stop: make(chan struct{})}
	now = now.Add(200 * time.Millisecond)
	p.update(3, 12)
	p.end()
	if want := "\r\x1b[Kverify  ██████░░░░░░░░░░░░░░░░░░   25%  3 of 12\r\x1b[K"; out.String() != want {
		t.Errorf("the bar is %q, not %q", out.String(), want)
	}
	for n, want := range map[int]string{40: "verify  ████░░░░░░░░░░░░   25%  3 of 12", 30: "verify  █░░░░░   25%  3 of 12", 20: "verify   25%  3 of "} {
		out.Reset()
		columns = n
		p.show(now)
		if got := strings.TrimPrefix(out.String(), "\r\x1b[K"); got != want || runewidth.StringWidth(got) >= n {
			t.Errorf("in %d columns the bar is %q, not %q", n, got, want)
		}
	}
}

func TestHints(t *testing.T) {
	if got := hintFor(fmt.Errorf("x: %w", pagestore.ErrDiskFull)); !strings.Contains(got, "free some space") {
		t.Errorf("hint for a full disk: %q", got)
	}
	if got := hintFor(errors.New("x")); got != "" {
		t.Errorf("hint for something else: %q", got)
	}
}
