package diff

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
)

// patch writes the SQL that turns the first side into the second.
type patch struct {
	d     *Diff
	out   *bufio.Writer
	ctx   context.Context
	sums  map[string]Summary // by folded table name
	vtabs map[string]bool    // virtual tables made anew or gone, by folded name
	err   error
}

// WriteSQL writes a patch: SQL that turns a database with the first side's
// contents into one with the second's. It is one transaction; it switches off
// foreign keys and CHECK constraints on the connection, drops the triggers of
// the tables it changes and makes them again.
//
// Tables whose columns changed are rebuilt. Rows that must not meet in a
// unique index are deleted before any is inserted. Shadow tables of virtual
// tables (FTS, R-Tree) are written directly, so that they become exactly what
// they were: a connection with SQLITE_DBCONFIG_DEFENSIVE set refuses that, and
// connections that are open on the virtual table should be closed after it.
//
// What cannot be patched: statistics of ANALYZE other than sqlite_stat1 are
// left out, and an empty sqlite_sequence stays, since SQL cannot drop it. A
// table whose rowids have no name in SQL because columns took all three, and a
// change of the text encoding, are errors.
//
// It reads what Rows reads, three times.
func (d *Diff) WriteSQL(ctx context.Context, w io.Writer) error {
	if d.before.enc != d.after.enc && d.before.count != 0 && d.after.count != 0 {
		return fmt.Errorf("writing a patch: the first database keeps text in %s, the second in %s, and SQL cannot change that", d.before.enc, d.after.enc)
	}
	sums, err := d.Summary(ctx)
	if err != nil {
		return err
	}
	p := &patch{d: d, out: bufio.NewWriter(w), ctx: ctx, sums: map[string]Summary{}, vtabs: map[string]bool{}}
	for _, s := range sums {
		p.sums[foldName(s.Table)] = s
	}
	for _, c := range d.changes {
		for _, o := range []*Object{c.Before, c.After} {
			if o != nil && o.Virtual() {
				p.vtabs[foldName(o.Name)] = true
			}
		}
	}
	if len(sums) == 0 && len(d.changes) == 0 {
		p.line("-- nothing differs")
	} else {
		p.write()
	}
	if p.err == nil {
		p.err = p.out.Flush()
	}
	if p.err != nil {
		return fmt.Errorf("writing a patch: %w", p.err)
	}
	return nil
}

func (p *patch) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.out, format+"\n", args...)
	}
}

func (p *patch) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}

func (p *patch) write() {
	if p.d.before.count == 0 && p.d.after.enc != utf8Text {
		p.line("PRAGMA encoding='%s';", p.d.after.enc)
	}
	p.line("-- Run outside of a transaction. Foreign keys are not enforced on the connection afterwards.")
	p.line("PRAGMA foreign_keys=OFF;")
	p.line("PRAGMA ignore_check_constraints=ON;")
	p.line("PRAGMA legacy_alter_table=ON;")
	p.line("BEGIN IMMEDIATE;")
	p.dropOld()
	p.createVirtual()
	for _, pr := range p.d.pairs {
		if systemTable(pr.name) {
			continue
		}
		switch {
		case p.refilled(pr.name):
			p.refill(pr)
		case pr.after == nil:
		case pr.before == nil:
			p.line("%s;", pr.after.SQL)
			p.inserts(pr, Added)
		case pr.before.SQL != pr.after.SQL:
			p.rebuild(pr)
		default:
			p.edit(pr)
		}
	}
	p.createNew()
	p.systemTables()
	for _, c := range p.d.changes {
		if c.Type == "pragma" {
			p.line("PRAGMA %s=%s;", c.Name, c.After.SQL)
		}
	}
	p.line("COMMIT;")
	p.line("PRAGMA ignore_check_constraints=OFF;")
	p.line("PRAGMA legacy_alter_table=OFF;")
}

func systemTable(name string) bool { return strings.HasPrefix(foldName(name), "sqlite_") }

// refilled reports whether a table is a shadow of a virtual table that the
// patch drops or makes: its rows then are none, or what the module puts there.
func (p *patch) refilled(table string) bool {
	for _, s := range []*schema{p.d.old, p.d.new} {
		if v := s.virtualOf(table); v != nil && p.vtabs[foldName(v.Name)] {
			return true
		}
	}
	return false
}

// touched reports whether the patch writes rows of a table.
func (p *patch) touched(table string) bool {
	if _, ok := p.sums[foldName(table)]; ok {
		return true
	}
	return p.rebuilt(table)
}

// rebuilt reports whether a table's SQL changed.
func (p *patch) rebuilt(table string) bool {
	return slices.ContainsFunc(p.d.changes, func(c SchemaChange) bool {
		return c.Type == "table" && c.Kind == Changed && foldName(c.Name) == foldName(table)
	})
}

