package sqlite

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/hako-run/hako/pagestore"
	"github.com/hako-run/hako/sqlite/vfscore"
	"modernc.org/libc"
	"modernc.org/sqlite/lib"
)

// cFile is our sqlite3_file.
type cFile struct {
	base   sqlite3.Tsqlite3_file
	handle uintptr
}

func fileOf(pFile uintptr) *openFile { return files.get(at[cFile](pFile).handle) }

// openCFile fills in SQLite's struct for f.
func openCFile(pFile uintptr, f *openFile) int32 {
	h, ok := files.add(f)
	if !ok {
		f.file.Close()
		return sqlite3.SQLITE_CANTOPEN
	}
	*at[cFile](pFile) = cFile{sqlite3.Tsqlite3_file{FpMethods: methods}, h}
	return sqlite3.SQLITE_OK
}

var (
	uriSession = constant("hako_session")
	uriCreate  = constant("create")
	uriMode    = constant("mode")
)

func xOpen(tls *libc.TLS, pVfs, zName, pFile uintptr, flags int32, pOutFlags uintptr) int32 {
	at[cFile](pFile).base.FpMethods = 0
	store := storeOf(pVfs)
	if store == nil {
		return sqlite3.SQLITE_CANTOPEN
	}
	out := flags
	var code int32
	switch {
	case flags&sqlite3.SQLITE_OPEN_MAIN_DB != 0 && zName != 0:
		var readOnly bool
		if code, readOnly = openMain(tls, store, zName, pFile, flags); readOnly {
			out = out&^sqlite3.SQLITE_OPEN_READWRITE | sqlite3.SQLITE_OPEN_READONLY
		}
	case flags&sqlite3.SQLITE_OPEN_MAIN_JOURNAL != 0:
		m := fileOf(sqlite3.Xsqlite3_database_file_object(tls, zName)).main
		code = openCFile(pFile, &openFile{file: m.OpenJournal()})
	case flags&sqlite3.SQLITE_OPEN_SUPER_JOURNAL != 0:
		c := ofTLS(tls)
		if c == nil {
			return sqlite3.SQLITE_CANTOPEN
		}
		code = openCFile(pFile, &openFile{file: c.session.OpenSuper(libc.GoString(zName), flags&sqlite3.SQLITE_OPEN_CREATE != 0)})
	case flags&sqlite3.SQLITE_OPEN_WAL != 0:
		return sqlite3.SQLITE_CANTOPEN
	default:
		temp := store.vfs.OpenTemp()
		if c := ofTLS(tls); c != nil && c.temp != nil {
			temp.Count(c.temp)
		}
		code = openCFile(pFile, &openFile{file: temp})
	}
	if pOutFlags != 0 {
		*at[int32](pOutFlags) = out
	}
	return code
}

func openMain(tls *libc.TLS, store *openStore, zName, pFile uintptr, flags int32) (code int32, readOnly bool) {
	id := uintptr(sqlite3.Xsqlite3_uri_int64(tls, zName, uriSession, 0))
	c := connectionFor(id, tls, store.vfs)
	create := sqlite3.Xsqlite3_uri_boolean(tls, zName, uriCreate, 0) != 0 ||
		string(textAt(sqlite3.Xsqlite3_uri_parameter(tls, zName, uriMode))) == "rwc"
	c.count(1) // keeps it
	name := libc.GoString(zName)
	o := vfscore.OpenOptions{Create: create, ReadOnly: flags&sqlite3.SQLITE_OPEN_READONLY != 0}
	if c.resolve != nil {
		snapshot, how, err := c.resolve(name)
		if err != nil {
			c.session.Record(fmt.Errorf("open %s: %w", name, err))
			c.count(-1)
			return sqlite3.SQLITE_CANTOPEN, false
		}
		name, o = snapshot, how
	}
	m, rc := c.session.OpenMainIn(store.vfs, name, o)
	if rc != vfscore.OK {
		c.count(-1)
		if err := c.session.Err(); (errors.Is(err, pagestore.ErrUnknownDatabase) || errors.Is(err, pagestore.ErrName)) && namesFile(name) {
			c.session.Record(fmt.Errorf("open %s: %w: an ordinary file is opened as '%s'", name, pagestore.ErrUnknownDatabase, fileURI(name)))
		}
		return int32(rc), false
	}
	if code = openCFile(pFile, &openFile{file: m, main: m, conn: c}); code != sqlite3.SQLITE_OK {
		c.count(-1)
	}
	return code, m.ReadOnly()
}

