package cli

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/mattn/go-runewidth"
)

// A progress tells how far long work is: a bar on a terminal, a line now and
// then otherwise, nothing if the work is done within a moment. It must be
// ended.
type progress struct {
	w     io.Writer
	bar   bool
	what  string
	bytes bool // done and total are bytes
	now   func() time.Time

	columns func() int // of the terminal

	mu    sync.Mutex
	step  string // what is done while no amount is known, "" if one is
	stage string // what the amounts are of, "" if that is clear
	begin time.Time
	last  time.Time
	shown bool
	done  int64
	total int64
	stop  chan struct{} // closed by end
}

const (
	barEvery  = 100 * time.Millisecond
	lineEvery = 5 * time.Second
)

// progress begins with a step of which no amount is known, such as "checking";
// "" if there is none.
func (a *app) progress(what, step string, bytes bool) *progress {
	p := &progress{w: a.Err, bar: isTerminal(a.Err), what: what, step: step, bytes: bytes, now: time.Now, columns: func() int { return terminalWidth(a.Err) }, stop: make(chan struct{})}
	p.begin = p.now()
	p.last = p.begin
	go p.tick()
	return p
}

func (p *progress) every() time.Duration {
	if p.bar {
		return barEvery
	}
	return lineEvery
}

// tick shows the time that a step without amounts takes.
func (p *progress) tick() {
	t := time.NewTicker(max(p.every(), time.Second))
	defer t.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-t.C:
			p.mu.Lock()
			if p.step != "" {
				p.show(p.now())
			}
			p.mu.Unlock()
		}
	}
}

// begins says that a step without amounts begins, or goes on.
func (p *progress) begins(step string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.step != step {
		p.step, p.begin = step, p.now()
	}
}

// enters says what the amounts that follow are of.
func (p *progress) enters(stage string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stage != stage {
		p.stage, p.begin = stage, p.now()
	}
}

// update may be called often.
func (p *progress) update(done, total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if p.step != "" {
		p.step, p.begin = "", now
	}
	p.done, p.total = done, total
	if now.Sub(p.last) < p.every() {
		return
	}
	p.show(now)
}

func (p *progress) show(now time.Time) {
	p.last, p.shown = now, true
	if p.bar { // which must not wrap: only the last line would be replaced
		width := p.columns() - 1
		bar := max(0, min(24, width-runewidth.StringWidth(p.line(now, 0))-2))
		fmt.Fprintf(p.w, "\r\x1b[K%s", runewidth.Truncate(p.line(now, bar), width, ""))
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
	spent := now.Sub(p.begin)
	if p.step != "" {
		return fmt.Sprintf("%s  %s, %s", p.what, p.step, spent.Round(time.Second))
	}
	text := p.what
	if p.stage != "" {
		text += "  " + p.stage
	}
	if p.total <= 0 {
		return text + "  " + amount(p.done)
	}
	share := min(1, float64(p.done)/float64(p.total))
	if width > 0 {
		full := int(share * float64(width))
		text += "  " + strings.Repeat("█", full) + strings.Repeat("░", width-full)
	}
	text += fmt.Sprintf("  %3.0f%%  %s of %s", share*100, amount(p.done), amount(p.total))
	if share > 0.02 && spent > time.Second {
		left := time.Duration(float64(spent) * (1 - share) / share)
		text += fmt.Sprintf("  %s left", left.Round(time.Second))
	}
	return text
}

// end removes the bar.
func (p *progress) end() {
	close(p.stop)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.step = ""
	if p.shown && p.bar {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
