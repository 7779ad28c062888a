package diff

import (
	"database/sql"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

// TestRandomPatches makes random databases, changes them at random, and checks
// that the patch turns the one into the other.
func TestRandomPatches(t *testing.T) {
	t.Parallel()
	rounds := 20
	switch {
	case os.Getenv("HAKO_LONG") != "":
		rounds = 200
	case testing.Short():
		rounds = 10
	}
	for seed := range rounds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(seed), 7))
			path, db := tempFile(t)
			m := &mutator{t: t, r: r, db: db}
			run(t, db, fmt.Sprintf("PRAGMA page_size=%d; PRAGMA auto_vacuum=%d; PRAGMA encoding='%s'", 512<<r.IntN(8),
				r.IntN(3), []string{"UTF-8", "UTF-8", "UTF-16le", "UTF-16be"}[r.IntN(4)]))
			for range 2 + r.IntN(4) {
				m.createTable()
			}
			for range r.IntN(60) {
				m.rows()
			}
			before := state(t, path, db)
			for range 3 {
				for range 1 + r.IntN(8) {
					m.change()
				}
				after := state(t, path, db)
				checkPatch(t, before, after)
				before = after
			}
		})
	}
}

// mutator does random things to a database.
type mutator struct {
	t      *testing.T
	r      *rand.Rand
	db     *sql.DB
	tables []*randomTable
	made   int
}

type randomTable struct {
	name    string
	columns []string // that can be written
	added   int
}

func (m *mutator) pick(s ...string) string { return s[m.r.IntN(len(s))] }

// try runs SQL that a constraint may refuse, or a view or trigger that refers
// to what is gone, and reports whether it did what it says.
func (m *mutator) try(query string, args ...any) bool {
	m.t.Helper()
	_, err := m.db.Exec(query, args...)
	if err != nil && !strings.Contains(err.Error(), "constraint") && !strings.Contains(err.Error(), "mismatch") &&
		!strings.Contains(err.Error(), "error in ") {
		m.t.Fatalf("%v\nin: %s", err, query)
	}
	return err == nil
}

func (m *mutator) createTable() {
	name := fmt.Sprintf("t%d", m.made)
	if m.made%3 == 1 {
		name = fmt.Sprintf(`T "%d`, m.made)
	}
	m.made++
	tab := &randomTable{name: name}
	var defs []string
	column := func(def string) {
		defs = append(defs, def)
		tab.columns = append(tab.columns, strings.Fields(def)[0])
	}
	tail := ""
	switch m.r.IntN(7) {
	case 0:
		column("id INTEGER PRIMARY KEY")
	case 1:
		column("id INTEGER PRIMARY KEY AUTOINCREMENT")
	case 2:
		column("id TEXT PRIMARY KEY COLLATE NOCASE")
		tail = " WITHOUT ROWID"
	case 3:
		column("k1 " + m.pick("TEXT", "BLOB", "INT", ""))
		column("k2 " + m.pick("TEXT COLLATE RTRIM", "REAL", ""))
		defs = append(defs, "PRIMARY KEY(k2 DESC, k1 COLLATE NOCASE)")
		tail = " WITHOUT ROWID"
	case 4:
		column("id INTEGER")
		defs = append(defs, "PRIMARY KEY(id DESC)")
		tail = m.pick("", " WITHOUT ROWID")
	}
	column("a " + m.pick("", "TEXT", "REAL", "INTEGER", "NUMERIC", "BLOB", "DATETIME"))
	column("b " + m.pick("", "TEXT NOT NULL DEFAULT 'x'", "REAL UNIQUE", "INT"))
	column("c " + m.pick("", "TEXT", "DOUBLE"))
	if m.r.IntN(3) == 0 {
		defs = append([]string{"g AS (a || '!')", "s AS (c || '?') STORED"}, defs...)
	}
	// Constraints come last.
	var cols, cons []string
	for _, d := range defs {
		if strings.HasPrefix(d, "PRIMARY KEY(") {
			cons = append(cons, d)
		} else {
			cols = append(cols, d)
		}
	}
	run(m.t, m.db, fmt.Sprintf("CREATE TABLE %s(%s)%s", quoteName(name), strings.Join(append(cols, cons...), ", "), tail))
	if m.r.IntN(2) == 0 {
		run(m.t, m.db, fmt.Sprintf("CREATE INDEX %s ON %s(%s, a)", quoteName("i "+name), quoteName(name), m.pick("a", "b", "c", "a||b")))
	}
	m.tables = append(m.tables, tab)
}

func (m *mutator) value() any {
	switch m.r.IntN(12) {
	case 0:
		return nil
	case 1:
		return m.r.Int64() >> m.r.IntN(63)
	case 2:
		return int64(m.r.IntN(50))
	case 3:
		return math.Float64frombits(m.r.Uint64() &^ (1 << 62)) // never NaN
	case 4:
		return m.r.NormFloat64()
	case 5:
		return []float64{math.Inf(1), math.Inf(-1), 5e-324, math.MaxFloat64, 0.1, 1e15, 1e16, 3, -0.5}[m.r.IntN(9)]
	case 6:
		return m.bytes(m.size())
	case 7:
		return m.pick("it's", "", "a\x00b", "Ünï\r\nçødé", "𝄞 clef", " trailing ", "AbC", "abc", "ABC  ", "\ufeffbom")
	case 8:
		return strings.Repeat(m.pick("x", "yz", "é"), m.size())
	}
	return fmt.Sprint("text ", m.r.IntN(1000))
}

