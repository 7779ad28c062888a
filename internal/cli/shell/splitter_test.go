package shell

import (
	"strings"
	"testing"
)

func split(text string, pieces int) (stmts []string, rest string) {
	var s splitter
	for n := 0; len(text) > 0; n++ {
		size := len(text)
		if pieces > 0 {
			size = min(pieces, len(text))
			for size < len(text) && isWordByte(text[size-1]) && isWordByte(text[size]) { // words stay whole
				size++
			}
			for size < len(text) && strings.ContainsRune("-/*", rune(text[size-1])) {
				size++
			}
		}
		s.feed(text[:size])
		text = text[size:]
		for {
			stmt, _, ok := s.next()
			if !ok {
				break
			}
			stmts = append(stmts, stmt)
		}
	}
	rest, _, _ = s.rest()
	return stmts, rest
}

func TestSplitterEndsStatementsWhereSQLiteDoes(t *testing.T) {
	for _, c := range []struct{ text, stmts, rest string }{
		{"select 1; select 2;", "select 1;|select 2;", ""},
		{"select 1", "", "select 1"},
		{"select ';'; x", "select ';';", "x"},
		{`select "a;b", [c;d], ` + "`e;f`;", `select "a;b", [c;d], ` + "`e;f`;", ""},
		{"select 'it''s;';", "select 'it''s;';", ""},
		{"-- a;\nselect 1; -- b;\n", "select 1;", ""},
		{"/* ; */ select /* ; */ 1; /*", "select /* ; */ 1;", ""},
		{"/*/ ; */ select 1;", "select 1;", ""},
		{";;; select 1;;", "select 1;", ""},
		{"create trigger t after insert on x begin select 1; select 2; end; select 3;",
			"create trigger t after insert on x begin select 1; select 2; end;|select 3;", ""},
		{"CREATE TEMP TRIGGER t insert on x begin select case when 1 then 2 end; /* c */ END ;y", "CREATE TEMP TRIGGER t insert on x begin select case when 1 then 2 end; /* c */ END ;", "y"},
		{"explain query plan create temporary trigger t insert on x begin select 1; end; z;", "explain query plan create temporary trigger t insert on x begin select 1; end;|z;", ""},
		{"create trigger t insert on x begin select 1;", "", "create trigger t insert on x begin select 1;"},
		{"create table trigger_(a); b", "create table trigger_(a);", "b"},
		{"create trigger t insert on x begin select 1; endless; end;", "create trigger t insert on x begin select 1; endless; end;", ""},
		{"select 'open; ", "", "select 'open; "},
		{"select 日本; é;", "select 日本;|é;", ""},
	} {
		for pieces := range 8 {
			stmts, rest := split(c.text, pieces)
			if got := strings.Join(stmts, "|"); got != c.stmts || rest != c.rest {
				t.Errorf("in pieces of %d, %q is %q and %q, not %q and %q", pieces, c.text, got, rest, c.stmts, c.rest)
			}
		}
	}
}

func TestSplitterCountsLines(t *testing.T) {
	var s splitter
	var lines []int
	for _, text := range []string{"\n-- one\nselect 1;select\n", "2;\n\n", "select 3;\n"} {
		s.feed(text)
		for {
			_, line, ok := s.next()
			if !ok {
				break
			}
			lines = append(lines, line)
		}
	}
	if len(lines) != 3 || lines[0] != 3 || lines[1] != 3 || lines[2] != 6 {
		t.Errorf("statements begin on lines %v, not 3, 3, 6", lines)
	}
}

// Nothing but space, comments and lone semicolons is lost, and it does not
// matter in what pieces the text comes.
func FuzzSplitter(f *testing.F) {
	for _, seed := range []string{"select 1;", "create trigger a begin b; end;", "'", "/*/", "--\n;", "[;];", "x'ab';;"} {
		f.Add(seed, uint8(3))
	}
	f.Fuzz(func(t *testing.T, text string, pieces uint8) {
		stmts, rest := split(text, 0)
		again, restAgain := split(text, 1+int(pieces)%16)
		if strings.Join(stmts, "\x00") != strings.Join(again, "\x00") || rest != restAgain {
			t.Fatalf("%q is %q + %q at once, and %q + %q in pieces", text, stmts, rest, again, restAgain)
		}
		at := 0
		for _, stmt := range append(stmts, rest) {
			i := strings.Index(text[at:], stmt)
			if i < 0 {
				t.Fatalf("%q is not in %q after %d", stmt, text, at)
			}
			at += i + len(stmt)
		}
	})
}

func FuzzTokens(f *testing.F) {
	for _, seed := range []string{"select a.b, 'x''y', x'00', ?1, :a, \"q\"\"r\", [z], 1e5 -- c\n/* d */;", "'", "\"", "[", "/*", "--", "x'"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for pos := 0; pos < len(text); {
			tok := nextToken(text, pos)
			if tok.start != pos || tok.end <= pos || tok.end > len(text) {
				t.Fatalf("token %+v at %d of %q", tok, pos, text)
			}
			pos = tok.end
		}
		offendingPlace(text, `near "`+text+`": syntax error`)
		isSelect(text)
		historyEntries(text)
		if got := terminated(text); !strings.HasPrefix(got, text) {
			t.Fatalf("terminated(%q) is %q", text, got)
		}
	})
}

func FuzzSplitArgs(f *testing.F) {
	for _, seed := range []string{`import "a b" t`, `print 'x' "\n\x41\u00e9" y`, `"`, `'`, `"\`, ``} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		args, err := splitArgs(line)
		if err == nil && len(args) == 0 && strings.Trim(line, " \t\r\n") != "" {
			t.Fatalf("%q has no arguments", line)
		}
	})
}
