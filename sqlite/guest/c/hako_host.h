/*
** What the host offers, in the import module hako_sqlite_v1. Handles and
** sessions are small integers of one instance. Functions that return int
** return one of SQLite's result codes unless said otherwise. Texts come with
** their length and without a closing zero.
*/
#ifndef HAKO_HOST_H
#define HAKO_HOST_H

#define HOST(name) __attribute__((import_module("hako_sqlite_v1"), import_name(#name))) extern

typedef long long host_offset;

/* What host_open found. */
struct host_opened {
  int handle;
  int session;  /* the connection's, new if 0 was passed */
  int readonly;
};

/* 1 if the path is granted as a database or is a snapshot of one that is. */
HOST(granted) int host_granted(const char *path, int len);

#define HOST_READONLY   1
#define HOST_OPTIMISTIC 2 /* commit without the writer lock */
HOST(open) int host_open(int session, const char *path, int len, int flags, struct host_opened *out);
HOST(journal) int host_journal(int database, int *handle);
HOST(super) int host_super(int session, const char *name, int len, int *handle);
HOST(temp) int host_temp(int *handle);
HOST(close) int host_close(int handle);

HOST(read) int host_read(int handle, void *buf, int n, host_offset off);
HOST(write) int host_write(int handle, const void *buf, int n, host_offset off);
HOST(truncate) int host_truncate(int handle, host_offset size);
HOST(size) int host_size(int handle, host_offset *size);

HOST(lock) int host_lock(int database, int level);
HOST(unlock) int host_unlock(int database, int level);
HOST(sync) int host_sync(int database, const char *super, int len);

/* The length of the answer, which is cut off to n bytes; -1: SQLite is to
** act on the PRAGMA itself. A length of 0 is no answer. */
HOST(pragma) int host_pragma(int database, const char *name, int namelen, const char *arg, int arglen, char *out, int n);

/* Of super-journals; 1 if it exists. */
HOST(delete) int host_delete(const char *name, int len, int sync);
HOST(exists) int host_exists(const char *name, int len);

/* The busy handler: 1 to try again. */
HOST(busy) int host_busy(int session, int count);
HOST(busy_timeout) int host_busy_timeout(int session, int ms);
HOST(sleep) void host_sleep(int us);
HOST(random) void host_random(void *buf, int n);

/* The version that the connection reads; -1 if it fails. */
HOST(version) long long host_version(int database);
/* The length of the text, at most n; -1 if it fails. */
HOST(time) int host_time(int database, char *out, int n);
/* Pins what the connection reads; len -1 for NULL. Returns the version, -1 if
** it fails. */
HOST(at) long long host_at(int database, const char *spec, int len);
/* The page size of a database with no page yet, 0 if there are pages. */
HOST(page_size) int host_page_size(int database);
/* The length of the last error's text, cut off to n. */
HOST(error) int host_error(char *out, int n);

#undef HOST
#endif
