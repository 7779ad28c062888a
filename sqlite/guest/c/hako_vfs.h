/*
** What the parts of the VFS share.
*/
#ifndef HAKO_VFS_H
#define HAKO_VFS_H

#include "hako_host.h"
#include "sqlite3.h"

/* A connection of SQLite. A database belongs to a connection's session, which
** SQLite does not name when it opens files: see hako_connection.c. */
typedef struct connection {
  struct connection *next;
  sqlite3 *db;  /* 0 once it is closed */
  int session;  /* valid while databases > 0 */
  int databases;
} connection;

/* A database of the host that is open. */
typedef struct {
  const sqlite3_io_methods *methods;
  int handle;
  int session;
  int flags;        /* of host_open */
  int lock;
  connection *conn; /* 0 until the connection is known */
  const char *name; /* SQLite's */
  void *next;       /* in the list of all */
} database_file;

/* A journal, super-journal or temporary file. The host keeps it, but for what
** was written last: most journals end before any of it left the guest. */
typedef struct {
  const sqlite3_io_methods *methods;
  int handle;               /* -1 until the host must know of it */
  int lost;                 /* the host had it, in the original of this fork */
  int direct;               /* a super-journal: the host reads it, so nothing is kept here */
  unsigned char *window;    /* what was written last, contiguous */
  int used, room;
  sqlite3_int64 start;      /* where the window begins */
  sqlite3_int64 size;       /* of the file */
  void *next;               /* in the list of all */
} scratch_file;

/* An ordinary file, by WASI. */
typedef struct {
  const sqlite3_io_methods *methods;
  int fd;
  int lock;
  int remove;   /* when it is closed */
  char *path;
  void *next;   /* in the list of all databases among them */
} plain_file;

typedef union {
  sqlite3_file base;
  database_file database;
  scratch_file scratch;
  plain_file plain;
} any_file;

extern const sqlite3_io_methods hako_database_methods;
int hako_database_open(const char *name, database_file *f, int flags, int *out);
database_file *hako_database_of_journal(const char *name);

int hako_scratch_open(scratch_file *f);
int hako_journal_open(database_file *of, scratch_file *f);
void hako_scratch_lose(void);
int hako_super_open(const char *name, scratch_file *f);

int hako_plain_open(const char *name, plain_file *f, int flags, int *out);
int hako_plain_delete(const char *name, int sync);
int hako_plain_access(const char *name, int flags);

/* The connection that is running ATTACH, 0 if none is. */
connection *hako_connection_attaching(void);
/* The connection that is committing with a super-journal of that name. */
connection *hako_connection_committing(const char *super);
void hako_connection_opened(connection *c, database_file *f);
void hako_connection_closed(connection *c);
int hako_connection_reopen(void);

/* The database that a schema of a connection is, 0 if it is none. */
database_file *hako_database_of(sqlite3 *db, const char *schema);
int hako_functions(connection *c);

/* Returns 1 if s ends with suffix. */
int hako_ends_with(const char *s, const char *suffix);

#endif
