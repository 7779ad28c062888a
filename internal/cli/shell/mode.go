package shell

import (
	"bufio"
	"fmt"
	"slices"
	"strings"

	"github.com/hako-run/hako/internal/nearest"
)

// A Mode is a form of output, by its name in .mode and --mode.
type Mode string

// Modes are the names that .mode knows.
var Modes = []Mode{"ascii", "box", "column", "csv", "html", "insert", "json", "jsonl", "line", "list", "markdown", "quote", "table", "tabs"}

// ParseMode returns the mode of that name, or an error that names the modes.
func ParseMode(name string) (Mode, error) {
	m := Mode(strings.ToLower(name))
	switch m {
	case "columns", "lines":
		m = m[:len(m)-1]
	case "ndjson":
		m = "jsonl"
	case "tsv":
		m = "tabs"
	}
	if slices.Contains(Modes, m) {
		return m, nil
	}
	all := make([]string, len(Modes))
	for i, m := range Modes {
		all[i] = string(m)
	}
	hint := "choose one of " + strings.Join(all, ", ")
	if near := nearest.Of(name, slices.Values(all)); near != "" {
		hint = fmt.Sprintf("did you mean %q? There are %s", near, strings.Join(all, ", "))
	}
	return "", fmt.Errorf("unknown mode %q: %s", name, hint)
}

// setMode also sets the separators that belong to the mode.
func (sh *Shell) setMode(name string) error {
	m, err := ParseMode(name)
	if err != nil {
		return err
	}
	sh.mode = m
	switch m {
	case "list":
		sh.colSep, sh.rowSep = "|", "\n"
	case "csv":
		sh.colSep, sh.rowSep = ",", "\r\n"
	case "tabs":
		sh.colSep, sh.rowSep = "\t", "\n"
	case "quote":
		sh.colSep, sh.rowSep = ",", "\n"
	case "ascii":
		sh.colSep, sh.rowSep = "\x1f", "\x1e"
	}
	return nil
}

// A printer writes the rows of one result. begin comes before the first row,
// if there is one; end always comes.
type printer interface {
	begin() error
	row(row []value) error
	end() error
	streams() bool // whether a row is written as it comes
}

func (sh *Shell) printer(w *bufio.Writer, columns []string) printer {
	show := func(v value) string { return sh.safe(textOf(v, sh.null)) }
	if sh.o.Interactive && sh.file == nil {
		text := show
		show = func(v value) string {
			if b, ok := v.([]byte); ok && !isText(b) {
				return blobSummary(b)
			}
			return text(v)
		}
	}
	literal := func(v value) string { return literalOf(v, false) }
	names := columns
	if sh.o.Interactive && sh.file == nil {
		names = make([]string, len(columns))
		for i, c := range columns {
			names[i] = sh.safe(c)
		}
	}
	switch sh.mode {
	case "box", "table", "column", "markdown":
		return newTablePrinter(w, tableStyles[sh.mode], names, sh.headers != off, sh.widths, sh.wrap, show)
	case "json", "jsonl":
		return &jsonPrinter{w: w, columns: columns, lines: sh.mode == "jsonl"}
	case "line":
		width := 5
		for _, c := range names {
			width = max(width, displayWidth(c))
		}
		return &linePrinter{w: w, columns: names, width: width, show: show}
	case "html":
		return &htmlPrinter{w: w, columns: names, headers: sh.headers == on, show: show}
	case "insert":
		return newInsertPrinter(w, sh.modeTable, columns, sh.headers == on)
	case "quote":
		p := &listPrinter{w: w, colSep: sh.colSep, rowSep: sh.rowSep, show: literal}
		if sh.headers == on {
			for _, c := range columns {
				p.header = append(p.header, literalOf(c, false))
			}
		}
		return p
	case "csv":
		p := &listPrinter{w: w, colSep: sh.colSep, rowSep: sh.rowSep}
		p.show = func(v value) string {
			if v == nil {
				return sh.null
			}
			return quoteCSV(textOf(v, ""), p.colSep)
		}
		if sh.headers == on {
			for _, c := range columns {
				p.header = append(p.header, quoteCSV(c, p.colSep))
			}
		}
		return p
	}
	p := &listPrinter{w: w, colSep: sh.colSep, rowSep: sh.rowSep, show: show}
	if sh.headers == on {
		p.header = names
	}
	return p
}

