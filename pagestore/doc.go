// Package pagestore keeps databases as sequences of versions of fixed-size
// pages, on one Pebble store in one directory.
//
// # Concepts
//
// A [Store] holds many databases. A [Database] is a named sequence of versions
// 0, 1, 2, ...; version 0 is empty or, in a branch, the snapshot that the
// branch began from. Each [Commit] makes the next version and stores only the
// pages that changed, as byte ranges over the page's previous version where
// that is smaller. A [Snapshot] is a database at one version: immutable, cheap
// to open, and protected from trimming until it is closed. A [Tx] collects
// page writes on top of a snapshot and commits them as the next version.
//
// Any version that was not trimmed can be read for as long as it is kept. A
// branch shares every page with the snapshot it began from. A tag names a
// version and keeps it. Trimming drops old versions that nothing protects and
// gives their space back.
//
// # Life cycle
//
// [Open] takes the directory for this process alone; a second process is told
// which one has it. Databases are loaded when first asked for, so opening does
// not depend on their number. [Store.Close] waits for commits under way and
// stops the background trimmer; transactions and snapshots must be closed
// first (Close names what is still open). Nothing has finalizers.
//
// # Concurrency
//
// A Store and its Databases are safe for concurrent use. A Snapshot is safe
// for concurrent use; a Tx belongs to one goroutine at a time.
//
// Writers choose: with a [Writer], the database's fair writer lock, a
// transaction cannot conflict; without one it is optimistic, and its commit is
// refused with a [ConflictError] if a page that it read or wrote was changed
// since its snapshot. Readers never wait for writers. Commits of different
// databases share disk syncs.
//
// # Durability
//
// A commit that returned nil is on disk. After a crash the store holds exactly
// the acknowledged commits and possibly ones that were under way, each of them
// whole. Every commit carries a BLAKE3 hash over its predecessor's hash and
// its own pages; [Database.Verify] recomputes the chain.
//
// # Caveats
//
// One process owns a store. Versions trimmed are gone. Two snapshots of
// different databases are from one common moment only if they were opened by
// one call of [Store.Snapshots].
package pagestore
