package shell

import (
	"bufio"
	"strings"

	"github.com/clipperhouse/uax29/v2/graphemes"
	"github.com/mattn/go-runewidth"
)

// Rows that a table buffers to find the widths of its columns. Later rows are
// printed as they come and broken at those widths, but for numbers, which make
// the column wider: those of a broken one are others.
const (
	tableRows  = 2000
	tableBytes = 4 << 20
)

// A tableStyle is the strings a table is drawn with. A rule is drawn with its
// left end, its fill, its crossing and its right end.
type tableStyle struct {
	left, between, right string // of a row
	top, head, mid, foot [4]string
	center               bool // names of columns are centred
}

var tableStyles = map[Mode]*tableStyle{
	"box": {
		left: "│ ", between: " │ ", right: " │", center: true,
		top: [4]string{"┌─", "─", "─┬─", "─┐"}, head: [4]string{"├─", "─", "─┼─", "─┤"},
		mid: [4]string{"├─", "─", "─┼─", "─┤"}, foot: [4]string{"└─", "─", "─┴─", "─┘"},
	},
	"table": {
		left: "| ", between: " | ", right: " |", center: true,
		top: [4]string{"+-", "-", "-+-", "-+"}, head: [4]string{"+-", "-", "-+-", "-+"},
		mid: [4]string{"+-", "-", "-+-", "-+"}, foot: [4]string{"+-", "-", "-+-", "-+"},
	},
	"markdown": {
		left: "| ", between: " | ", right: " |", center: true,
		head: [4]string{"|-", "-", "-|-", "-|"},
	},
	"column": {
		between: "  ",
		head:    [4]string{"", "-", "  ", ""},
		mid:     [4]string{"", "", "", ""}, // an empty line
	},
}

type tablePrinter struct {
	w       *bufio.Writer
	style   *tableStyle
	columns []string
	headers bool
	set     []int // what .width said; negative is right-aligned
	wrap    int   // where lines are broken without .width; 0 is nowhere
	show    func(value) string

	rows    [][]string // buffered
	bytes   int
	printed int
	widths  []int // set once the head is printed
	ruled   bool  // rows have rules between them, as some have several lines
}

func newTablePrinter(w *bufio.Writer, style *tableStyle, columns []string, headers bool, set []int, wrap int, show func(value) string) *tablePrinter {
	return &tablePrinter{w: w, style: style, columns: columns, headers: headers, set: set, wrap: wrap, show: show}
}

func (p *tablePrinter) begin() error  { return nil }
func (p *tablePrinter) streams() bool { return false }

func (p *tablePrinter) row(row []value) error {
	cells := make([]string, len(row))
	for i, v := range row {
		cells[i] = p.show(v)
		p.bytes += len(cells[i])
	}
	if p.widths != nil {
		for i, v := range row {
			if isNumber(v) && (i >= len(p.set) || p.set[i] == 0) {
				p.widths[i] = max(p.widths[i], len(cells[i]))
			}
		}
		return p.print(p.cells(cells))
	}
	p.rows = append(p.rows, cells)
	if len(p.rows) < tableRows && p.bytes < tableBytes {
		return nil
	}
	return p.flush()
}

func (p *tablePrinter) end() error {
	if p.widths == nil {
		if len(p.rows) == 0 {
			return nil
		}
		if err := p.flush(); err != nil {
			return err
		}
	}
	return p.rule(p.style.foot)
}

// limit returns the width at which the lines of a column are broken.
func (p *tablePrinter) limit(column int) int {
	if p.widths != nil {
		return p.widths[column]
	}
	if column < len(p.set) && p.set[column] != 0 {
		return max(p.set[column], -p.set[column])
	}
	return p.wrap
}

// cells breaks each of the cells of a row into its lines.
func (p *tablePrinter) cells(row []string) [][]string {
	cells := make([][]string, len(row))
	for i, s := range row {
		cells[i] = wrapLines(s, p.limit(i))
	}
	return cells
}

