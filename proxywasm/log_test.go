package proxywasm

import (
	"strings"
	"testing"
	"time"
)

// TestLogRate: a plugin that logs without end does not fill the log, and one
// that stops may log again.
func TestLogRate(t *testing.T) {
	p := loadProbe(t, Config{Limits: Limits{Log: 100, CPU: time.Minute}})
	say := func(times int, text string) {
		p.do(onRequestHeaders, func(c *probeCall) {
			for range times {
				c.used = 0
				c.expect(t, StatusOK, "proxy_log", int(LogInfo), text)
			}
		})
		s := p.plugin.NewStream(0, get())
		s.RequestHeaders(true)
		s.Close()
	}
	count := func(text string) int { return strings.Count(p.log.String(), text) }
	say(1000, "again")
	if n := count("again"); n != 100 {
		t.Errorf("%d lines at once, 100 may be", n)
	}
	p.clock.advance(time.Second)
	if n := count("900 lines of the plugin's log were dropped"); n != 1 {
		t.Errorf("what was dropped is told %d times:\n%.500s", n, p.log.String())
	}
	p.clock.advance(time.Second / 2)
	say(1000, "later")
	if n := count("later"); n != 100 {
		t.Errorf("%d lines after a second and a half, 100 may be", n)
	}
	p.clock.advance(time.Second / 2)
	say(1000, "half")
	if n := count("half"); n != 50 {
		t.Errorf("%d lines after half a second, 50 may be", n)
	}
	// Long lines count for more, and are cut.
	p.clock.advance(time.Hour)
	say(20, strings.Repeat("x", 9<<10)+"long")
	if n := count("xlong"); n != 10 {
		t.Errorf("%d lines of 9 KiB and a bit where 100 KiB may be", n)
	}
	p.clock.advance(time.Hour)
	say(1, strings.Repeat("y", maxLine+7))
	if count("yyy... (7 bytes more)") != 1 || count(strings.Repeat("y", maxLine+1)) != 0 {
		t.Error("a line larger than 64 KiB is not cut")
	}
}
