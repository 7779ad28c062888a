package diff

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrCollation is what every CollationError is.
var ErrCollation = errors.New("unknown collation")

// A CollationError says that a table cannot be compared because its primary
// key is ordered by a collation that only the application has.
type CollationError struct {
	Table, Collation string
}

func (e *CollationError) Error() string {
	return fmt.Sprintf("comparing the rows of table %s: its primary key uses the collation %s, which is not one of SQLite's own; leave the table out",
		e.Table, e.Collation)
}

// Is reports whether target is ErrCollation.
func (e *CollationError) Is(target error) bool { return target == ErrCollation }

// Column is a column of a table.
type Column struct {
	Name      string
	Type      string // as declared
	Generated bool   // stored, but computed from other columns
}

// Table is an ordinary table of one side. Virtual generated columns, which are
// not stored, are not among its columns.
type Table struct {
	Name         string
	SQL          string
	Columns      []Column
	WithoutRowid bool
	// Key is the columns, by index, that tell rows apart: the INTEGER PRIMARY
	// KEY, or the primary key of a WITHOUT ROWID table; empty where only the
	// rowid does.
	Key []int

	tree
	stored   []int // column, by field of the record
	defaults []Value
	reals    []bool
	unique   []bool // columns that a unique index or a partial or expression one may read
	rowids   string // a name for the rowid in SQL, "" if columns took all
}

// alias is the column that is the rowid, or -1.
func (t *Table) alias() int {
	if !t.WithoutRowid && len(t.Key) == 1 {
		return t.Key[0]
	}
	return -1
}

// load asks SQLite for what a table's SQL means.
func (a *asker) load(s *source, o *Object) (*Table, error) {
	root, err := s.node(o.root)
	if err != nil {
		return nil, err
	}
	t := &Table{Name: o.Name, SQL: o.SQL, WithoutRowid: root.index(), tree: tree{root: o.root, index: root.index()}}
	what := "table " + o.Name
	byID := map[int]int{} // SQLite's number of a column to its index here
	var pk []int
	var names []string
	err = a.query(s.side, what, func(scan func(...any) error) error {
		var id, pos, hidden int
		var c Column
		var def *string
		if err := scan(&id, &c.Name, &c.Type, &def, &pos, &hidden); err != nil {
			return err
		}
		names = append(names, foldName(c.Name))
		if hidden == 2 {
			return nil
		}
		c.Generated = hidden == 3
		if pos > 0 {
			pk = append(pk, len(t.Columns))
		}
		byID[id] = len(t.Columns)
		t.Columns = append(t.Columns, c)
		t.reals = append(t.reals, isReal(c.Type))
		t.unique = append(t.unique, false)
		var v Value
		if def != nil && !c.Generated {
			var err error
			if v, err = a.constant(c.Type, *def); err != nil {
				return err
			}
		}
		v.raw = s.enc.encode(v.Bytes)
		t.defaults = append(t.defaults, v)
		return nil
	}, "SELECT cid, name, type, dflt_value, pk, hidden FROM pragma_table_xinfo(?)", o.Name)
	if err != nil {
		return nil, err
	}
	if len(t.Columns) == 0 {
		return nil, fmt.Errorf("asking SQLite about %s in the %s database: it has no columns", what, s.side)
	}
	for _, n := range []string{"rowid", "_rowid_", "oid"} {
		if !slices.Contains(names, n) {
			t.rowids = n
			break
		}
	}
	pkIndex, err := a.loadIndexes(s, t, byID)
	if err != nil {
		return nil, err
	}
	if t.WithoutRowid {
		if pkIndex == "" {
			return nil, s.damaged(o.root, "table %s is stored as one WITHOUT ROWID but declared otherwise", o.Name)
		}
		return t, a.loadKey(s, t, pkIndex, byID)
	}
	for i := range t.Columns {
		t.stored = append(t.stored, i)
	}
	if len(pk) == 1 && pkIndex == "" {
		t.Key = pk
		if t.rowids == "" {
			t.rowids = quoteName(t.Columns[pk[0]].Name)
		}
	}
	return t, nil
}