// change is what happens to an object of the schema, or nil.
func (p *patch) change(o *Object) *SchemaChange {
	for i, c := range p.d.changes {
		if c.Type == o.Type && foldName(c.Name) == foldName(o.Name) {
			return &p.d.changes[i]
		}
	}
	return nil
}

// dropOld drops what is gone or changed, and triggers that would fire.
func (p *patch) dropOld() {
	for _, kind := range []string{"trigger", "view", "index"} {
		for _, o := range p.d.old.objects {
			if o.Type == kind && o.SQL != "" && p.d.wanted(o.Table) && p.drops(o) {
				p.line("DROP %s %s;", strings.ToUpper(kind), quoteName(o.Name))
			}
		}
	}
	for _, c := range p.d.changes {
		if c.Type == "table" && c.Before != nil && c.Before.Virtual() {
			p.line("DROP TABLE %s;", quoteName(c.Before.Name))
		}
	}
	for _, c := range p.d.changes {
		gone := c.Type == "table" && c.Before != nil && !c.Before.Virtual() && (c.Kind == Removed || c.After.Virtual())
		if gone && !systemTable(c.Name) && !p.refilled(c.Name) {
			p.line("DROP TABLE %s;", quoteName(c.Name))
		}
	}
}

func (p *patch) drops(o *Object) bool {
	if p.change(o) != nil {
		return true
	}
	switch o.Type {
	case "trigger":
		view := p.d.old.find("view", o.Table)
		return p.touched(o.Table) || view != nil && p.change(view) != nil
	case "index":
		return p.rebuilt(o.Table)
	}
	return false
}

// createVirtual makes virtual tables, which make their shadow tables.
func (p *patch) createVirtual() {
	for _, c := range p.d.changes {
		if c.After != nil && c.After.Virtual() && c.Type == "table" {
			p.line("%s;", c.After.SQL)
		}
	}
}

// createNew makes what is new or changed or was dropped by dropOld.
func (p *patch) createNew() {
	for _, kind := range []string{"index", "view", "trigger"} {
		for _, n := range p.d.new.objects {
			if n.Type != kind || n.SQL == "" || !p.d.wanted(n.Table) || p.refilled(n.Table) && kind == "index" {
				continue
			}
			o := p.d.old.find(kind, n.Name)
			if o == nil || p.drops(o) {
				p.line("%s;", n.SQL)
			}
		}
	}
}

// each calls f with one table's changes.
func (p *patch) each(pr *pair, f func(Change)) {
	for c, err := range p.d.rows(p.ctx, pr) {
		if err != nil {
			p.fail(err)
		}
		if p.err != nil {
			return
		}
		f(c)
	}
}

// edit changes rows in place.
func (p *patch) edit(pr *pair) {
	if p.sums[foldName(pr.name)] == (Summary{}) {
		return
	}
	p.each(pr, func(c Change) {
		switch {
		case c.Kind == Removed || c.Kind == Changed && p.replaced(c):
			p.line("DELETE FROM %s WHERE %s;", quoteName(pr.name), p.where(c, c.Before, c.Old))
		case c.Kind == Changed:
			p.update(c)
		}
	})
	p.each(pr, func(c Change) {
		if c.Kind == Added || c.Kind == Changed && p.replaced(c) {
			p.insert(c)
		}
	})
}

// replaced reports whether a changed row has to be deleted and inserted, since
// an update could meet another row in a unique index.
func (p *patch) replaced(c Change) bool {
	for i, col := range c.After.Columns {
		if !col.Generated && c.After.unique[i] && !c.Old[i].Equal(c.New[i]) {
			return true
		}
	}
	return false
}

func (p *patch) update(c Change) {
	var set []string
	for i, col := range c.After.Columns {
		if !col.Generated && !c.Old[i].Equal(c.New[i]) {
			set = append(set, quoteName(col.Name)+"="+p.lit(c.New[i]))
		}
	}
	p.line("UPDATE %s SET %s WHERE %s;", quoteName(c.Table), strings.Join(set, ", "), p.where(c, c.Before, c.Old))
}

func (p *patch) lit(v Value) string {
	s, err := p.d.literal(v)
	if err != nil {
		p.fail(err)
	}
	return s
}

// rowid is the name of a table's rowid.
func (p *patch) rowid(t *Table) string {
	if t.rowids == "" {
		p.fail(fmt.Errorf("the rowids of table %s have no name in SQL, since it has columns rowid, _rowid_ and oid; leave it out", t.Name))
	}
	return t.rowids
}

// where is the condition that only one row of t fulfils.
func (p *patch) where(c Change, t *Table, row []Value) string {
	if !t.WithoutRowid {
		return fmt.Sprintf("%s=%d", p.rowid(t), c.Rowid)
	}
	var and []string
	for i, k := range t.Key {
		// The key's collation is not always its column's.
		and = append(and, fmt.Sprintf("%s=%s COLLATE %s", quoteName(t.Columns[k].Name), p.lit(row[k]), t.parts[i].collation))
	}
	return strings.Join(and, " AND ")
}

