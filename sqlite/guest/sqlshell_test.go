package guest_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/hako-run/hako/sqlite/guest"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/sys"
)

// TestSQLShell runs the example as a command.
func TestSQLShell(t *testing.T) {
	w := newWorld(t)
	w.create("shop")
	module, err := os.ReadFile(compileC(t, "../../examples/sqlshell/sqlshell.c"))
	if err != nil {
		t.Fatal(err)
	}
	shell, err := w.rt.CompileModule(context.Background(), module)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args     string // divided by tabs
		in       string
		out      string
		complain string
		code     uint32
	}{
		{args: "shop\tCREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, price REAL)\tINSERT INTO t VALUES (1,'Tee','2.5'),(10,'Größe\nXL',NULL)"},
		{args: "shop\tSELECT * FROM t; SELECT count(*) FROM t", out: "" +
			"id  name      price\n" +
			"--  --------  -----\n" +
			" 1  Tee         2.5\n" +
			"10  Größe XL       \n" +
			"count(*)\n--------\n       2\n"},
		{args: "-list\tshop", in: "SELECT id,\n  x'00ff' FROM t;\n\nSELECT hako_at(1); SELECT count(*) FROM t;\n.nonsense\n.quit\nSELECT 1;", out: "1|x'00ff'\n10|x'00ff'\n1\n0\n", complain: "no command .nonsense", code: 1},
		{args: "-json\tshop\tSELECT *, 1e999 AS inf FROM t WHERE id=10", out: `{"id":10,"name":"Größe\u000aXL","price":null,"inf":null}` + "\n"},
		{args: "-bail\tshop@1\tINSERT INTO t VALUES (3,'x',1)\tSELECT 1", complain: "error: attempt to write a readonly database", code: 1},
		{args: "shop\tSELECT nosuch\tSELECT 1 AS one", complain: "in: SELECT nosuch", code: 1, out: "one\n---\n  1\n"},
		{args: "secret\tSELECT 1", complain: "unable to open database file", code: 1},
		{args: "-nonsense\tshop", complain: "usage: sqlshell", code: 2},
		{args: "shop", in: ".tables\n.schema\n", out: "" +
			"schema  name  type\n------  ----  -----\nmain    t     table\n" +
			"sql\n" + strings.Repeat("-", 62) + "\nCREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, price REAL);\n"},
	} {
		dbs, err := guest.New(w.vfs, guest.Options{}, guest.Grant{Path: "shop", Database: "shop"})
		if err != nil {
			t.Fatal(err)
		}
		var out, complaints bytes.Buffer
		m, err := w.rt.InstantiateModule(guest.NewContext(context.Background(), dbs), shell, wazero.NewModuleConfig().WithName("").
			WithArgs(append([]string{"sqlshell"}, strings.Split(c.args, "\t")...)...).WithStdin(strings.NewReader(c.in)).WithStdout(&out).WithStderr(&complaints))
		var exit *sys.ExitError
		code := uint32(0)
		if errors.As(err, &exit) {
			code = exit.ExitCode()
		} else if err != nil {
			t.Fatalf("%s: %v", c.args, err)
		}
		if m != nil {
			m.Close(context.Background())
		}
		if code != c.code {
			t.Errorf("%q: exit code %d, want %d: %s", c.args, code, c.code, &complaints)
		}
		if !strings.Contains(complaints.String(), c.complain) || c.complain == "" && complaints.Len() > 0 {
			t.Errorf("%q: complains %q, want %q", c.args, &complaints, c.complain)
		}
		if got := out.String(); got != c.out {
			t.Errorf("%q: prints\n%s\nwant\n%s", c.args, got, c.out)
		}
		if err := dbs.Close(); err != nil {
			t.Error(err)
		}
	}
}