func xClose(_ *libc.TLS, pFile uintptr) int32 {
	h := at[cFile](pFile).handle
	f := files.get(h)
	files.remove(h)
	at[cFile](pFile).base.FpMethods = 0
	code := f.file.Close()
	if f.conn != nil {
		f.conn.count(-1)
	}
	return int32(code)
}

func xRead(_ *libc.TLS, pFile, zBuf uintptr, n int32, off int64) int32 {
	f := fileOf(pFile)
	if f.main != nil { // spares the indirect call
		return int32(f.main.Read(bytesAt(zBuf, int(n)), off))
	}
	return int32(f.file.Read(bytesAt(zBuf, int(n)), off))
}

func xWrite(_ *libc.TLS, pFile, zBuf uintptr, n int32, off int64) int32 {
	return int32(fileOf(pFile).file.Write(bytesAt(zBuf, int(n)), off))
}

func xTruncate(_ *libc.TLS, pFile uintptr, size int64) int32 {
	return int32(fileOf(pFile).file.Truncate(size))
}

// xSync has nothing to do: SQLITE_FCNTL_SYNC commits, and other files need not
// survive.
func xSync(*libc.TLS, uintptr, int32) int32 { return sqlite3.SQLITE_OK }

func xFileSize(_ *libc.TLS, pFile, pSize uintptr) int32 {
	n, code := fileOf(pFile).file.Size()
	*at[int64](pSize) = n
	return int32(code)
}

func xLock(_ *libc.TLS, pFile uintptr, level int32) int32 {
	return int32(fileOf(pFile).file.Lock(vfscore.LockLevel(level)))
}

func xUnlock(_ *libc.TLS, pFile uintptr, level int32) int32 {
	return int32(fileOf(pFile).file.Unlock(vfscore.LockLevel(level)))
}

// xCheckReservedLock is only asked when SQLite finds a journal that a crash
// left; there is none.
func xCheckReservedLock(_ *libc.TLS, pFile, pOut uintptr) int32 {
	m := fileOf(pFile).main
	*at[int32](pOut) = libc.Bool32(m != nil && m.Reserved())
	return sqlite3.SQLITE_OK
}

func xFileControl(tls *libc.TLS, pFile uintptr, op int32, pArg uintptr) int32 {
	m := fileOf(pFile).main
	switch {
	case m == nil:
		return sqlite3.SQLITE_NOTFOUND
	case op == sqlite3.SQLITE_FCNTL_SYNC:
		name := ""
		if pArg != 0 {
			name = libc.GoString(pArg)
		}
		return int32(m.SyncDatabase(name))
	case op == sqlite3.SQLITE_FCNTL_PRAGMA:
		return pragma(tls, m, pArg)
	case op == sqlite3.SQLITE_FCNTL_HAS_MOVED:
		*at[int32](pArg) = 0
		return sqlite3.SQLITE_OK
	}
	return sqlite3.SQLITE_NOTFOUND
}

// pragma answers a PRAGMA: pArg is an array of the result, the name and the
// argument.
func pragma(tls *libc.TLS, m *vfscore.Main, pArg uintptr) int32 {
	args := at[[3]uintptr](pArg)
	result, handled := m.Pragma(string(textAt(args[1])), string(textAt(args[2])))
	if !handled {
		return sqlite3.SQLITE_NOTFOUND
	}
	if result != "" {
		p := sqlite3.Xsqlite3_malloc(tls, int32(len(result)+1))
		if p == 0 {
			return sqlite3.SQLITE_NOMEM
		}
		copy(bytesAt(p, len(result)+1), result+"\x00")
		args[0] = p
	}
	return sqlite3.SQLITE_OK
}

