/*
** SQLite on Hako's databases, inside a WebAssembly guest.
**
** Link libhakosqlite.a and use sqlite3.h as ever: sqlite3_open() of a path that
** was granted as a database opens that database, of any other an ordinary file
** through WASI. docs/guest-sqlite.md tells what differs from a file.
*/
#ifndef HAKO_SQLITE_H
#define HAKO_SQLITE_H

#ifdef __cplusplus
extern "C" {
#endif

/*
** hako_sqlite_error copies the text behind the last result code that the host
** returned into buf, ended by a zero and cut off to n bytes, and returns its
** length. It tells more than sqlite3_errmsg(): which version collided, or how
** a database's name was meant. Empty if nothing failed.
*/
int hako_sqlite_error(char *buf, int n);

/*
** hako_sqlite_forked must be called in a fresh instance that began as a copy of
** another one's memory, before SQLite is used. The library exports hako_forked,
** which Hako calls in forks of templates and which does just that; a guest that
** defines hako_forked itself must call this function there. It makes SQLite's random numbers
** differ from those of the other copies and opens anew the databases that were
** open in the original, which must have had no transaction under way. Temporary
** tables that did not fit into SQLite's cache are lost: using them fails. It
** returns SQLITE_OK, or the code of what could not be opened: what reads that
** database fails then.
*/
int hako_sqlite_forked(void);

#ifdef __cplusplus
}
#endif

#endif
