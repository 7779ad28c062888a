// Package randsql makes random SQL statements for tests that compare two ways
// to run SQLite.
package randsql

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// A Generator makes statements on a few tables of the schemas main, two and
// temp. Two with equal sources make the same statements.
type Generator struct {
	Source *rand.Rand
}

func (g *Generator) pick(list ...string) string { return list[g.Source.IntN(len(list))] }

func (g *Generator) schema() string { return g.pick("", "", "main.", "two.", "temp.") }

func (g *Generator) table() string {
	return g.schema() + g.pick("a", "b", "c", "d")
}

func (g *Generator) value() string {
	switch g.Source.IntN(8) {
	case 0:
		return "NULL"
	case 1:
		return fmt.Sprintf("%d.5", g.Source.IntN(100))
	case 2:
		return fmt.Sprintf("'%s'", strings.Repeat(g.pick("x", "yz", "é"), g.Source.IntN(20)))
	case 3: // overflow pages, at times many
		return fmt.Sprintf("zeroblob(%d)", g.Source.IntN(1<<g.Source.IntN(17)))
	}
	return fmt.Sprint(g.Source.IntN(1000))
}

func (g *Generator) where() string {
	switch g.Source.IntN(4) {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf(" WHERE x < %d", g.Source.IntN(1000))
	}
	return fmt.Sprintf(" WHERE id %% %d = %d", 2+g.Source.IntN(9), g.Source.IntN(3))
}

// Statement returns the next statement. It may fail, as one that commits
// without a transaction does.
func (g *Generator) Statement() string {
	t := g.table()
	switch n := g.Source.IntN(100); {
	case n < 28:
		return fmt.Sprintf("INSERT %sINTO %s(x,y) VALUES (%s,%s)", g.pick("", "", "OR REPLACE ", "OR IGNORE ", "OR ROLLBACK ", "OR FAIL "), t, g.value(), g.value())
	case n < 36:
		return fmt.Sprintf("INSERT INTO %s(x,y) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%d) SELECT i*7%%1000, hex(i)||%s FROM n", t, 1+g.Source.IntN(400), g.value())
	case n < 46:
		return fmt.Sprintf("UPDATE %sSET y=%s%s", g.pick("", "OR IGNORE ", "OR REPLACE ")+t+" ", g.value(), g.where())
	case n < 50:
		return fmt.Sprintf("UPDATE %s SET x=x+%d%s", t, g.Source.IntN(5), g.where())
	case n < 56:
		return fmt.Sprintf("DELETE FROM %s%s", t, g.where())
	case n < 62:
		return fmt.Sprintf("SELECT count(*), sum(x), sum(length(y)), max(id) FROM %s%s", t, g.where())
	case n < 65:
		return fmt.Sprintf("CREATE TABLE %s(id INTEGER PRIMARY KEY, x%s, y)", t, g.pick("", " UNIQUE", " INT CHECK (x<900)"))
	case n < 66:
		return fmt.Sprintf("CREATE TABLE %s(id INTEGER, x TEXT, y, PRIMARY KEY (x, y)) WITHOUT ROWID", t)
	case n < 68:
		return "DROP TABLE " + t
	case n < 70:
		return fmt.Sprintf("CREATE INDEX %si%d ON %s(%s)", g.pick("", "two."), g.Source.IntN(6), g.pick("a", "b", "c", "d"), g.pick("x", "y", "x,y"))
	case n < 71:
		return fmt.Sprintf("DROP INDEX i%d", g.Source.IntN(6))
	case n < 72:
		return fmt.Sprintf("ALTER TABLE %s ADD COLUMN z%d DEFAULT %s", t, g.Source.IntN(5), g.pick("1", "'q'", "NULL"))
	case n < 73:
		return fmt.Sprintf("ALTER TABLE %s RENAME TO %s", t, g.pick("a", "b", "c", "d"))
	case n < 79:
		return g.pick("BEGIN", "BEGIN IMMEDIATE", "BEGIN EXCLUSIVE")
	case n < 85:
		return g.pick("COMMIT", "COMMIT", "ROLLBACK")
	case n < 89:
		return g.pick("SAVEPOINT s1", "SAVEPOINT s2")
	case n < 93:
		return g.pick("ROLLBACK TO s1", "ROLLBACK TO s2", "RELEASE s1", "RELEASE s2")
	case n < 94:
		return fmt.Sprintf("PRAGMA cache_size=%d", 3+g.Source.IntN(30))
	case n < 95:
		return g.pick("VACUUM", "VACUUM", "VACUUM two", "PRAGMA page_size=1024", "PRAGMA page_size=8192", "PRAGMA page_size=4096")
	case n < 96:
		return g.pick("PRAGMA auto_vacuum=0", "PRAGMA auto_vacuum=1", "PRAGMA auto_vacuum=2", "PRAGMA incremental_vacuum(5)", "PRAGMA two.incremental_vacuum(5)")
	case n < 97:
		return fmt.Sprintf("PRAGMA user_version=%d", g.Source.IntN(100))
	case n < 98:
		return g.pick("ANALYZE", "REINDEX")
	}
	return fmt.Sprintf("SELECT id, x, length(y) FROM %s ORDER BY id LIMIT 20", t)
}
