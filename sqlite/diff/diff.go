package diff

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
)

// Options of New; the zero value works.
type Options struct {
	// Changed yields the pages whose content may differ between the sides,
	// each from 1 and in any order; pages beyond the end of a side are allowed.
	// nil: not known, all pages are read.
	Changed iter.Seq[uint32]
	// Tables are the only tables to report, and Schema and WriteSQL leave out
	// what does not belong to them. nil: all.
	Tables []string
}

// Diff is the difference between two sides, the first (before) and the second
// (after). It must be closed.
type Diff struct {
	before, after *source
	asker         *asker
	old, new      *schema
	only          map[string]bool
	changes       []SchemaChange
	pairs         []*pair
	marks         marks
	sums          []Summary
}

// ChangeKind says what happened to a row or to an object of the schema.
type ChangeKind uint8

// The kinds of changes.
const (
	Added ChangeKind = iota
	Removed
	Changed
)

func (k ChangeKind) String() string { return [...]string{"added", "removed", "changed"}[k] }

// SchemaChange is a difference between the schemas, or of a setting that lies
// beside them: then Type is "pragma", and the SQL of Before and After is the
// value.
type SchemaChange struct {
	Kind          ChangeKind
	Type, Name    string
	Before, After *Object // nil if Added, Removed
}

// Change is a row that differs.
type Change struct {
	Kind  ChangeKind
	Table string
	Rowid int64 // of a rowid table
	// Before and After are the table on either side, nil where it is not.
	Before, After *Table
	// Old and New hold a value for each column of Before and After; nil where
	// the row is not.
	Old, New []Value
}

// Summary is what happened to a table's rows.
type Summary struct {
	Table                   string
	Added, Removed, Changed int64
}

// pair is a table of the one side, the other, or both.
type pair struct {
	name          string
	before, after *Table
	// from is, for each column of after, the column of before that it was, or
	// -1; fill is what rows of before have in such new columns.
	from []int
	fill []Value
	// alike: the same record means the same row, so that equal pages can be
	// skipped.
	alike bool
	// merge: the rows of both sides come in one order.
	merge bool
}

// New compares the schemas of two sides and finds out which tables may differ.
// It fails with a FormatError, with what a side's ReadPage returned, or with
// what SQLite has to say about a schema.
func New(before, after Pages, o Options) (_ *Diff, err error) {
	d := &Diff{}
	if d.before, err = newSource("first", before); err != nil {
		return nil, err
	}
	if d.after, err = newSource("second", after); err != nil {
		return nil, err
	}
	d.asker = newAsker(d.before, d.after)
	if o.Tables != nil {
		d.only = map[string]bool{}
		for _, t := range o.Tables {
			d.only[foldName(t)] = true
		}
	}
	if d.old, err = readSchema(d.before); err != nil {
		return nil, err
	}
	if d.new, err = readSchema(d.after); err != nil {
		return nil, err
	}
	d.compareSchemas()
	if err = d.pairTables(o.Changed); err != nil {
		return nil, joinClose(err, d.Close())
	}
	return d, nil
}

func joinClose(err, closed error) error {
	if closed != nil {
		return fmt.Errorf("%w (and closing: %w)", err, closed)
	}
	return err
}

// Close releases what the Diff holds. The Diff cannot be used any more.
func (d *Diff) Close() error { return d.asker.close() }

// Missing returns those of the given names that are no table or view on either
// side, to tell a mistyped one from one that is the same on both.
func (d *Diff) Missing(tables []string) []string {
	var missing []string
	for _, t := range tables {
		named := func(o *Object) bool { return foldName(o.Table) == foldName(t) }
		if !slices.ContainsFunc(d.old.objects, named) && !slices.ContainsFunc(d.new.objects, named) {
			missing = append(missing, t)
		}
	}
	return missing
}

// wanted reports whether a table is one to report.
func (d *Diff) wanted(table string) bool { return d.only == nil || d.only[foldName(table)] }

