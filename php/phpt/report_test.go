package phpt

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestCompare(t *testing.T) {
	wasm := []Result{{"tests/lang/a.phpt", Passed, "", ""}, {"tests/lang/b.phpt", Skipped, "why", ""}, {"tests/lang/c.phpt", Failed, "", "x"}, {"tests/lang/d.phpt", Failed, "", ""}, {"Zend/tests/e.phpt", Passed, "", ""}}
	reference := []Result{{"tests/lang/b.phpt", Passed, "", ""}, {"tests/lang/c.phpt", Passed, "", ""}, {"tests/lang/d.phpt", Failed, "", ""}}
	listed, err := parseFailing("# comment\n\ntests/lang/b.phpt\tskip\tone reason\nZend/tests/e.phpt\tstack\nother/x.phpt\tstack\n")
	if err != nil || listed["tests/lang/b.phpt"] != (Failure{"tests/lang/b.phpt", "skip", "one reason"}) {
		t.Fatal(listed, err)
	}
	c := Compare(wasm, reference, listed)
	if !reflect.DeepEqual(c.Sets["tests/lang"], &Count{4, 1, 2, 1}) || !reflect.DeepEqual(c.Sets["Zend/tests"], &Count{1, 1, 0, 0}) ||
		len(c.New) != 1 || c.New[0].Test != "tests/lang/c.phpt" || !slices.Equal(c.Fixed, []string{"Zend/tests/e.phpt"}) || c.Causes["skip"] != 1 {
		t.Errorf("%+v", c)
	}
	var b bytes.Buffer
	if err := c.Write(&b); err != nil || !strings.Contains(b.String(), "33.3%") || !strings.Contains(b.String(), "50.0%") {
		t.Errorf("%v\n%s", err, &b)
	}
	for _, text := range []string{"a\n", "a\tb\tc\na\tb\tc\n"} {
		if _, err := parseFailing(text); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
}

func TestResults(t *testing.T) {
	var b bytes.Buffer
	if err := WriteResults(&b, []Result{{"a", Passed, "", "left out"}, {"b", Skipped, "one\ttab\nand more", ""}}); err != nil {
		t.Fatal(err)
	}
	got, err := ReadResults(&b)
	if want := []Result{{"a", Passed, "", ""}, {"b", Skipped, "one tab", ""}}; !reflect.DeepEqual(got, want) || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := ReadResults(strings.NewReader("a\n")); err == nil {
		t.Error("no error")
	}
}
