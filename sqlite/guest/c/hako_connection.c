/*
** Connections. What the host keeps for a connection, such as its busy time-out
** and transactions over several databases, is a session. SQLite does not tell
** a VFS for which connection it opens a file; it is found out here.
*/
#include "hako_vfs.h"

#include <ctype.h>
#include <string.h>

static connection *connections;

/* Whether the connection is inside a statement that begins with the word. */
static int running(sqlite3 *db, const char *word) {
  sqlite3_stmt *s = 0;
  while ((s = sqlite3_next_stmt(db, s)) != 0) {
    const char *sql = sqlite3_sql(s);
    if (sql == 0 || !sqlite3_stmt_busy(s)) continue;
    for (;;) {
      if (isspace((unsigned char)*sql) || *sql == ';') sql++;
      else if (sql[0] == '-' && sql[1] == '-') sql += strcspn(sql, "\n");
      else if (sql[0] == '/' && sql[1] == '*') {
        const char *end = strstr(sql + 2, "*/");
        sql = end ? end + 2 : sql + strlen(sql);
      } else break;
    }
    if (sqlite3_strnicmp(sql, word, strlen(word)) == 0) return 1;
  }
  return 0;
}

connection *hako_connection_attaching(void) {
  connection *c;
  for (c = connections; c; c = c->next) {
    if (running(c->db, "ATTACH")) return c;
  }
  return 0;
}

/* Whether the connection writes to a database of the host. */
static int writes(connection *c) {
  int i;
  const char *schema;
  for (i = 0; (schema = sqlite3_db_name(c->db, i)) != 0; i++) {
    database_file *f = hako_database_of(c->db, schema);
    if (f && f->lock >= SQLITE_LOCK_RESERVED) return 1;
  }
  return 0;
}

/* A super-journal is named after the main database. If two connections have
** the same main database and both write, the one inside of COMMIT, or RELEASE
** of the outermost savepoint, is meant; a statement outside of a transaction
** that commits by itself could only be mistaken for another that is as well. */
connection *hako_connection_committing(const char *super) {
  connection *c, *found = 0;
  for (c = connections; c; c = c->next) {
    const char *name = sqlite3_db_filename(c->db, "main");
    if (c->databases == 0 || name == 0 || strncmp(name, super, strlen(name)) != 0 || !writes(c)) continue;
    if (running(c->db, "COMMIT") || running(c->db, "END") || running(c->db, "RELEASE")) return c;
    if (found == 0 || sqlite3_get_autocommit(c->db)) found = c;
  }
  return found;
}

void hako_connection_opened(connection *c, database_file *f) {
  f->conn = c;
  c->session = f->session;
  c->databases++;
}

void hako_connection_closed(connection *c) {
  if (--c->databases == 0 && c->db == 0) sqlite3_free(c);
}

static void ended(void *p) {
  connection *c = p, **q;
  for (q = &connections; *q; q = &(*q)->next) {
    if (*q == c) {
      *q = c->next;
      break;
    }
  }
  c->db = 0;
  if (c->databases == 0) sqlite3_free(c);
}

static int busy(void *p, int count) {
  connection *c = p;
  return c->databases && host_busy(c->session, count);
}

/* SQLite begins an empty database with the page size that it was made with. */
static int set_page_size(connection *c, database_file *f) {
  char sql[40];
  int size = host_page_size(f->handle);
  if (size == 0 || size == 4096) return SQLITE_OK;
  sqlite3_snprintf(sizeof sql, sql, "PRAGMA page_size=%d", size);
  return sqlite3_exec(c->db, sql, 0, 0, 0);
}

/* Runs on every new connection. It equips those whose main database is the
** host's. The name is that of the build's SQLITE_EXTRA_AUTOEXT. */
int hako_sqlite_extend(sqlite3 *db) {
  connection *c = sqlite3_malloc(sizeof *c);
  database_file *f;
  int rc;
  if (c == 0) return SQLITE_NOMEM;
  memset(c, 0, sizeof *c);
  rc = sqlite3_set_clientdata(db, "hako", c, ended);
  if (rc) return rc;
  c->db = db;
  c->next = connections;
  connections = c;
  f = hako_database_of(db, "main");
  if (f == 0) return SQLITE_OK;
  hako_connection_opened(c, f);
  sqlite3_busy_handler(db, busy, c);
  rc = hako_functions(c);
  return rc ? rc : set_page_size(c, f);
}

int hako_plain_busy_timeout(sqlite3 *db, int ms);

/* SQLite's own handler sleeps and tries again; at the host a writer has its
** place in a queue. The build gives SQLite's function the other name. */
int sqlite3_busy_timeout(sqlite3 *db, int ms) {
  connection *c = db ? sqlite3_get_clientdata(db, "hako") : 0;
  if (c == 0 || hako_database_of(db, "main") == 0) return hako_plain_busy_timeout(db, ms);
  host_busy_timeout(c->session, ms);
  return sqlite3_busy_handler(db, busy, c);
}
