package diff

import (
	"slices"
	"strings"
)

// Object is an entry of the schema.
type Object struct {
	Type  string // "table", "index", "view" or "trigger"
	Name  string
	Table string // the table (or view) it belongs to
	SQL   string // empty for indexes that SQLite makes for constraints

	root uint32
}

// Virtual reports whether o is a virtual table.
func (o *Object) Virtual() bool { return o.Type == "table" && o.root == 0 }

// schema is what sqlite_schema holds.
type schema struct {
	src     *source
	objects []*Object          // as stored
	byName  map[string]*Object // by type and folded name
}

func objectKey(kind, name string) string { return kind + "\x00" + foldName(name) }

func (s *schema) find(kind, name string) *Object { return s.byName[objectKey(kind, name)] }

func readSchema(s *source) (*schema, error) {
	out := &schema{src: s, byName: map[string]*Object{}}
	if s.count == 0 {
		return out, nil
	}
	c := newCursor(s, 1, false, nil)
	for {
		if err := c.toRow(); err != nil {
			return nil, err
		}
		if c.end() {
			return out, nil
		}
		page := c.stack[len(c.stack)-1].page
		b, err := c.payload()
		if err != nil {
			return nil, err
		}
		v, err := s.record(page, b, -1)
		if err != nil {
			return nil, err
		}
		if len(v) < 5 || v[0].Kind != Text || v[1].Kind != Text || v[2].Kind != Text {
			return nil, s.damaged(page, "an entry of the schema is malformed")
		}
		o := &Object{Type: string(v[0].Bytes), Name: string(v[1].Bytes), Table: string(v[2].Bytes), SQL: string(v[4].Bytes)}
		if r := v[3]; r.Kind == Integer {
			if r.Int < 0 || r.Int > int64(s.count) {
				return nil, s.damaged(page, "the schema puts %s %s at page %d of %d", o.Type, o.Name, r.Int, s.count)
			}
			o.root = uint32(r.Int)
		}
		if o.Type == "index" && o.root == 0 {
			return nil, s.damaged(page, "the schema gives index %s no page", o.Name)
		}
		out.objects = append(out.objects, o)
		out.byName[objectKey(o.Type, o.Name)] = o
		if err := c.next(); err != nil {
			return nil, err
		}
	}
}

// shadowSuffixes are the names of the tables that SQLite's own virtual table
// modules keep their data in.
var shadowSuffixes = map[string][]string{
	"fts3":      {"content", "segments", "segdir", "docsize", "stat"},
	"fts4":      {"content", "segments", "segdir", "docsize", "stat"},
	"fts5":      {"data", "idx", "content", "docsize", "config"},
	"rtree":     {"node", "rowid", "parent"},
	"rtree_i32": {"node", "rowid", "parent"},
	"geopoly":   {"node", "rowid", "parent"},
}

// virtualOf is the virtual table that a table is a shadow of, or nil.
func (s *schema) virtualOf(table string) *Object {
	for i := strings.LastIndexByte(table, '_'); i > 0; i = strings.LastIndexByte(table[:i], '_') {
		o := s.find("table", table[:i])
		if o != nil && o.Virtual() && slices.Contains(shadowSuffixes[module(o.SQL)], foldName(table[i+1:])) {
			return o
		}
	}
	return nil
}

// module is the module's name in a CREATE VIRTUAL TABLE statement, folded, or
// empty if it is not plain.
func module(sql string) string {
	i := strings.Index(strings.ToUpper(sql), " USING ")
	if i < 0 {
		return ""
	}
	name := strings.TrimSpace(sql[i+len(" USING "):])
	if j := strings.IndexAny(name, " (\t\n\r;"); j >= 0 {
		name = name[:j]
	}
	return foldName(strings.Trim(name, `"'[]`+"`"))
}
