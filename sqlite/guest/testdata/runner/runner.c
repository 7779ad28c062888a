/* Runs SQL for the tests: statements come in and rows go out as bytes. */
#include "hako_sqlite.h"
#include "sqlite3.h"

#include <stdlib.h>
#include <string.h>

#define EXPORT(name) __attribute__((export_name(#name)))

static sqlite3 *connections[16];
static unsigned char *out;
static size_t used, room;

static void put(const void *p, size_t n) {
  if (used + n > room) {
    room = (used + n) * 2;
    out = realloc(out, room);
    if (out == 0) __builtin_trap();
  }
  if (n) memcpy(out + used, p, n);
  used += n;
}

static void put_tagged(char tag, const void *p, int n) {
  put(&tag, 1);
  put(&n, 4);
  put(p, n);
}

EXPORT(alloc) void *alloc(int n) { return malloc(n); }
EXPORT(release) void release(void *p) { free(p); }
EXPORT(length) int length(void) { return (int)used; }

static int finish(sqlite3 *db, int rc) {
  const char *errstr = sqlite3_errstr(rc), *errmsg = rc && db ? sqlite3_errmsg(db) : "";
  char more[1024];
  int n = rc ? hako_sqlite_error(more, sizeof more) : 0;
  put_tagged('e', &rc, 4);
  put_tagged('t', errstr, strlen(errstr));
  put_tagged('t', errmsg, strlen(errmsg));
  put_tagged('t', more, n);
  return rc;
}

EXPORT(open) void *open_connection(int i, const char *name, int flags, int ms) {
  int rc = sqlite3_open_v2(name, &connections[i], flags ? flags : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_URI, 0);
  used = 0;
  if (connections[i]) {
    sqlite3_extended_result_codes(connections[i], 1);
    if (ms >= 0) sqlite3_busy_timeout(connections[i], ms);
  }
  finish(connections[i], rc);
  if (rc) {
    sqlite3_close(connections[i]);
    connections[i] = 0;
  }
  return out;
}

EXPORT(close) int close_connection(int i) {
  int rc = sqlite3_close(connections[i]);
  connections[i] = 0;
  return rc;
}

static void put_row(sqlite3_stmt *s) {
  int i, n = sqlite3_column_count(s);
  put_tagged('r', 0, 0);
  for (i = 0; i < n; i++) {
    sqlite3_int64 integer;
    double real;
    switch (sqlite3_column_type(s, i)) {
    case SQLITE_INTEGER:
      integer = sqlite3_column_int64(s, i);
      put_tagged('i', &integer, 8);
      break;
    case SQLITE_FLOAT:
      real = sqlite3_column_double(s, i);
      put_tagged('f', &real, 8);
      break;
    case SQLITE_TEXT:
      put_tagged('t', sqlite3_column_text(s, i), sqlite3_column_bytes(s, i));
      break;
    case SQLITE_BLOB:
      put_tagged('b', sqlite3_column_blob(s, i), sqlite3_column_bytes(s, i));
      break;
    default:
      put_tagged('n', 0, 0);
    }
  }
}

/* Runs all statements of sql, until one fails. */
EXPORT(run) void *run(int i, const char *sql) {
  sqlite3 *db = connections[i];
  int rc = SQLITE_OK;
  used = 0;
  while (rc == SQLITE_OK && *sql) {
    sqlite3_stmt *s = 0;
    rc = sqlite3_prepare_v2(db, sql, -1, &s, &sql);
    if (rc == SQLITE_OK && s) {
      while ((rc = sqlite3_step(s)) == SQLITE_ROW) put_row(s);
      if (rc == SQLITE_DONE) rc = SQLITE_OK;
    }
    if (rc) {
      finish(db, rc);
      sqlite3_finalize(s);
      return out;
    }
    sqlite3_finalize(s);
  }
  finish(db, rc);
  return out;
}

/* Steps a statement that stays open. */
static sqlite3_stmt *cursor;

EXPORT(step) int step(int i, const char *sql) {
  if (cursor == 0 && sqlite3_prepare_v2(connections[i], sql, -1, &cursor, 0)) return -1;
  return sqlite3_step(cursor);
}

EXPORT(finish) int finish_cursor(void) {
  int rc = sqlite3_finalize(cursor);
  cursor = 0;
  return rc;
}

EXPORT(trap) void trap(void) { __builtin_trap(); }

/* Runs one statement n times with the number of the time as its parameter, and
** sums the first column up. */
EXPORT(repeat) long long repeat(int i, const char *sql, int from, int n, int modulus) {
  sqlite3_stmt *s = 0;
  long long sum = 0;
  int k, rc = sqlite3_prepare_v2(connections[i], sql, -1, &s, 0);
  for (k = from; k < from + n && rc == SQLITE_OK; k++) {
    sqlite3_bind_int64(s, 1, modulus ? k * 7919LL % modulus + 1 : k);
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) sum += sqlite3_column_int64(s, 0);
    rc = sqlite3_reset(s);
  }
  sqlite3_finalize(s);
  return rc ? -rc : sum;
}

/* An SQL function that opens a connection and runs SQL in it, within the
** statement that calls it. */
static void nested(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  char *message = 0;
  int rc = sqlite3_exec(connections[sqlite3_value_int(argv[0])], (const char *)sqlite3_value_text(argv[1]), 0, 0, &message);
  if (rc) sqlite3_result_error(ctx, message, -1);
  else sqlite3_result_int(ctx, 1);
  sqlite3_free(message);
}

EXPORT(add_nested) int add_nested(int i) {
  return sqlite3_create_function(connections[i], "nested", 2, SQLITE_UTF8, 0, nested, 0, 0);
}