// loadIndexes notes the columns that uniqueness depends on and returns the
// name of the primary key's index, if there is one.
func (a *asker) loadIndexes(s *source, t *Table, byID map[int]int) (pk string, err error) {
	var unique, guarded []string
	err = a.query(s.side, "table "+t.Name, func(scan func(...any) error) error {
		var name, origin string
		var uniq, partial bool
		if err := scan(&name, &uniq, &origin, &partial); err != nil {
			return err
		}
		if origin == "pk" {
			pk = name
		}
		switch {
		case uniq && partial:
			guarded = append(guarded, name)
		case uniq:
			unique = append(unique, name)
		}
		return nil
	}, `SELECT name, "unique", origin, partial FROM pragma_index_list(?)`, t.Name)
	if err != nil {
		return "", err
	}
	all := len(guarded) > 0
	for _, name := range unique {
		err := a.query(s.side, "index "+name, func(scan func(...any) error) error {
			var id int
			if err := scan(&id); err != nil {
				return err
			}
			if i, ok := byID[id]; ok && !t.Columns[i].Generated {
				t.unique[i] = true
			} else {
				all = true // an expression or a generated column
			}
			return nil
		}, "SELECT cid FROM pragma_index_xinfo(?) WHERE key", name)
		if err != nil {
			return "", err
		}
	}
	if all {
		for i := range t.unique {
			t.unique[i] = true
		}
	}
	return pk, nil
}

// loadKey reads the storage order and the key of a WITHOUT ROWID table.
func (a *asker) loadKey(s *source, t *Table, index string, byID map[int]int) error {
	parts, ids, err := a.indexParts(s, index, true)
	if err != nil {
		return err
	}
	keys := 0
	for i, id := range ids {
		c, ok := byID[id]
		if !ok {
			return s.damaged(t.root, "table %s stores a column that it does not have", t.Name)
		}
		t.stored = append(t.stored, c)
		if parts[i].collation != "" {
			t.Key = append(t.Key, c)
			t.parts = append(t.parts, parts[i])
			keys++
		}
	}
	if keys == 0 {
		return s.damaged(t.root, "table %s has no primary key", t.Name)
	}
	return nil
}

// indexParts are the columns of an index as stored, by SQLite's numbers. With
// keysOnly, those that do not order it have no collation.
func (a *asker) indexParts(s *source, index string, keysOnly bool) (parts []keyPart, ids []int, err error) {
	err = a.query(s.side, "index "+index, func(scan func(...any) error) error {
		var id int
		var p keyPart
		var key bool
		if err := scan(&id, &p.desc, &p.collation, &key); err != nil {
			return err
		}
		p.collation = strings.ToUpper(p.collation)
		if keysOnly && !key {
			p = keyPart{}
		}
		parts, ids = append(parts, p), append(ids, id)
		return nil
	}, `SELECT cid, "desc", coll, key FROM pragma_index_xinfo(?)`, index)
	return parts, ids, err
}

// comparable returns a CollationError if the tree's order is not known.
func (t *Table) comparable() error {
	for _, p := range t.parts {
		if !knownCollation(p.collation) {
			return &CollationError{Table: t.Name, Collation: p.collation}
		}
	}
	return nil
}

// isReal reports whether a declared type has REAL affinity, for which integers
// are stored in place of equal reals.
func isReal(declared string) bool {
	d := strings.ToUpper(declared)
	for _, s := range []string{"INT", "CHAR", "CLOB", "TEXT", "BLOB"} {
		if strings.Contains(d, s) {
			return false
		}
	}
	return strings.Contains(d, "REAL") || strings.Contains(d, "FLOA") || strings.Contains(d, "DOUB")
}

// values are the columns of the row that c stands at.
func (t *Table) values(c *cursor) ([]Value, error) {
	b, err := c.payload()
	if err != nil {
		return nil, err
	}
	fields, err := c.src.record(c.stack[len(c.stack)-1].page, b, len(t.stored))
	if err != nil {
		return nil, err
	}
	out := slices.Clone(t.defaults)
	for i, v := range fields {
		col := t.stored[i]
		if t.reals[col] && v.Kind == Integer {
			v = Value{Kind: Real, Real: float64(v.Int)}
		}
		out[col] = v
	}
	if i := t.alias(); i >= 0 {
		out[i] = Value{Kind: Integer, Int: c.row.rowid}
	}
	return out, nil
}
