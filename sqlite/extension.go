package sqlite

import (
	"fmt"

	"github.com/hako-run/hako/sqlite/vfscore"
	"modernc.org/libc"
	"modernc.org/sqlite/lib"
)

// extend is an automatic extension: SQLite runs it on every new connection of
// the process. It equips those whose main database is in a store.
func extend(tls *libc.TLS, db, _, _ uintptr) int32 {
	f := mainFile(tls, db, 0)
	if f == nil {
		return sqlite3.SQLITE_OK
	}
	f.conn.db = db
	sqlite3.Xsqlite3_busy_handler(tls, db, funcPointer(busy), f.conn.id)
	for _, fn := range functions {
		rc := sqlite3.Xsqlite3_create_function_v2(tls, db, fn.name, fn.args, fn.flags, f.conn.id, fn.call, 0, 0, 0)
		if rc != sqlite3.SQLITE_OK {
			return rc
		}
	}
	return setPageSize(tls, db, f.main)
}

// setPageSize makes SQLite begin an empty database with the page size that it
// was created with.
func setPageSize(tls *libc.TLS, db uintptr, m *vfscore.Main) int32 {
	c := m.Commit()
	if c.PageCount > 0 || c.PageSize == 4096 {
		return sqlite3.SQLITE_OK
	}
	sql, err := libc.CString(fmt.Sprintf("PRAGMA page_size=%d", c.PageSize))
	if err != nil {
		return sqlite3.SQLITE_NOMEM
	}
	defer libc.Xfree(tls, sql)
	return sqlite3.Xsqlite3_exec(tls, db, sql, 0, 0, 0)
}

// mainFile returns the file of a schema of a connection, main if zSchema is 0.
// It is nil if that is not a database of a store.
func mainFile(tls *libc.TLS, db, zSchema uintptr) *openFile {
	p := libc.Xcalloc(tls, 1, 8)
	if p == 0 {
		return nil
	}
	defer libc.Xfree(tls, p)
	if sqlite3.Xsqlite3_file_control(tls, db, zSchema, sqlite3.SQLITE_FCNTL_FILE_POINTER, p) != sqlite3.SQLITE_OK {
		return nil
	}
	pFile := *at[uintptr](p)
	if pFile == 0 || at[cFile](pFile).base.FpMethods != methods {
		return nil
	}
	if f := fileOf(pFile); f != nil && f.main != nil {
		return f
	}
	return nil
}

// busy is the busy handler of every connection whose main database is in a
// store. SQLite calls it with its mutex held, as it does its own.
func busy(_ *libc.TLS, id uintptr, n int32) int32 {
	c := connectionByID(id)
	return libc.Bool32(c != nil && c.session.Busy(int(n)))
}
