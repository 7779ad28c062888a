// Package guest lets the SQLite inside a WebAssembly guest work on the
// versioned databases of a page store. The guest is linked with
// libhakosqlite.a, which build.sh makes: SQLite with a VFS that asks this
// package's host module for what a file system would do. SQL runs in the
// guest, in its own memory; only pages cross the border.
//
// # Concepts
//
// [Instantiate] makes the host module part of a runtime, once. It keeps
// nothing of any guest: the functions find the instance's [Databases] in the
// context that the guest was called with, where [NewContext] puts them. A
// Databases holds the instance's grants, each the path that the guest opens and
// the database or snapshot that it gets, and every file that the guest has
// open. Nothing else of the store can be reached from the guest.
//
//	dbs, err := guest.New(vfs, guest.Options{}, guest.Grant{Path: "/db/shop.sqlite", Database: "shop"})
//	...
//	_, err = module.ExportedFunction("run").Call(guest.NewContext(ctx, dbs))
//	...
//	err = dbs.Close()
//
// The page store's side, with transactions, locks and the busy time-out, is
// package vfscore's, as it is for connections of this process; connections in
// guests and those of package sqlite meet at the store and may use the same
// database at the same time.
//
// # Paths
//
// A guest's name of a database is made absolute and cleaned, and is that of a
// grant if the results are equal; a grant whose path is a single word, such as
// "shop", is also found under just that name wherever the guest's working
// directory is. If a database is granted by its head, the guest may also open
// an older version of it, "shop@42" or "/db/shop.sqlite@-10m", and pin a
// connection with the SQL function hako_at; with a grant of a snapshot neither
// leads beyond it.
//
// # Hostile guests
//
// Every argument of every call is checked: a wrong one gives the guest an error
// code, never a Go panic. [Options] bound what a guest can make the host keep.
// A guest that is waiting for a lock or sleeps is ended by its context. When an
// instance ends, however it does, [Databases.Close] rolls back and releases
// what it held. What remains is that a guest with a writable database can fill
// it, up to Options.MaxSize, and keep its writer lock as long as it runs.
package guest
