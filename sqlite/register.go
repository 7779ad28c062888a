package sqlite

import (
	"fmt"
	"sync"
	"unsafe"

	"modernc.org/libc"
	"modernc.org/sqlite/lib"
)

// methods is the address of our sqlite3_io_methods.
var methods uintptr

// setUp runs once, when the first store is attached: not earlier, because
// programs may configure SQLite before its first use.
var setUp = sync.OnceValue(func() error {
	tls := libc.NewTLS()
	defer tls.Close()
	methods = libc.Xcalloc(tls, 1, libc.Tsize_t(unsafe.Sizeof(sqlite3.Tsqlite3_io_methods{})))
	if methods == 0 {
		return errMemory
	}
	*at[sqlite3.Tsqlite3_io_methods](methods) = sqlite3.Tsqlite3_io_methods{
		FiVersion:               1, // no shared memory, so no WAL; no mapped pages
		FxClose:                 funcPointer(xClose),
		FxRead:                  funcPointer(xRead),
		FxWrite:                 funcPointer(xWrite),
		FxTruncate:              funcPointer(xTruncate),
		FxSync:                  funcPointer(xSync),
		FxFileSize:              funcPointer(xFileSize),
		FxLock:                  funcPointer(xLock),
		FxUnlock:                funcPointer(xUnlock),
		FxCheckReservedLock:     funcPointer(xCheckReservedLock),
		FxFileControl:           funcPointer(xFileControl),
		FxSectorSize:            funcPointer(xSectorSize),
		FxDeviceCharacteristics: funcPointer(xDeviceCharacteristics),
	}
	if rc := sqlite3.Xsqlite3_auto_extension(tls, funcPointer(extend)); rc != sqlite3.SQLITE_OK {
		return fmt.Errorf("install SQL functions: SQLite error %d", rc)
	}
	return nil
})

var errMemory = fmt.Errorf("register with SQLite: out of memory")

// maxName is the longest name of a snapshot, in bytes.
const maxName = 512

// registerVFS makes SQLite know a VFS and returns its sqlite3_vfs. id is what
// the callbacks find the store by.
func registerVFS(name string, id uintptr) (uintptr, error) {
	if err := setUp(); err != nil {
		return 0, err
	}
	tls := libc.NewTLS()
	defer tls.Close()
	p := libc.Xcalloc(tls, 1, libc.Tsize_t(unsafe.Sizeof(sqlite3.Tsqlite3_vfs{})))
	if p == 0 {
		return 0, errMemory
	}
	*at[sqlite3.Tsqlite3_vfs](p) = sqlite3.Tsqlite3_vfs{
		FiVersion:          2,
		FszOsFile:          int32(unsafe.Sizeof(cFile{})),
		FmxPathname:        maxName,
		FzName:             constant(name),
		FpAppData:          id,
		FxOpen:             funcPointer(xOpen),
		FxDelete:           funcPointer(xDelete),
		FxAccess:           funcPointer(xAccess),
		FxFullPathname:     funcPointer(xFullPathname),
		FxDlOpen:           funcPointer(xDlOpen),
		FxDlError:          funcPointer(xDlError),
		FxDlSym:            funcPointer(xDlSym),
		FxDlClose:          funcPointer(xDlClose),
		FxRandomness:       funcPointer(xRandomness),
		FxSleep:            funcPointer(xSleep),
		FxCurrentTime:      funcPointer(xCurrentTime),
		FxGetLastError:     funcPointer(xGetLastError),
		FxCurrentTimeInt64: funcPointer(xCurrentTimeInt64),
	}
	if rc := sqlite3.Xsqlite3_vfs_register(tls, p, 0); rc != sqlite3.SQLITE_OK {
		freeVFS(tls, p)
		return 0, fmt.Errorf("register VFS %s with SQLite: error %d", name, rc)
	}
	return p, nil
}

// unregisterVFS undoes registerVFS. No connection may use the VFS any more.
func unregisterVFS(p uintptr) {
	tls := libc.NewTLS()
	defer tls.Close()
	sqlite3.Xsqlite3_vfs_unregister(tls, p)
	freeVFS(tls, p)
}

func freeVFS(tls *libc.TLS, p uintptr) {
	libc.Xfree(tls, at[sqlite3.Tsqlite3_vfs](p).FzName)
	libc.Xfree(tls, p)
}