// flush prints the head and the rows buffered.
func (p *tablePrinter) flush() error {
	head := p.cells(p.columns)
	widths := make([]int, len(p.columns))
	measure := func(cells [][]string) {
		for i, lines := range cells {
			for _, line := range lines {
				widths[i] = max(widths[i], displayWidth(line))
			}
		}
	}
	for i := range widths {
		if i < len(p.set) {
			widths[i] = max(p.set[i], -p.set[i])
		}
	}
	if p.headers {
		measure(head)
	}
	rows := make([][][]string, len(p.rows))
	for i, row := range p.rows {
		rows[i] = p.cells(row)
		measure(rows[i])
		for _, lines := range rows[i] {
			p.ruled = p.ruled || len(lines) > 1
		}
	}
	p.rows, p.widths = nil, widths
	if err := p.rule(p.style.top); err != nil {
		return err
	}
	if p.headers {
		if err := p.lines(head, p.style.center); err != nil {
			return err
		}
		if err := p.rule(p.style.head); err != nil {
			return err
		}
	}
	for _, cells := range rows {
		if err := p.print(cells); err != nil {
			return err
		}
	}
	return nil
}

func (p *tablePrinter) print(cells [][]string) error {
	if p.ruled && p.printed > 0 {
		if p.style == tableStyles["column"] {
			p.w.WriteByte('\n')
		} else if err := p.rule(p.style.mid); err != nil {
			return err
		}
	}
	p.printed++
	return p.lines(cells, false)
}

func (p *tablePrinter) lines(cells [][]string, center bool) error {
	height := 1
	for _, lines := range cells {
		height = max(height, len(lines))
	}
	for n := range height {
		p.w.WriteString(p.style.left)
		for i, lines := range cells {
			if i > 0 {
				p.w.WriteString(p.style.between)
			}
			text := ""
			if n < len(lines) {
				text = lines[n]
			}
			space := max(0, p.widths[i]-displayWidth(text))
			before := 0
			switch {
			case center:
				before = space / 2
			case i < len(p.set) && p.set[i] < 0:
				before = space
			}
			p.w.WriteString(strings.Repeat(" ", before))
			p.w.WriteString(text)
			p.w.WriteString(strings.Repeat(" ", space-before))
		}
		p.w.WriteString(p.style.right)
		if err := p.w.WriteByte('\n'); err != nil {
			return err
		}
	}
	return nil
}

func (p *tablePrinter) rule(r [4]string) error {
	if r[1] == "" {
		return nil
	}
	p.w.WriteString(r[0])
	for i, width := range p.widths {
		if i > 0 {
			p.w.WriteString(r[2])
		}
		p.w.WriteString(strings.Repeat(r[1], width))
	}
	p.w.WriteString(r[3])
	return p.w.WriteByte('\n')
}

// displayWidth returns the columns that s takes on a terminal.
func displayWidth(s string) int {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 || s[i] < ' ' {
			return runewidth.StringWidth(s)
		}
	}
	return len(s)
}

// truncate cuts s to a display width.
func truncate(s string, width int) string {
	if displayWidth(s) <= width {
		return s
	}
	return wrapLines(s, width-1)[0] + "…"
}

// wrapLines breaks s at line ends, and at limit columns if that is not 0.
// Tabs become spaces.
func wrapLines(s string, limit int) []string {
	if len(s) < 0x20 || limit > 0 && len(s) <= limit { // the common case
		plain := limit == 0 || len(s) <= limit
		for i := 0; i < len(s) && plain; i++ {
			plain = s[i] >= ' ' && s[i] < 0x80
		}
		if plain {
			return []string{s}
		}
	}
	var lines []string
	var line strings.Builder
	width := 0
	flush := func() {
		lines = append(lines, line.String())
		line.Reset()
		width = 0
	}
	for clusters := graphemes.FromString(s); clusters.Next(); {
		cluster := clusters.Value()
		w := runewidth.StringWidth(cluster)
		switch cluster {
		case "\n", "\r\n":
			flush()
			continue
		case "\t":
			w = 8 - width%8
			cluster = strings.Repeat(" ", w)
		}
		if limit > 0 && width > 0 && width+w > limit {
			flush()
		}
		line.WriteString(cluster)
		width += w
	}
	if line.Len() > 0 || len(lines) == 0 {
		flush()
	}
	return lines
}
