// Package sqlite runs SQLite on the versioned databases of a page store: as a
// database/sql driver named "hako", as a VFS for other users of
// modernc.org/sqlite, and with import from and export to ordinary files.
//
// # Opening
//
//	db, err := sql.Open("hako", "hako:shop?store=/var/lib/hako&create=1")
//
// The name is a snapshot: shop, shop@42, shop@-10m, shop@2026-11-22T10:00:00Z
// or shop@TAG. Other than by its head a database opens read-only, and all
// connections of one sql.DB see the same version. The parameters are
//
//	store=DIR                     the store's directory, $HAKO_STORE unless given; opened
//	                              once for the process
//	locking=writer|optimistic     see below; writer by default
//	create=1                      make the database, and the store, if they do not exist
//	mode=ro|rw|rwc                as in SQLite's URIs
//
// and those of modernc.org/sqlite that begin with '_', such as _pragma, _txlock
// and _busy_timeout (milliseconds; 5000 by default). A program that has the
// store open already uses [OpenDB] or a [Connector], or gives the VFS's name
// from [Attach] to modernc's own driver. ATTACH takes snapshots too; ATTACH
// 'file:/path?vfs=unix' an ordinary file.
//
// # SQL functions
//
//	hako_version([schema])     the version that the connection sees
//	hako_time([schema])        when that was committed: RFC 3339, UTC, with nanoseconds
//	hako_at([schema,] spec)    read another version from now on: '42', '-10m', a
//	                           time or a tag; 'head' for the newest, NULL for what
//	                           the connection was opened with; returns the version
//
// A pinned connection does not write. After hako_at('head') one that was opened
// as shop@42 reads the newest version, but does not write either; after
// hako_at(NULL) it reads version 42 again. A connection that goes back to its
// pool is no longer pinned; take a sql.Conn to keep it.
//
// # Transactions
//
// Every commit that changes something is a version and is on disk when COMMIT
// returns. Readers see the version that was the newest when they began, and
// wait for nobody. With locking=writer, writers of one database queue in the
// order they came, as long as busy_timeout and the call's context allow; there
// is no error that a file in WAL mode would not give too. With
// locking=optimistic they run side by side, and a COMMIT fails with
// SQLITE_BUSY_SNAPSHOT if what it read or wrote was changed by another: run the
// transaction again. The page is the unit, and what makes the file longer or
// shorter, or changes the list of free pages, collides with all others.
//
// A transaction over several attached databases commits as one. One that
// changes a database and an ordinary file, or databases of two stores, is
// refused.
//
// # Errors
//
// errors.As finds modernc.org/sqlite's *Error; where the cause lies in the
// store, errors.Is finds pagestore's too, such as pagestore.ErrConflict,
// ErrReadOnly, ErrBusy, ErrDiskFull or ErrDamaged.
//
// # Caveats
//
// PRAGMA journal_mode, locking_mode and synchronous are accepted and change
// nothing: the answers are delete, normal and 2. With ":memory:" as main
// database a transaction over several databases is not atomic, as SQLite
// documents. If main is an ordinary file, its journal_mode OFF or MEMORY and its
// locking_mode EXCLUSIVE extend to databases attached to it, and make writes to
// them fail. Close connections before the store.
package sqlite
