package sql

import (
	"database/sql"
	"database/sql/driver"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestParseName(t *testing.T) {
	n, err := parseName("hako:shop@42?locking=optimistic&mode=ro&_txlock=immediate&_busy_timeout=7&_pragma=foreign_keys(1)&_pragma=cache_size(9)&_time_format=sqlite&_inttotime=1&store=/x")
	if err != nil {
		t.Fatal(err)
	}
	if n.database != "shop@42" || !n.optimistic || !n.readOnly || n.begin != "BEGIN IMMEDIATE" || len(n.setUp) != 3 || n.timeFormat == "" || !n.intToTime || n.textToTime {
		t.Errorf("%+v", n)
	}
	for _, bad := range []string{"shop?locking=x", "shop?mode=x", "shop?_txlock=x", "shop?_busy_timeout=x", "shop?_time_format=x", "shop?_inttotime=x", "shop?what=x", "shop?%zz"} {
		if n, err := parseName(bad); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%s is read as %+v, %v", bad, n, err)
		}
	}
}

func TestParseTime(t *testing.T) {
	want := time.Date(2026, 11, 22, 10, 1, 0, 0, time.UTC)
	for _, s := range []string{
		want.String(), want.String() + " m=+0.1", "2026-11-22 10:01:00+00:00", "2026-11-22T11:01:00+01:00", "2026-11-22 10:01:00.000",
		"2026-11-22T10:01:00Z", "2026-11-22 10:01", "2026-11-22T10:01",
	} {
		for hint := range readFormats {
			if got, _, ok := parseTime(s, hint); !ok || !got.Equal(want) {
				t.Errorf("%q with %d is %v, %v", s, hint, got, ok)
			}
		}
	}
	for _, s := range []string{"", "now", "10:01", "2026-11-22 25:00", "2026-13-01"} {
		if got, _, ok := parseTime(s, 0); ok {
			t.Errorf("%q is %v", s, got)
		}
	}
	if got := ofInteger(want.Unix()); !got.Equal(want) || !ofInteger(want.UnixMilli()).Equal(want) {
		t.Error(got)
	}
}

func FuzzParseTime(f *testing.F) {
	f.Add("2026-11-22 10:01:00", 3)
	f.Add("2026-11-22 10:01:00 +0000 UTC m=+1", 0)
	f.Fuzz(func(t *testing.T, s string, hint int) {
		if hint < 0 || hint >= len(readFormats) {
			return
		}
		parsed, at, ok := parseTime(s, hint)
		if !ok {
			return
		}
		if again, _, ok := parseTime(s, at); !ok || !again.Equal(parsed) {
			t.Errorf("%q is %v, and then %v", s, parsed, again)
		}
	})
}

func TestArguments(t *testing.T) {
	n := &name{timeFormat: timeFormats["datetime"]}
	b, err := n.appendArguments(nil, []driver.NamedValue{{Value: int64(7)}, {Name: "b", Value: "hi"}})
	if want := "\x02\x00\x00\x00\x01\x00\x07\x00\x00\x00\x00\x00\x00\x00\x03\x01b\x02\x00\x00\x00hi"; err != nil || string(b) != want {
		t.Errorf("%x, %v", b, err)
	}
	b, err = n.appendArguments(nil, []driver.NamedValue{{Value: true}, {Value: []byte(nil)}, {Value: nil}, {Value: time.Unix(0, 0).UTC()}})
	if want := "\x04\x00\x00\x00\x01\x00\x01\x00\x00\x00\x00\x00\x00\x00\x05\x00\x05\x00\x03\x00\x13\x00\x00\x001970-01-01 00:00:00"; err != nil || string(b) != want {
		t.Errorf("%x, %v", b, err)
	}
	if _, err := n.appendArguments(nil, []driver.NamedValue{{Value: struct{}{}}}); err == nil {
		t.Error("a struct passes")
	}
	if _, err := n.appendArguments(nil, []driver.NamedValue{{Name: strings.Repeat("x", 256), Value: nil}}); err == nil {
		t.Error("a name of 256 bytes passes")
	}
}

// TestGuestsAreSmall makes sure that guests do not carry an SQLite.
func TestGuestsAreSmall(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", ".")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, line := range strings.Fields(string(out)) {
		if strings.Contains(line, ".") && line != "github.com/hako-run/hako/guest/sql" {
			t.Errorf("a guest imports %s", line)
		}
	}
}

// TestNative runs as a program does outside of a guest.
func TestNative(t *testing.T) {
	t.Setenv("HAKO_STORE", t.TempDir())
	db, err := sql.Open("hako", "shop?create=1")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var n int
	if err := db.QueryRow("SELECT hako_version()").Scan(&n); err != nil || n != 0 {
		t.Errorf("version %d of a new database, %v", n, err)
	}
}
