package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestEveryMistakeGetsAnErrorThatHelps(t *testing.T) {
	h := newHarness(t)
	h.fails(exitFailed, "there are no databases in "+h.data+" yet", "db", "show", "shop")
	h.sample()
	h.ok("db", "tag", "shop@2", "before-sale")
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{exitFailed, `unknown database "shpo": did you mean "shop"?`, []string{"db", "show", "shpo"}},
		{exitFailed, "unknown database \"zzzzzz\"\n  `hako db list` shows the databases", []string{"db", "log", "zzzzzz"}},
		{exitFailed, "shop has no version 99: the newest is 3", []string{"db", "shell", "shop@99", "SELECT 1"}},
		{exitFailed, `unknown tag "before-sal": did you mean "before-sale"?`, []string{"db", "show", "shop@before-sal"}},
		{exitFailed, "time lies in the future: it is now ", []string{"db", "export", "shop@2199-01-01T00:00:00Z", "x"}},
		{exitFailed, "time lies before the database's first version", []string{"db", "show", "shop@-10w"}},
		{exitFailed, `a database "shop" exists: choose another`, []string{"db", "create", "shop"}},
		{exitFailed, `a database "shop" exists: choose another`, []string{"db", "branch", "shop", "shop"}},
		{exitFailed, `"before-sale" is version 2: untag that first`, []string{"db", "tag", "shop@1", "before-sale"}},
		{exitFailed, "snapshot is read-only: open shop without a version", []string{"db", "shell", "shop@2", "DELETE FROM orders"}},
		{exitFailed, "no such table: nope\n  SELECT * FROM nope\n                ^", []string{"db", "shell", "shop", "SELECT * FROM nope"}},
		{exitUsage, "nobody is there to confirm it: say --yes", []string{"db", "delete", "shop"}},
		{exitUsage, "database name \"sh op\" holds \" \"", []string{"db", "create", "sh op"}},
		{exitUsage, "tag \"5\" begins with a digit", []string{"db", "tag", "shop", "5"}},
		{exitUsage, "here stands the name of a database, shop", []string{"db", "stat", "shop@2"}},
		{exitUsage, "here stands the name of a database, shop", []string{"db", "restore", "shop@2", "shop"}},
		{exitUsage, "nothing follows the '@'", []string{"db", "show", "shop@"}},
		{exitUsage, `--page-size abc: it must be a whole number: see`, []string{"db", "create", "x", "--page-size", "abc"}},
		{exitUsage, `--limit x: it must be a whole number: see`, []string{"db", "log", "shop", "--limit", "x"}},
		{exitUsage, `--limit 99999999999999999999: it is too large`, []string{"db", "log", "shop", "--limit", "99999999999999999999"}},
		{exitUsage, `--json x: it must be true or false`, []string{"db", "list", "--json=x"}},
		{exitUsage, `database name "ü" holds "ü": use a to z`, []string{"db", "create", "ü"}},
		{exitUsage, "cannot keep an age of 0", []string{"db", "retain", "shop", "0d"}},
		{exitUsage, "cannot keep an age of 0", []string{"db", "trim", "shop", "--keep", "0d"}},
		{exitFailed, "written after the name of its database, as in shop@2", []string{"db", "tag", "2", "x"}},
		{exitFailed, "shop has no version 99", []string{"db", "restore", "shop", "99"}},
		{exitFailed, `unknown database "shpo": did you mean "shop"?`, []string{"db", "restore", "shop", "shpo"}},
		{exitUsage, "an age is written after the name of the database, as in shop@-1d", []string{"db", "restore", "shop", "-1d"}},
		{exitUsage, `database name "a:b" holds ":"`, []string{"db", "restore", "shop", "a:b"}},
		{exitFailed, `pin shop to "nope": shop: unknown tag "nope"` + "\n", []string{"db", "shell", "shop", "SELECT hako_at('nope')"}},
		{exitFailed, `is neither a version nor a time`, []string{"db", "shell", "shop", "SELECT hako_at('5x')"}},
		{exitFailed, "an ordinary file is opened as 'file:/x/y.sqlite?vfs=unix'\n", []string{"db", "shell", "shop", "ATTACH '/x/y.sqlite' AS y"}},
		{exitFailed, `neither has a table "order"`, []string{"db", "diff", "shop@1", "shop", "--table", "order"}},
		{exitFailed, "exists, and is a directory: name a file in it\n", []string{"db", "export", "shop", os.TempDir()}},
		{exitFailed, "/nowhere: no such file or directory\n", []string{"db", "export", "shop", "/nowhere/x"}},
		{exitFailed, "`hako db log` shows the versions with their tags", []string{"db", "untag", "shop", "x"}},
		{exitUsage, "--page-size 1000: it must be a power of two", []string{"db", "create", "x", "--page-size", "1000"}},
		{exitUsage, "exclude each other", []string{"db", "create", "x", "--page-size", "1024", "--from", "shop"}},
		{exitUsage, `unknown command "hako db lits": did you mean "hako db list"?`, []string{"db", "lits"}},
		{exitUsage, `unknown command "hako db shel": did you mean "hako db shell"?`, []string{"db", "shel"}},
		{exitUsage, `unknown command "hako dv": did you mean "hako db"?`, []string{"dv"}},
		{exitUsage, `unknown command "hako db xyzzy": hako db --help lists`, []string{"db", "xyzzy"}},
		{exitUsage, "unknown flag: --jsno: did you mean --json?", []string{"db", "list", "--jsno"}},
		{exitUsage, "hako db tag needs a TAG", []string{"db", "tag", "shop"}},
		{exitUsage, `has an argument too many, "b"`, []string{"db", "stat", "a", "b"}},
		{exitUsage, `unknown mode "bx": did you mean "box"?`, []string{"db", "shell", "shop", "--mode", "bx"}},
		{exitUsage, "choose writer or optimistic", []string{"db", "shell", "shop", "--locking", "none"}},
		{exitUsage, `retention "soon" is none of`, []string{"db", "retain", "shop", "soon"}},
	} {
		h.fails(c.code, c.want, c.args...)
	}
}

