package shell

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"modernc.org/sqlite"
)

// A StatementError is the failure of one statement.
type StatementError struct {
	File   string // the script, "" for the input itself
	Line   int    // of the input, from 1; 0 if the input has no lines
	SQL    string
	Offset int // of the offending text in SQL, in bytes; -1 if unknown
	Err    error
}

// newStatementError finds the place that err is about.
func newStatementError(stmt string, err error) *StatementError {
	e := &StatementError{SQL: stmt, Offset: offendingPlace(stmt, err.Error()), Err: err}
	if e.Offset > 0 {
		e.Line = strings.Count(stmt[:e.Offset], "\n")
	}
	e.Line++
	return e
}

func (e *StatementError) Unwrap() error { return e.Err }

// Error returns the message and, if the offending place is known, the line of
// SQL with a mark below it.
func (e *StatementError) Error() string {
	var b strings.Builder
	switch {
	case e.File != "":
		fmt.Fprintf(&b, "%s line %d: ", e.File, e.Line)
	case e.Line > 1:
		fmt.Fprintf(&b, "line %d: ", e.Line)
	}
	b.WriteString(plainMessage(e.Err))
	if e.Offset >= 0 {
		begin := strings.LastIndexByte(e.SQL[:e.Offset], '\n') + 1
		line, _, _ := strings.Cut(e.SQL[begin:], "\n")
		line = strings.TrimRight(strings.ReplaceAll(line, "\t", " "), "\r")
		at := displayWidth(e.SQL[begin:e.Offset])
		for at > 50 { // a long line is shown from near the place on
			_, n := utf8.DecodeRuneInString(line)
			at -= displayWidth(line[:n])
			line = line[n:]
		}
		fmt.Fprintf(&b, "\n  %s\n  %s^", truncate(line, 76), strings.Repeat(" ", at))
	}
	return b.String()
}

var (
	sqliteCode = regexp.MustCompile(` \(\d+\)( \(SQLITE_BUSY\))?$`)
	offender   = regexp.MustCompile(`(?:near "((?s:.+))": syntax error|no such (?:column|table|function|collation sequence|module|index|view|trigger|savepoint): (.+)|` +
		`unrecognized token: "((?s:.+))"|ambiguous column name: (.+)|wrong number of arguments to function (.+)\(\)|table (.+?) (?:already exists|has )|misuse of aggregate(?: function)?: (.+?)\(|no column named (.+)$|unknown database (.+)$)`)
)

// plainMessage returns the message of an error of SQLite without its code and
// without the class of the commonest.
func plainMessage(err error) string {
	text := err.Error()
	var se *sqlite.Error
	if !errors.As(err, &se) {
		return text
	}
	text = sqliteCode.ReplaceAllString(text, "")
	for _, class := range []string{"SQL logic error: ", "constraint failed: "} {
		text = strings.TrimPrefix(text, class)
	}
	return text
}

// offendingPlace returns the offset of the text in stmt that a message of
// SQLite names, or -1 if it names none or the text is there several times.
// (SQLite knows the offset, but the driver does not pass it on.)
func offendingPlace(stmt, message string) int {
	message = sqliteCode.ReplaceAllString(message, "")
	m := offender.FindStringSubmatch(message)
	if m == nil {
		if strings.Contains(message, "incomplete input") {
			return len(strings.TrimRight(stmt, " \t\r\n;"))
		}
		return -1
	}
	name := strings.Join(m[1:], "")
	place := -1
	list := tokens(stmt)
	for i, t := range list {
		text := stmt[t.start:t.end]
		same := strings.EqualFold(text, name) || t.kind == tokenName && unquoteName(text) == name
		for j := i + 1; !same && j < len(list) && list[j].end-t.start <= 2*len(name)+8; j++ { // x.y
			same = strings.EqualFold(stmt[t.start:list[j].end], name)
		}
		if !same && m[3] != "" { // an unrecognized token is not one of ours
			same = strings.HasPrefix(stmt[t.start:], name)
		}
		if !same {
			continue
		}
		if place >= 0 {
			return -1
		}
		place = t.start
	}
	if place < 0 { // schema.name
		if _, last, found := strings.Cut(name, "."); found {
			return offendingPlace(stmt, strings.Replace(message, name, last, 1))
		}
	}
	return place
}

// unquoteName returns the name that a quoted name stands for.
func unquoteName(text string) string {
	if len(text) < 2 {
		return text
	}
	switch q := text[0]; q {
	case '"', '`', '\'':
		if text[len(text)-1] == q {
			return strings.ReplaceAll(text[1:len(text)-1], string([]byte{q, q}), string([]byte{q}))
		}
	case '[':
		return strings.TrimSuffix(text[1:], "]")
	}
	return text
}
