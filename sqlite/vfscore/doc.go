// Package vfscore performs SQLite's file operations on databases of a
// pagestore. It knows nothing of who calls it: buffers are byte slices and
// results are SQLite's result codes, so that the same code serves an SQLite in
// this process and one in a WebAssembly guest's own memory.
//
// # Concepts
//
// A [VFS] belongs to one store. A [Session] is one SQLite connection; it owns
// what SQLite keeps for a connection and a file system does not: the busy
// time-out and the wait for a writer's turn, transactions over several
// databases, and the error behind the last result code. Files are opened in a
// session: a [Main] is a database, a [Temp] anything else (rollback journals,
// super-journals, temporary tables); those live in memory and in unnamed files
// and are gone with the process, because a commit of the store is atomic by
// itself.
//
// # A transaction
//
// [Main.Lock] with [LockShared] opens a snapshot; all reads come from it, so
// readers and writers never wait for each other. LockReserved takes the
// database's writer lock; it is refused with [BusySnapshot] if the snapshot is
// no longer the newest. The first [Main.Write] begins a pagestore transaction.
// [Main.SyncDatabase] commits it; SQLite calls that once for a commit, after it
// wrote every page and before it deletes its journal, and handles its failure
// as an ordinary failed commit. It also calls it after playing back its
// journal: what tells the two apart is the change counter in page 1, which a
// commit has incremented.
//
// If one transaction changes several databases, SQLite names a super-journal
// in SyncDatabase. The parts are kept until [Session.Delete] deletes that file,
// which is SQLite's commit point, and are committed as one.
//
// # The change counter
//
// SQLite keeps its page cache from one transaction to the next if the change
// counter in page 1 is still the same. The counter is stored as zero, so that
// it is no reason for a conflict, and shown to a reader as a function of the
// version; see [Header].
//
// # Optimistic sessions
//
// An optimistic session takes no writer lock. Every page it reads from
// LockShared on is remembered and its commit is refused with [BusySnapshot] if
// another commit changed one of them. It is shown a new change counter at each
// LockShared, which empties SQLite's cache, because a page taken from there
// would not be noticed.
//
// # Caveats
//
// A Session and its files belong to one goroutine at a time, as an SQLite
// connection does. Journal modes OFF and MEMORY and locking mode EXCLUSIVE
// would make SQLite bypass what commits rest on: [Main.Pragma] does not let
// them through, and if they arrive otherwise writes fail.
package vfscore
