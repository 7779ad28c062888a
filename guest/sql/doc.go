// Package sql is a database/sql driver named "hako" for Wasm guests that have
// no SQLite of their own: statements run in the host, on the databases that
// the guest was granted.
//
//	import (
//		"database/sql"
//
//		_ "github.com/hako-run/hako/guest/sql"
//	)
//
//	db, err := sql.Open("hako", "shop")
//
// The name is that of a granted database, or the path under which it was
// granted, such as /db/shop.sqlite; an older version of it is shop@42 or
// shop@-10m, which is read-only. Parameters follow a '?':
//
//	locking=optimistic        commit without queueing; see package sqlite
//	mode=ro                   read-only
//	_txlock=immediate         how transactions begin: deferred, immediate, exclusive
//	_busy_timeout=MS          how long a writer waits for its turn
//	_pragma=NAME(VALUE)       set on each connection, as foreign_keys(1)
//	_time_format=sqlite       how a time.Time is written: sqlite, datetime,
//	                          string_no_monotonic; else as time.Time.String has it
//	_inttotime=1              integers in columns declared as times become times
//	_texttotime=1             so do texts in columns declared as nothing
//
// Values are those of SQLite, as modernc.org/sqlite gives them: int64,
// float64, string, []byte and nil; text in a column declared DATE, DATETIME or
// TIMESTAMP is a time.Time if it is written like one. Errors have a method
// Code() int with SQLite's extended result code.
//
// A guest has one thread, which waits while SQL runs: a context that is
// cancelled meanwhile is seen afterwards. Deadlines are told to the host,
// which ends the statement then.
//
// Outside of wasip1 the package opens databases by package sqlite, so that the
// program runs as it is; HAKO_STORE names the store's folder.
package sql
