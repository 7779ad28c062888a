package proxywasm_test

import (
	"testing"

	"github.com/hako-run/hako/internal/guestbuild"
	pw "github.com/hako-run/hako/proxywasm"
)

// TestResultless runs plugins that import functions of 0.1.0 as its
// specification has them, beside others in the same engine.
func TestResultless(t *testing.T) {
	for _, define := range []string{"-DPLAIN", "-DMIXED", "-DPLAIN"} {
		path := guestbuild.C(t, []string{"-O2", "-nostdlib", "-Wl,--no-entry", define, "testdata/c/resultless.c"})
		p, _ := load(t, path, pw.Config{})
		if forked, err := p.Forked(); !forked {
			t.Errorf("%s: not forked: %v", define, err)
		}
		x := &pw.Exchange{RequestHeaders: get("/").headers, ResponseHeaders: answer("200").headers}
		s := p.NewStream(0, x)
		if a, b := s.RequestHeaders(true), s.ResponseHeaders(true); a != pw.Continue || b != pw.Continue || x.RoutesCleared() != 1 {
			t.Errorf("%s: %v, %v, %d", define, a, b, x.RoutesCleared())
		}
		s.Close()
	}
}