// columns are the names of what an INSERT has to give: the rowid, where no
// column is it, and all columns that are not generated.
func (p *patch) columns(t *Table) []string {
	var names []string
	if !t.WithoutRowid && t.alias() < 0 {
		names = append(names, p.rowid(t))
	}
	for _, c := range t.Columns {
		if !c.Generated {
			names = append(names, quoteName(c.Name))
		}
	}
	return names
}

func (p *patch) insert(c Change) {
	var vals []string
	if !c.After.WithoutRowid && c.After.alias() < 0 {
		vals = append(vals, fmt.Sprint(c.Rowid))
	}
	for i, col := range c.After.Columns {
		if !col.Generated {
			vals = append(vals, p.lit(c.New[i]))
		}
	}
	p.line("INSERT INTO %s(%s) VALUES(%s);", quoteName(c.After.Name), strings.Join(p.columns(c.After), ","), strings.Join(vals, ","))
}

// inserts inserts the rows of the second side that changed in one of the ways.
func (p *patch) inserts(pr *pair, kinds ...ChangeKind) {
	p.each(pr, func(c Change) {
		if slices.Contains(kinds, c.Kind) {
			p.insert(c)
		}
	})
}

// rebuild makes a table anew under its new SQL: rows that stay what they are
// are copied, others inserted.
func (p *patch) rebuild(pr *pair) {
	old := quoteName(p.spareName(pr.name))
	if pr.merge {
		p.each(pr, func(c Change) {
			if c.Kind != Added {
				p.line("DELETE FROM %s WHERE %s;", quoteName(pr.before.Name), p.where(c, c.Before, c.Old))
			}
		})
	}
	p.line("ALTER TABLE %s RENAME TO %s;", quoteName(pr.before.Name), old)
	p.line("%s;", pr.after.SQL)
	if pr.merge {
		var from []string
		if !pr.after.WithoutRowid && pr.after.alias() < 0 {
			from = append(from, p.rowid(pr.before))
		}
		for j, c := range pr.after.Columns {
			switch i := pr.from[j]; {
			case c.Generated:
			case j == pr.after.alias() && i != pr.before.alias():
				from = append(from, p.rowid(pr.before))
			case i >= 0:
				from = append(from, quoteName(pr.before.Columns[i].Name))
			default:
				from = append(from, p.lit(pr.fill[j]))
			}
		}
		p.line("INSERT INTO %s(%s) SELECT %s FROM %s;", quoteName(pr.after.Name), strings.Join(p.columns(pr.after), ","), strings.Join(from, ","), old)
	}
	p.line("DROP TABLE %s;", old)
	p.inserts(pr, Added, Changed)
}

// spareName is a name that neither side has.
func (p *patch) spareName(table string) string {
	for i := 0; ; i++ {
		name := fmt.Sprintf("hako_patch_%d_%s", i, table)
		if p.d.old.find("table", name) == nil && p.d.new.find("table", name) == nil {
			return name
		}
	}
}

// refill gives a shadow table that its module has just made all its rows.
func (p *patch) refill(pr *pair) {
	if pr.after == nil {
		return
	}
	p.line("DELETE FROM %s;", quoteName(pr.after.Name))
	p.inserts(&pair{name: pr.name, after: pr.after}, Added)
}

// systemTables gives sqlite_sequence and sqlite_stat1 all their rows: SQLite
// writes to them by itself when rows are inserted and when tables and indexes
// are dropped.
func (p *patch) systemTables() {
	for _, name := range []string{"sqlite_sequence", "sqlite_stat1"} {
		if !p.d.wanted(name) {
			continue
		}
		o, n := tableObject(p.d.old, name), tableObject(p.d.new, name)
		if o == nil && n == nil {
			continue
		}
		if n == nil {
			if name == "sqlite_stat1" {
				p.line("DROP TABLE sqlite_stat1;")
			} else {
				p.line("DELETE FROM sqlite_sequence;")
			}
			continue
		}
		if o == nil && name == "sqlite_stat1" {
			p.line("ANALYZE sqlite_schema;")
		} else if o == nil {
			spare := quoteName(p.spareName("sequence"))
			p.line("CREATE TABLE %s(i INTEGER PRIMARY KEY AUTOINCREMENT);\nDROP TABLE %s;", spare, spare)
		}
		t, err := p.d.asker.load(p.d.after, n)
		if err != nil {
			p.fail(err)
			return
		}
		p.refill(&pair{name: name, after: t})
	}
	for _, pr := range p.d.pairs {
		if _, differs := p.sums[foldName(pr.name)]; differs && systemTable(pr.name) && pr.name != "sqlite_sequence" && pr.name != "sqlite_stat1" {
			p.line("-- %s is left out: run ANALYZE", pr.name)
		}
	}
}