func (m *mutator) size() int {
	switch m.r.IntN(10) {
	case 0:
		return m.r.IntN(20000)
	case 1, 2:
		return m.r.IntN(1500)
	}
	return m.r.IntN(30)
}

func (m *mutator) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(m.r.Uint32())
	}
	return b
}

func (m *mutator) table() *randomTable { return m.tables[m.r.IntN(len(m.tables))] }

// rows inserts some rows.
func (m *mutator) rows() {
	tab := m.table()
	n := 1 + m.r.IntN(20)
	run(m.t, m.db, "BEGIN")
	for range n {
		var vals []any
		for _, c := range tab.columns {
			v := m.value()
			if c == "id" && m.r.IntN(3) > 0 {
				v = m.r.IntN(5000)
			}
			vals = append(vals, v)
		}
		query := fmt.Sprintf("INSERT OR %s INTO %s(%s) VALUES(?%s)", m.pick("IGNORE", "REPLACE"), quoteName(tab.name),
			strings.Join(tab.columns, ","), strings.Repeat(",?", len(vals)-1))
		m.try(query, vals...)
	}
	run(m.t, m.db, "COMMIT")
}

func (m *mutator) change() {
	tab := m.table()
	q := quoteName(tab.name)
	where := func() string {
		return fmt.Sprintf("%s IN (SELECT %[1]s FROM %s ORDER BY %s LIMIT %d OFFSET %d)",
			tab.columns[0], q, m.pick(tab.columns...), 1+m.r.IntN(6), m.r.IntN(100))
	}
	switch m.r.IntN(20) {
	case 0, 1, 2, 3:
		m.rows()
	case 4, 5, 6, 7:
		m.try(fmt.Sprintf("UPDATE %s SET %s=? WHERE %s", q, tab.columns[m.r.IntN(len(tab.columns)-1)+1], where()), m.value())
	case 8, 9:
		// The same length: SQLite then rewrites overflow pages only.
		m.try(fmt.Sprintf("UPDATE %s SET a=CAST(zeroblob(length(a)-1)||'%s' AS BLOB) WHERE typeof(a)='blob' AND length(a)>1", q, m.pick("p", "q", "r")))
	case 10, 11:
		m.try(fmt.Sprintf("DELETE FROM %s WHERE %s", q, where()))
	case 12:
		m.createTable()
	case 13:
		if len(m.tables) > 2 {
			i := m.r.IntN(len(m.tables))
			run(m.t, m.db, "DROP TABLE "+quoteName(m.tables[i].name))
			m.tables = append(m.tables[:i:i], m.tables[i+1:]...)
		}
	case 14:
		tab.added++
		c := fmt.Sprintf("x%d", tab.added)
		run(m.t, m.db, fmt.Sprintf("ALTER TABLE %s ADD COLUMN %s %s", q, c,
			m.pick("", "TEXT DEFAULT 'dé''f'", "REAL DEFAULT 3", "INT NOT NULL DEFAULT -7", "DEFAULT 1.5e300", "BLOB DEFAULT x'00ff'", "TEXT DEFAULT 12")))
		tab.columns = append(tab.columns, c)
	case 15:
		if last := tab.columns[len(tab.columns)-1]; strings.HasPrefix(last, "x") &&
			m.try(fmt.Sprintf("ALTER TABLE %s DROP COLUMN %s", q, last)) {
			tab.columns = tab.columns[:len(tab.columns)-1]
		}
	case 16:
		if last := tab.columns[len(tab.columns)-1]; strings.HasPrefix(last, "x") {
			tab.added++
			c := fmt.Sprintf("x%d", tab.added)
			if m.try(fmt.Sprintf("ALTER TABLE %s RENAME COLUMN %s TO %s", q, last, c)) {
				tab.columns[len(tab.columns)-1] = c
			}
		}
	case 17:
		run(m.t, m.db, "VACUUM")
	case 18:
		run(m.t, m.db, fmt.Sprintf("PRAGMA user_version=%d", m.r.IntN(100)))
		run(m.t, m.db, fmt.Sprintf("DROP VIEW IF EXISTS v; CREATE VIEW v AS SELECT a FROM %s", q))
	case 19:
		run(m.t, m.db, fmt.Sprintf("DROP TRIGGER IF EXISTS tr; CREATE TRIGGER tr AFTER INSERT ON %s BEGIN UPDATE %[1]s SET c='fired'; END", q))
		run(m.t, m.db, m.pick("ANALYZE", "PRAGMA incremental_vacuum", "SELECT 1"))
	}
}
