/*
** A database of the host as SQLite's file.
*/
#include "hako_vfs.h"

#include <string.h>

static database_file *databases; /* all that are open */

int hako_database_open(const char *name, database_file *f, int flags, int *out) {
  struct host_opened opened;
  connection *c = hako_connection_attaching();
  const char *locking = sqlite3_uri_parameter(name, "locking");
  int rc;
  f->flags = flags & SQLITE_OPEN_READONLY ? HOST_READONLY : 0;
  if (locking && strcmp(locking, "optimistic") == 0) f->flags |= HOST_OPTIMISTIC;
  rc = host_open(c && c->databases ? c->session : 0, name, strlen(name), f->flags, &opened);
  if (rc) return rc;
  if (opened.readonly) *out = (*out & ~(SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE)) | SQLITE_OPEN_READONLY;
  f->methods = &hako_database_methods;
  f->handle = opened.handle;
  f->session = opened.session;
  f->name = name;
  f->next = databases;
  databases = f;
  if (c) hako_connection_opened(c, f);
  return SQLITE_OK;
}

/* The pager passes the same pointer whenever it names its journal. */
database_file *hako_database_of_journal(const char *name) {
  database_file *f;
  for (f = databases; f; f = f->next) {
    if (name == sqlite3_filename_journal(f->name) || name == sqlite3_filename_wal(f->name)) return f;
  }
  return 0;
}

database_file *hako_database_of(sqlite3 *db, const char *schema) {
  sqlite3_file *f = 0;
  if (sqlite3_file_control(db, schema, SQLITE_FCNTL_FILE_POINTER, &f) || f == 0) return 0;
  return f->pMethods == &hako_database_methods ? (database_file *)f : 0;
}

/* Opens all databases anew in a forked instance. Connections get new sessions. */
int hako_connection_reopen(void) {
  int rc = SQLITE_OK;
  database_file *f;
  hako_scratch_lose();
  for (f = databases; f; f = f->next) {
    if (f->conn) f->conn->databases = 0;
  }
  for (f = databases; f; f = f->next) {
    struct host_opened opened;
    connection *c = f->conn;
    int failed = host_open(c && c->databases ? c->session : 0, f->name, strlen(f->name), f->flags, &opened);
    f->handle = failed ? -1 : opened.handle;
    f->lock = SQLITE_LOCK_NONE;
    if (failed) {
      rc = failed;
      continue;
    }
    f->session = opened.session;
    if (c) hako_connection_opened(c, f);
  }
  for (f = databases; f; f = f->next) { /* what the original had cached may be another version's */
    int i;
    const char *schema;
    if (f->conn == 0 || f->conn->db == 0) continue;
    for (i = 0; (schema = sqlite3_db_name(f->conn->db, i)) != 0; i++) {
      if (hako_database_of(f->conn->db, schema) == f) sqlite3_file_control(f->conn->db, schema, SQLITE_FCNTL_RESET_CACHE, 0);
    }
  }
  return rc;
}

static int database_close(sqlite3_file *file) {
  database_file *f = (database_file *)file, **p;
  for (p = &databases; *p != f; p = (database_file **)&(*p)->next) {}
  *p = f->next;
  f->methods = 0;
  if (f->conn) hako_connection_closed(f->conn);
  return host_close(f->handle);
}

static int database_read(sqlite3_file *file, void *buf, int n, sqlite3_int64 off) {
  return host_read(((database_file *)file)->handle, buf, n, off);
}

static int database_write(sqlite3_file *file, const void *buf, int n, sqlite3_int64 off) {
  return host_write(((database_file *)file)->handle, buf, n, off);
}

static int database_truncate(sqlite3_file *file, sqlite3_int64 size) {
  return host_truncate(((database_file *)file)->handle, size);
}

/* SQLITE_FCNTL_SYNC commits; there is nothing left to do. */
static int database_sync(sqlite3_file *file, int flags) { return SQLITE_OK; }

static int database_size(sqlite3_file *file, sqlite3_int64 *size) {
  host_offset n = 0;
  int rc = host_size(((database_file *)file)->handle, &n);
  *size = n;
  return rc;
}

static int database_lock(sqlite3_file *file, int level) {
  database_file *f = (database_file *)file;
  int rc = host_lock(f->handle, level);
  if (rc == SQLITE_OK && level > f->lock) f->lock = level;
  return rc;
}

static int database_unlock(sqlite3_file *file, int level) {
  database_file *f = (database_file *)file;
  f->lock = level;
  return host_unlock(f->handle, level);
}

/* Only asked when SQLite finds a journal that a crash left: there is none. */
static int database_check_reserved(sqlite3_file *file, int *out) {
  *out = ((database_file *)file)->lock >= SQLITE_LOCK_RESERVED;
  return SQLITE_OK;
}

/* args are the result, the name and the argument. */
static int answer_pragma(database_file *f, char **args) {
  char answer[64];
  int n = host_pragma(f->handle, args[1], strlen(args[1]), args[2], args[2] ? strlen(args[2]) : 0, answer, sizeof answer - 1);
  if (n < 0) return SQLITE_NOTFOUND;
  if (n > 0) {
    answer[n] = 0;
    args[0] = sqlite3_mprintf("%s", answer);
    if (args[0] == 0) return SQLITE_NOMEM;
  }
  return SQLITE_OK;
}

static int database_control(sqlite3_file *file, int op, void *arg) {
  database_file *f = (database_file *)file;
  switch (op) {
  case SQLITE_FCNTL_SYNC:
    return host_sync(f->handle, arg, arg ? strlen(arg) : 0);
  case SQLITE_FCNTL_PRAGMA:
    return answer_pragma(f, arg);
  case SQLITE_FCNTL_HAS_MOVED:
    *(int *)arg = 0;
    return SQLITE_OK;
  }
  return SQLITE_NOTFOUND;
}

/* Pages are written whole or not at all, so a sector needs to be no larger than
** the smallest page. */
static int database_sector_size(sqlite3_file *file) { return 512; }

/* Spares SQLite what it does against power loss. The atomic characteristics are
** not among them: SQLite would do without a journal, which a rollback needs. */
static int database_characteristics(sqlite3_file *file) {
  return SQLITE_IOCAP_SAFE_APPEND | SQLITE_IOCAP_SEQUENTIAL | SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

/* Version 1: no shared memory, so no WAL, and no mapped pages. */
const sqlite3_io_methods hako_database_methods = {
  1, database_close, database_read, database_write, database_truncate, database_sync, database_size,
  database_lock, database_unlock, database_check_reserved, database_control, database_sector_size,
  database_characteristics, 0, 0, 0, 0, 0, 0,
};
