package shell

import "strings"

// A splitter cuts a stream of lines into SQL statements, by the rules of
// sqlite3_complete: a statement ends at a semicolon outside of strings, quoted
// names and comments; CREATE TRIGGER ends at "; END ;". It scans every byte
// once, however the input is cut into lines. The zero value is ready.
type splitter struct {
	buf   []byte
	pos   int  // scanned up to here
	open  byte // the quote that is open at pos; '*' and '-' for comments; 0
	state splitState
	line  int  // lines of the input before buf[0]
	any   bool // something other than space and comments was scanned
	first int  // offset in buf of that something
}

// A splitState says what a statement may be, judging by its words so far.
type splitState uint8

const (
	atStart      splitState = iota // nothing yet, or EXPLAIN
	afterExplain                   // EXPLAIN: QUERY PLAN may follow
	afterCreate                    // CREATE: TEMP and TRIGGER may follow
	inPlain                        // not a trigger: the next semicolon ends it
	inTrigger                      // within CREATE TRIGGER
	triggerSemi                    // a semicolon within CREATE TRIGGER
	triggerEnd                     // "; END" within CREATE TRIGGER
)

// feed adds input. A word must not be split between two calls.
func (s *splitter) feed(text string) {
	s.buf = append(s.buf, text...)
}

// next returns the next complete statement, with its semicolon and without
// the space and comments before it, and the number of the line it begins on,
// from 1.
func (s *splitter) next() (stmt string, line int, ok bool) {
	for s.pos < len(s.buf) {
		c := s.buf[s.pos]
		switch s.open {
		case 0:
		case '-':
			if c == '\n' {
				s.open = 0
			}
			s.pos++
			continue
		case '*':
			if c == '/' && s.buf[s.pos-1] == '*' {
				s.open = 0
			}
			s.pos++
			continue
		default:
			if c == s.open {
				s.open = 0
			}
			s.pos++
			continue
		}
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f':
			s.pos++
		case c == '-' && s.peek(1) == '-':
			s.open, s.pos = '-', s.pos+2
		case c == '/' && s.peek(1) == '*':
			s.open, s.pos = '*', s.pos+2
			if s.pos < len(s.buf) { // the star that opens does not close
				if s.buf[s.pos] == '/' {
					s.pos++
				}
			}
		case c == ';':
			s.pos++
			switch s.state {
			case inTrigger, triggerSemi:
				s.state = triggerSemi
				continue
			}
			if !s.any { // a lone semicolon
				s.drop(s.pos)
				continue
			}
			return s.take()
		case isWordByte(c):
			s.mark()
			start := s.pos
			for s.pos < len(s.buf) && isWordByte(s.buf[s.pos]) {
				s.pos++
			}
			s.step(s.buf[start:s.pos])
		default:
			s.mark()
			s.step(nil)
			switch c {
			case '\'', '"', '`':
				s.open = c
			case '[':
				s.open = ']'
			}
			s.pos++
		}
	}
	return "", 0, false
}

// rest returns what follows the last complete statement, and forgets it.
func (s *splitter) rest() (stmt string, line int, ok bool) {
	if !s.any {
		s.reset()
		return "", 0, false
	}
	s.pos = len(s.buf)
	s.open = 0
	return s.take()
}

// pending reports whether a statement has begun.
func (s *splitter) pending() bool { return s.any || s.open == '*' }

// reset forgets what was not returned yet.
func (s *splitter) reset() {
	s.pos = len(s.buf)
	s.drop(s.pos)
	s.open = 0
}

func (s *splitter) peek(n int) byte {
	if s.pos+n < len(s.buf) {
		return s.buf[s.pos+n]
	}
	return 0
}

func (s *splitter) mark() {
	if !s.any {
		s.any, s.first = true, s.pos
	}
}

func (s *splitter) take() (string, int, bool) {
	line := s.line + 1
	for _, c := range s.buf[:s.first] {
		if c == '\n' {
			line++
		}
	}
	stmt := string(s.buf[s.first:s.pos])
	s.drop(s.pos)
	return stmt, line, true
}

func (s *splitter) drop(n int) {
	for _, c := range s.buf[:n] {
		if c == '\n' {
			s.line++
		}
	}
	s.buf = s.buf[n:]
	s.pos -= n
	s.any, s.first, s.state = false, 0, atStart
	if len(s.buf) == 0 {
		s.buf = nil
	}
}

// step moves the state on by a word; nil stands for anything else.
func (s *splitter) step(word []byte) {
	is := func(w string) bool { return len(word) == len(w) && strings.EqualFold(string(word), w) }
	switch s.state {
	case atStart:
		switch {
		case is("create"):
			s.state = afterCreate
		case is("explain"):
			s.state = afterExplain
		default:
			s.state = inPlain
		}
	case afterExplain:
		switch {
		case is("query"), is("plan"):
		case is("create"):
			s.state = afterCreate
		default:
			s.state = inPlain
		}
	case afterCreate:
		switch {
		case is("temp"), is("temporary"):
		case is("trigger"):
			s.state = inTrigger
		default:
			s.state = inPlain
		}
	case triggerSemi:
		s.state = inTrigger
		if is("end") {
			s.state = triggerEnd
		}
	case triggerEnd:
		s.state = inTrigger
	}
}

// isWordByte reports whether c is part of a name, keyword or number.
func isWordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '$' || c >= 0x80
}
