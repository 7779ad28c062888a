// Package sqlhost runs SQL in the host for guests that bring no SQLite of
// their own: a guest passes statements and arguments through imports, and gets
// rows in blocks, on the databases that it was granted.
//
// # Concepts
//
// [Instantiate] registers the imports once for a wazero runtime. A [Pool],
// which the app keeps, owns SQLite connections to the databases of one store
// and lends them to instances; pages are cached by the store, once for all.
// For each instance there is a [Databases]: what it was granted, the
// connections and cursors that it has open. It goes with the context that the
// guest is called with ([NewContext]).
//
//	pool := sqlhost.NewPool(store, sqlhost.Options{})
//	...
//	dbs, err := pool.Databases(sqlhost.Grant{Path: "/db/shop.sqlite", Database: "shop"})
//	_, err = module.ExportedFunction("run").Call(sqlhost.NewContext(ctx, dbs))
//	used := dbs.Seen().List()
//	err = dbs.Close()
//	...
//	err = pool.Close()
//
// The protocol is specified, for authors of guests, in docs/guest-sql.md.
// Package guest/sql is its client for Go.
//
// # Hostile guests
//
// A guest reaches no database but those of its grants and no file of the host:
// an authorizer refuses what SQL has for that, the names of ATTACH are looked
// up among the grants, and SQLite runs with its defensive settings. What a
// connection can be left with is undone before another instance gets it, or it
// is closed. A statement ends when the instance's time is up, and its
// processor time is the instance's. [Options] bounds values, handles and
// temporary files, but not the memory of one statement, which may hold several
// values at once.
package sqlhost