func (d *Diff) compareSchemas() {
	for _, o := range d.old.objects {
		n := d.new.find(o.Type, o.Name)
		switch {
		case !d.wanted(o.Table) || o.Type == "index" && o.SQL == "":
		case n == nil:
			d.changes = append(d.changes, SchemaChange{Removed, o.Type, o.Name, o, nil})
		case n.SQL != o.SQL || foldName(n.Table) != foldName(o.Table):
			d.changes = append(d.changes, SchemaChange{Changed, o.Type, n.Name, o, n})
		}
	}
	for _, n := range d.new.objects {
		if d.wanted(n.Table) && !(n.Type == "index" && n.SQL == "") && d.old.find(n.Type, n.Name) == nil {
			d.changes = append(d.changes, SchemaChange{Added, n.Type, n.Name, nil, n})
		}
	}
	order := []string{"table", "index", "view", "trigger"}
	slices.SortStableFunc(d.changes, func(a, b SchemaChange) int {
		if c := slices.Index(order, a.Type) - slices.Index(order, b.Type); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	if d.only != nil {
		return
	}
	pragma := func(name string, was, is int32) {
		if was != is {
			value := func(v int32) *Object { return &Object{Type: "pragma", Name: name, SQL: fmt.Sprint(v)} }
			d.changes = append(d.changes, SchemaChange{Changed, "pragma", name, value(was), value(is)})
		}
	}
	pragma("user_version", d.before.userVersion, d.after.userVersion)
	pragma("application_id", d.before.appID, d.after.appID)
}

// Schema is what differs in the schemas: tables first, then indexes, views,
// triggers, and settings.
func (d *Diff) Schema() []SchemaChange { return slices.Clone(d.changes) }

// pairTables loads the tables that may differ.
func (d *Diff) pairTables(changed iter.Seq[uint32]) error {
	loaded := map[*Object]*Table{}
	load := func(s *source, o *Object) (*Table, error) {
		if o == nil || loaded[o] != nil {
			return loaded[o], nil
		}
		t, err := d.asker.load(s, o)
		loaded[o] = t
		return t, err
	}
	// Equal roots in an equal file: then there can be something to skip.
	if changed != nil && d.before.pageSize == d.after.pageSize && d.before.usable == d.after.usable && d.before.enc == d.after.enc {
		d.marks.known = true
		for p := range changed {
			d.marks.changed.add(p)
		}
		trees, all, err := d.trees(func(o *Object) (*Table, error) { return load(d.after, o) })
		if err != nil {
			return err
		}
		l, err := newLocator(d.after, trees, all)
		if err != nil {
			return err
		}
		if err := d.marks.mark(d.before, l); err != nil {
			return err
		}
	}
	for _, name := range d.tableNames() {
		o, n := tableObject(d.old, name), tableObject(d.new, name)
		if o == nil && n == nil || !d.wanted(name) {
			continue
		}
		if o != nil && n != nil && o.root == n.root && o.SQL == n.SQL && d.marks.clean(o.root, false) {
			continue
		}
		p := &pair{name: name}
		var err error
		if p.before, err = load(d.before, o); err != nil {
			return err
		}
		if p.after, err = load(d.after, n); err != nil {
			return err
		}
		if p.before != nil && p.after != nil {
			p.match(d.before.enc == d.after.enc)
		}
		d.pairs = append(d.pairs, p)
	}
	return nil
}

// trees are the trees of the second side: those of tables, to find pages in by
// key, and all.
func (d *Diff) trees(load func(*Object) (*Table, error)) (keyed, all []tree, err error) {
	keyed = []tree{{root: 1}}
	all = keyed[:1:1]
	for _, o := range d.new.objects {
		if o.root == 0 {
			continue
		}
		if o.Type != "table" {
			all = append(all, tree{root: o.root, index: true})
			continue
		}
		n, err := d.after.node(o.root)
		if err != nil {
			return nil, nil, err
		}
		t := tree{root: o.root, index: n.index()}
		all = append(all, t)
		if t.index {
			full, err := load(o)
			if err != nil {
				return nil, nil, err
			}
			if full.comparable() != nil {
				continue
			}
			t = full.tree
		}
		keyed = append(keyed, t)
	}
	return keyed, all, nil
}

// tableNames are the names of both sides' tables, sorted.
func (d *Diff) tableNames() []string {
	seen := map[string]bool{}
	var names []string
	for _, s := range []*schema{d.new, d.old} {
		for _, o := range s.objects {
			if o.Type == "table" && !seen[foldName(o.Name)] {
				seen[foldName(o.Name)] = true
				names = append(names, o.Name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// tableObject is an ordinary table of the schema, or nil.
func tableObject(s *schema, name string) *Object {
	if o := s.find("table", name); o != nil && !o.Virtual() {
		return o
	}
	return nil
}

// match finds out how the rows of a table's two sides compare.
func (p *pair) match(sameEncoding bool) {
	a, b := p.before, p.after
	p.merge = a.WithoutRowid == b.WithoutRowid
	if b.WithoutRowid {
		p.merge = p.merge && sameEncoding && slices.Equal(a.parts, b.parts)
	}
	p.matchColumns()
	if p.merge && b.WithoutRowid {
		for i, k := range b.Key {
			p.merge = p.merge && p.from[k] == a.Key[i]
		}
	}
	if a.SQL == b.SQL {
		p.alike = p.merge && sameEncoding
		return
	}
	p.alike = p.merge && sameEncoding && a.alias() == mapped(p.from, b.alias())
	for j := range b.Columns {
		i, at := p.from[j], slices.Index(b.stored, j)
		switch {
		case b.Columns[j].Generated:
		case i < 0:
			p.alike = p.alike && at >= len(a.stored)
		default:
			p.alike = p.alike && at == slices.Index(a.stored, i) &&
				a.reals[i] == b.reals[j] && a.defaults[i].Equal(b.defaults[j])
		}
	}
}

func mapped(from []int, column int) int {
	if column < 0 {
		return -1
	}
	return from[column]
}

// matchColumns matches by name, and a column left over on both sides at the
// same position by that.
func (p *pair) matchColumns() {
	a, b := p.before.Columns, p.after.Columns
	p.from, p.fill = make([]int, len(b)), make([]Value, len(b))
	taken := make([]bool, len(a))
	for j, c := range b {
		p.from[j] = slices.IndexFunc(a, func(x Column) bool { return foldName(x.Name) == foldName(c.Name) })
		if i := p.from[j]; i >= 0 {
			taken[i] = true
			if c.Generated != a[i].Generated {
				p.from[j] = -1
			}
		}
		p.fill[j] = p.after.defaults[j]
	}
	for j, c := range b {
		if p.from[j] < 0 && j < len(a) && !taken[j] && !c.Generated && !a[j].Generated && a[j].Type == c.Type {
			p.from[j] = j
		}
	}
	if len(a) > len(b) {
		// Columns were dropped: positions say nothing about names.
		for j, i := range p.from {
			if i >= 0 && foldName(a[i].Name) != foldName(b[j].Name) {
				p.from[j] = -1
			}
		}
	}
}

// project turns a row of before into what it would be in after.
func (p *pair) project(old []Value) []Value {
	out := slices.Clone(p.fill)
	for j, i := range p.from {
		if i >= 0 {
			out[j] = old[i]
		}
	}
	return out
}

// same reports whether a row of before, projected, is a row of after.
func (p *pair) same(old, now []Value) bool {
	old = p.project(old)
	for j, v := range now {
		if !p.after.Columns[j].Generated && !v.Equal(old[j]) {
			return false
		}
	}
	return true
}

// Summary counts the changes of each table that has any, by name. It reads
// what Rows reads, once.
func (d *Diff) Summary(ctx context.Context) ([]Summary, error) {
	if d.sums != nil {
		return d.sums, nil
	}
	sums := []Summary{}
	for c, err := range d.Rows(ctx) {
		if err != nil {
			return nil, err
		}
		if len(sums) == 0 || sums[len(sums)-1].Table != c.Table {
			sums = append(sums, Summary{Table: c.Table})
		}
		s := &sums[len(sums)-1]
		switch c.Kind {
		case Added:
			s.Added++
		case Removed:
			s.Removed++
		case Changed:
			s.Changed++
		}
	}
	d.sums = sums
	return sums, nil
}

// Rows yields the rows that differ, by table (sorted by name) and in key
// order; those of a table whose key changed: first all removed, then all
// added. It ends after the first error. Values stay valid.
func (d *Diff) Rows(ctx context.Context) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		for _, p := range d.pairs {
			for c, err := range d.rows(ctx, p) {
				if !yield(c, err) || err != nil {
					return
				}
			}
		}
	}
}
