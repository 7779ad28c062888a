package cli

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// A progress tells how far long work is: a bar on a terminal, a line now and
// then otherwise, nothing if the work is done within a moment.
type progress struct {
	w     io.Writer
	bar   bool
	what  string
	bytes bool // done and total are bytes
	now   func() time.Time
	begin time.Time
	last  time.Time
	shown bool
	done  int64
	total int64
}

const (
	barEvery  = 100 * time.Millisecond
	lineEvery = 5 * time.Second
)

func (a *app) progress(what string, bytes bool) *progress {
	p := &progress{w: a.Err, bar: isTerminal(a.Err), what: what, bytes: bytes, now: time.Now}
	p.begin = p.now()
	p.last = p.begin
	return p
}

// update may be called often.
func (p *progress) update(done, total int64) {
	p.done, p.total = done, total
	every := lineEvery
	if p.bar {
		every = barEvery
	}
	now := p.now()
	if now.Sub(p.last) < every {
		return
	}
	p.last = now
	p.show(now)
}

func (p *progress) show(now time.Time) {
	p.shown = true
	if p.bar {
		fmt.Fprintf(p.w, "\r\x1b[K%s", p.line(now, 24))
	} else {
		fmt.Fprintln(p.w, p.line(now, 0))
	}
}

func (p *progress) line(now time.Time, width int) string {
	amount := func(n int64) string {
		if p.bytes {
			return sizeText(n)
		}
		return fmt.Sprint(n)
	}
	if p.total <= 0 {
		return fmt.Sprintf("%s  %s", p.what, amount(p.done))
	}
	share := min(1, float64(p.done)/float64(p.total))
	text := p.what
	if width > 0 {
		full := int(share * float64(width))
		text += "  " + strings.Repeat("█", full) + strings.Repeat("░", width-full)
	}
	text += fmt.Sprintf("  %3.0f%%  %s of %s", share*100, amount(p.done), amount(p.total))
	if spent := now.Sub(p.begin); share > 0.02 && spent > time.Second {
		left := time.Duration(float64(spent) * (1 - share) / share)
		text += fmt.Sprintf("  %s left", left.Round(time.Second))
	}
	return text
}

// end removes the bar.
func (p *progress) end() {
	if p.shown && p.bar {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