// What cannot help is not suggested.
func TestNoCommandIsSuggestedThatFails(t *testing.T) {
	h := newHarness(t)
	h.sample()
	file := filepath.Join(t.TempDir(), "x.sqlite")
	h.ok("db", "export", "shop", file)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := 4096; i < len(b); i++ {
		b[i] ^= 0xff
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	refused := func(want string, args ...string) {
		t.Helper()
		code, out, errs := h.run("", args...)
		if code != exitFailed || !strings.Contains(errs, want) || strings.Contains(errs, "hako db verify") || strings.Contains(errs, "hako db export") {
			t.Errorf("%v: exit code %d\n%s\n%s\nlacks %q", args, code, out, errs, want)
		}
	}
	refused("it is damaged", "db", "import", "x", file)
	refused("`sqlite3 FILE .recover`", "db", "import", "x", file)
	manifests, err := filepath.Glob(filepath.Join(storeDir(h.data), "pages", "MANIFEST*"))
	if err != nil || len(manifests) == 0 {
		t.Fatal(manifests, err)
	}
	for _, name := range manifests {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for i := range b {
			b[i] ^= 0xff
		}
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	refused("store is damaged", "db", "list")
	refused("store is damaged", "db", "verify")
}

func TestRestoreOfTheDatabaseItself(t *testing.T) {
	h := newHarness(t)
	h.sample()
	h.ok("db", "tag", "shop@2", "good")
	h.equal("shop is now at version 4, equal to shop@1; what it was is shop@3\n", "db", "restore", "shop", "1")
	h.equal("shop is now at version 5, equal to shop@2; what it was is shop@4\n", "db", "restore", "shop", "good")
	h.equal("shop is now at version 6, equal to shop@5; what it was is shop@5\n", "db", "restore", "shop", "--", "-0s")
	h.ok("db", "create", "3") // a database of that name comes first
	h.equal("shop is now at version 7, equal to 3@0; what it was is shop@6\n", "db", "restore", "shop", "3")
	h.equal("shop is now at version 8, equal to shop@3; what it was is shop@7\n", "db", "restore", "shop", "shop@3")
}

// What log prints names the version it stands beside, in any zone.
func TestTimesAreReadAsTheyArePrinted(t *testing.T) {
	h := newHarness(t)
	h.sample()
	defer func(l *time.Location) { time.Local = l }(time.Local)
	time.Local = time.FixedZone("IST", 5*3600+1800)
	for _, line := range strings.Split(strings.TrimSpace(h.ok("db", "log", "shop")), "\n")[1:] {
		f := strings.Fields(line)
		if got := h.ok("db", "show", "shop@"+f[1]); !strings.HasPrefix(got, "snapshot  shop@"+f[0]+"\n") {
			t.Errorf("%s is\n%s", line, got)
		}
		for _, mistake := range []string{"shop@2199-01-01", "shop@1999-01-01"} {
			_, _, errs := h.run("", "db", "show", mistake)
			if strings.Count(errs, "+05:30") != 2 {
				t.Errorf("not as log prints times: %s", errs)
			}
		}
	}
}