// xSectorSize: pages are written whole or not at all, so a sector needs to be
// no larger than the smallest page.
func xSectorSize(*libc.TLS, uintptr) int32 { return 512 }

// xDeviceCharacteristics spares SQLite what it does against power loss:
// POWERSAFE_OVERWRITE makes it journal a page rather than a sector,
// SAFE_APPEND and SEQUENTIAL make it not sync and not count in the journal.
// The atomic ones are not set: SQLite would do without a journal, which a
// rollback needs; nor is UNDELETABLE_WHEN_OPEN, which would keep journals open
// beyond their transaction; nor IMMUTABLE, which would do without locks.
func xDeviceCharacteristics(*libc.TLS, uintptr) int32 {
	return sqlite3.SQLITE_IOCAP_SAFE_APPEND | sqlite3.SQLITE_IOCAP_SEQUENTIAL | sqlite3.SQLITE_IOCAP_POWERSAFE_OVERWRITE
}

var (
	suffixJournal = []byte("-journal")
	suffixWAL     = []byte("-wal")
)

func xDelete(tls *libc.TLS, _, zName uintptr, syncDir int32) int32 {
	name := textAt(zName)
	if bytes.HasSuffix(name, suffixJournal) || bytes.HasSuffix(name, suffixWAL) {
		return sqlite3.SQLITE_OK // gone with its last close
	}
	if c := ofTLS(tls); c != nil {
		return int32(c.session.Delete(string(name), syncDir != 0))
	}
	return sqlite3.SQLITE_OK
}

func xAccess(tls *libc.TLS, _, zName uintptr, flags int32, pOut uintptr) int32 {
	*at[int32](pOut) = 0
	name := textAt(zName)
	if flags != sqlite3.SQLITE_ACCESS_EXISTS || bytes.HasSuffix(name, suffixJournal) || bytes.HasSuffix(name, suffixWAL) {
		return sqlite3.SQLITE_OK
	}
	if c := ofTLS(tls); c != nil {
		*at[int32](pOut) = libc.Bool32(c.session.Exists(string(name)))
	}
	return sqlite3.SQLITE_OK
}

func xFullPathname(_ *libc.TLS, _, zName uintptr, n int32, zOut uintptr) int32 {
	name := textAt(zName)
	if len(name) >= int(n) {
		return sqlite3.SQLITE_CANTOPEN
	}
	out := bytesAt(zOut, int(n))
	out[copy(out, name)] = 0
	return sqlite3.SQLITE_OK
}

func xRandomness(_ *libc.TLS, _ uintptr, n int32, zOut uintptr) int32 {
	rand.Read(bytesAt(zOut, int(n)))
	return n
}

func xSleep(_ *libc.TLS, _ uintptr, us int32) int32 {
	time.Sleep(time.Duration(us) * time.Microsecond)
	return us
}

// julianEpoch is 1970-01-01 as SQLite counts: milliseconds of Julian days.
const julianEpoch = 24405875 * 8640000

func xCurrentTimeInt64(_ *libc.TLS, _, pOut uintptr) int32 {
	*at[int64](pOut) = julianEpoch + time.Now().UnixMilli()
	return sqlite3.SQLITE_OK
}

func xCurrentTime(_ *libc.TLS, _, pOut uintptr) int32 {
	*at[float64](pOut) = float64(julianEpoch+time.Now().UnixMilli()) / 86400000
	return sqlite3.SQLITE_OK
}

func xGetLastError(*libc.TLS, uintptr, int32, uintptr) int32 { return 0 }

// Extensions in shared libraries cannot be loaded without cgo.
func xDlOpen(*libc.TLS, uintptr, uintptr) uintptr { return 0 }

func xDlError(_ *libc.TLS, _ uintptr, n int32, zOut uintptr) {
	if n > 0 {
		out := bytesAt(zOut, int(n))
		out[copy(out[:n-1], "loadable extensions are not supported")] = 0
	}
}

func xDlSym(*libc.TLS, uintptr, uintptr, uintptr) uintptr { return 0 }

func xDlClose(*libc.TLS, uintptr, uintptr) {}
