package shell

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// A csvReader reads rows of separated values as sqlite3's .import does: a
// field that begins with a double quote goes on to the quote that closes it,
// through separators and line ends; every other field is what stands there.
// An empty line is a row of one empty field.
type csvReader struct {
	r      *bufio.Reader
	sep    byte
	quotes bool // whether double quotes quote
	line   int  // of the row that was read last, from 1
	lines  int  // line ends read
	field  []byte
}

func newCSVReader(r io.Reader, sep byte, quotes bool) *csvReader {
	c := &csvReader{r: bufio.NewReaderSize(r, 64<<10), sep: sep, quotes: quotes}
	if bom, _ := c.r.Peek(3); string(bom) == "\xef\xbb\xbf" {
		_, _ = c.r.Discard(3)
	}
	return c
}

// errQuote says that a quoted field is not closed.
var errQuote = errors.New("a double quote that begins a value is never closed")

// read returns the next row, or io.EOF.
func (c *csvReader) read(row []string) ([]string, error) {
	row = row[:0]
	c.line = c.lines + 1
	if _, err := c.r.Peek(1); err != nil {
		return nil, err
	}
	for {
		field, more, err := c.readField()
		if err != nil {
			return nil, err
		}
		row = append(row, field)
		if !more {
			return row, nil
		}
	}
}

// readField returns a field and whether a separator follows it.
func (c *csvReader) readField() (field string, more bool, err error) {
	c.field = c.field[:0]
	b, err := c.r.ReadByte()
	if c.quotes && err == nil && b == '"' {
		if err := c.readQuoted(); err != nil {
			return "", false, err
		}
		b, err = c.r.ReadByte()
		for ; err == nil && b != c.sep && b != '\n'; b, err = c.r.ReadByte() { // leniently: "a"b
			if b == '\r' {
				if next, _ := c.r.Peek(1); len(next) == 0 || next[0] == '\n' {
					continue
				}
			}
			c.field = append(c.field, b)
		}
	} else {
		for ; err == nil && b != c.sep && b != '\n'; b, err = c.r.ReadByte() {
			c.field = append(c.field, b)
		}
		if n := len(c.field); n > 0 && c.field[n-1] == '\r' && (err != nil || b == '\n') {
			c.field = c.field[:n-1]
		}
	}
	if err != nil && err != io.EOF {
		return "", false, err
	}
	if err == nil && b == '\n' {
		c.lines++
	}
	return string(c.field), err == nil && b == c.sep, nil
}

func (c *csvReader) readQuoted() error {
	for {
		b, err := c.r.ReadByte()
		switch {
		case err == io.EOF:
			return errQuote
		case err != nil:
			return err
		case b == '"':
			next, _ := c.r.Peek(1)
			if len(next) == 0 || next[0] != '"' {
				return nil
			}
			_, _ = c.r.ReadByte()
		case b == '\n':
			c.lines++
		}
		c.field = append(c.field, b)
	}
}

// wrap says where in the file an error occurred.
func (c *csvReader) wrap(file string, err error) error {
	return fmt.Errorf("%s:%d: %w", file, c.line, err)
}
