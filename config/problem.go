package config

import (
	"fmt"
	"sort"
	"strings"
)

// A Problem is one mistake in a configuration.
type Problem struct {
	File    string // as given to Load or Parse
	Line    int    // from 1
	Column  int    // from 1, in characters
	Message string // what is wrong
	Hint    string // what to do, or ""
}

// String returns "file:line:column: message: hint".
func (p Problem) String() string {
	s := fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Message)
	if p.Hint != "" {
		s += ": " + p.Hint
	}
	return s
}

// An Error lists the mistakes of a configuration in the order of the file; it
// holds at least one.
type Error struct {
	Problems []Problem
}

// Error returns one line for each problem.
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// maxProblems is how many mistakes are reported at once; more would come of
// one that is told already.
const maxProblems = 100

// problems collects mistakes while a file is read.
type problems struct {
	file string
	text []byte
	list []located
}

type located struct {
	offset int
	Problem
}

// add notes a mistake at a byte offset of the text.
func (p *problems) add(offset int, hint, format string, args ...any) {
	if len(p.list) >= maxProblems {
		return
	}
	line, column := position(p.text, offset)
	p.list = append(p.list, located{offset, Problem{
		File: p.file, Line: line, Column: column, Message: fmt.Sprintf(format, args...), Hint: hint,
	}})
}

// err returns nil if nothing was noted.
func (p *problems) err() error {
	if len(p.list) == 0 {
		return nil
	}
	sort.SliceStable(p.list, func(i, j int) bool { return p.list[i].offset < p.list[j].offset })
	e := &Error{}
	for _, l := range p.list {
		e.Problems = append(e.Problems, l.Problem)
	}
	return e
}