// safe shows control characters as ^X if s goes to a terminal, which they
// could otherwise command.
func (sh *Shell) safe(s string) string {
	if !sh.o.Interactive || sh.file != nil {
		return s
	}
	isControl := func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 }
	if strings.IndexFunc(s, isControl) < 0 {
		return strings.ToValidUTF8(s, "\ufffd")
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\r': // of a line end
		case r < 0x80 && isControl(r):
			b.WriteByte('^')
			b.WriteByte(byte(r) ^ 0x40)
		case isControl(r):
			fmt.Fprintf(&b, "\\u%04x", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// listPrinter writes values between separators.
type listPrinter struct {
	w              *bufio.Writer
	header         []string // nil: none
	colSep, rowSep string
	show           func(value) string
}

func (p *listPrinter) begin() error {
	if p.header == nil {
		return nil
	}
	p.w.WriteString(strings.Join(p.header, p.colSep))
	_, err := p.w.WriteString(p.rowSep)
	return err
}

func (p *listPrinter) row(row []value) error {
	for i, v := range row {
		if i > 0 {
			p.w.WriteString(p.colSep)
		}
		p.w.WriteString(p.show(v))
	}
	_, err := p.w.WriteString(p.rowSep)
	return err
}

func (p *listPrinter) end() error    { return nil }
func (p *listPrinter) streams() bool { return true }

// quoteCSV quotes s as sqlite3 does: whenever it is empty or holds anything
// but visible ASCII other than quotes.
func quoteCSV(s, sep string) string {
	need := s == "" || sep != "" && strings.Contains(s, sep)
	for i := 0; i < len(s) && !need; i++ {
		c := s[i]
		need = c <= ' ' || c >= 0x7f || c == '"' || c == '\''
	}
	if !need {
		return s
	}
	return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
}

// linePrinter writes a value a line.
type linePrinter struct {
	w       *bufio.Writer
	columns []string
	width   int
	show    func(value) string
	rows    int
}

func (p *linePrinter) begin() error { return nil }

func (p *linePrinter) row(row []value) error {
	if p.rows > 0 {
		p.w.WriteByte('\n')
	}
	p.rows++
	var err error
	for i, v := range row {
		p.w.WriteString(strings.Repeat(" ", max(0, p.width-displayWidth(p.columns[i]))))
		_, err = fmt.Fprintf(p.w, "%s = %s\n", p.columns[i], p.show(v))
	}
	return err
}

func (p *linePrinter) end() error    { return nil }
func (p *linePrinter) streams() bool { return true }

// htmlPrinter writes rows of an HTML table.
type htmlPrinter struct {
	w       *bufio.Writer
	columns []string
	headers bool
	show    func(value) string
}

var htmlEscaper = strings.NewReplacer("<", "&lt;", ">", "&gt;", "&", "&amp;", `"`, "&quot;", "'", "&#39;")

func (p *htmlPrinter) cells(tag string, n int, cell func(int) string) error {
	p.w.WriteString("<TR>")
	for i := range n {
		fmt.Fprintf(p.w, "<%s>%s</%s>\n", tag, htmlEscaper.Replace(cell(i)), tag)
	}
	_, err := p.w.WriteString("</TR>\n")
	return err
}

func (p *htmlPrinter) begin() error {
	if !p.headers {
		return nil
	}
	return p.cells("TH", len(p.columns), func(i int) string { return p.columns[i] })
}

func (p *htmlPrinter) row(row []value) error {
	return p.cells("TD", len(row), func(i int) string { return p.show(row[i]) })
}

func (p *htmlPrinter) end() error    { return nil }
func (p *htmlPrinter) streams() bool { return true }

// insertPrinter writes INSERT statements.
type insertPrinter struct {
	w    *bufio.Writer
	head string
}

func newInsertPrinter(w *bufio.Writer, table string, columns []string, headers bool) *insertPrinter {
	if table == "" {
		table = "table"
	}
	head := "INSERT INTO " + quoteName(table)
	if headers {
		names := make([]string, len(columns))
		for i, c := range columns {
			names[i] = quoteName(c)
		}
		head += "(" + strings.Join(names, ",") + ")"
	}
	return &insertPrinter{w, head + " VALUES("}
}

func (p *insertPrinter) begin() error { return nil }

func (p *insertPrinter) row(row []value) error {
	p.w.WriteString(p.head)
	for i, v := range row {
		if i > 0 {
			p.w.WriteByte(',')
		}
		p.w.WriteString(literalOf(v, true))
	}
	_, err := p.w.WriteString(");\n")
	return err
}

func (p *insertPrinter) end() error    { return nil }
func (p *insertPrinter) streams() bool { return true }
