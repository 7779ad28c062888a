package diff

import "errors"

// Owner is the table or index that a page belongs to.
type Owner struct {
	Type  string // "table" or "index"
	Name  string
	Table string // the index's table; Name for tables
}

// errEffort says that a source has read as much as it may.
var errEffort = errors.New("read limit reached")

// OwnerOf finds out what pages of a database belong to, reading at most the
// given number of pages; 0 is no limit, and a hundred are enough for a few
// pages of most databases. Missing in the result are free pages, pages of no
// tree, and those not found within the limit. The owner of an overflow page is
// found if the database has a pointer map or if the leaf lies near.
func OwnerOf(p Pages, pages []uint32, reads int) (map[uint32]Owner, error) {
	out := map[uint32]Owner{}
	s, err := newSource("first", p)
	if err != nil || s.count == 0 {
		return out, err
	}
	s.limit = int64(reads)
	a := newAsker(s)
	err = ownersOf(s, a, pages, out)
	if errors.Is(err, errEffort) {
		err = nil
	}
	if closed := a.close(); err == nil {
		err = closed
	}
	return out, err
}

func ownersOf(s *source, a *asker, pages []uint32, out map[uint32]Owner) error {
	sch, err := readSchema(s)
	if err != nil {
		return err
	}
	byRoot := map[uint32]Owner{1: {"table", "sqlite_schema", "sqlite_schema"}}
	for _, o := range sch.objects {
		if o.root != 0 {
			byRoot[o.root] = Owner{o.Type, o.Name, o.Table}
		}
	}
	var rest []uint32
	index := false
	for _, n := range pages {
		if o, ok := byRoot[n]; ok {
			out[n] = o
			continue
		}
		if n == 0 || n > s.count || s.special(n) {
			continue
		}
		b, err := s.page(n)
		if err != nil {
			return err
		}
		index = index || b[0] != leafTable && b[0] != interiorTable
		rest = append(rest, n)
	}
	if len(rest) == 0 {
		return nil
	}
	trees, err := keyedTrees(s, a, sch, index)
	if err != nil {
		return err
	}
	l, err := newLocator(s, trees, nil)
	if err != nil {
		return err
	}
	for _, n := range rest {
		at := n
		b, err := s.page(n)
		if err != nil {
			return err
		}
		if s.plausibleOverflow(b) {
			find := l.ownerNearby
			if s.autoVacuum {
				find = l.ownerByMap
			}
			if at, err = find(n); err != nil {
				return err
			}
		}
		if at == 0 {
			continue
		}
		if b, err = s.page(at); err != nil {
			return err
		}
		if !isTreePage(kindOf(at, b)) {
			continue
		}
		path, err := l.path(at)
		if err != nil {
			return err
		}
		if path != nil {
			out[n] = byRoot[path[0]]
		}
	}
	return nil
}

// keyedTrees are the trees of tables, and with index those of WITHOUT ROWID
// tables and of indexes, as far as their order is known.
func keyedTrees(s *source, a *asker, sch *schema, index bool) ([]tree, error) {
	trees := []tree{{root: 1}}
	for _, o := range sch.objects {
		if o.root == 0 {
			continue
		}
		n, err := s.node(o.root)
		if err != nil {
			return nil, err
		}
		switch {
		case n.leaf():
		case !n.index():
			trees = append(trees, tree{root: o.root})
		case !index:
		case o.Type == "table":
			t, err := a.load(s, o)
			if err != nil {
				return nil, err
			}
			if t.comparable() == nil {
				trees = append(trees, t.tree)
			}
		default:
			parts, _, err := a.indexParts(s, o.Name, false)
			if err != nil {
				return nil, err
			}
			t := Table{Name: o.Name, tree: tree{root: o.root, index: true, parts: parts}}
			if len(parts) > 0 && t.comparable() == nil {
				trees = append(trees, t.tree)
			}
		}
	}
	return trees, nil
}
