/*
** The SQL functions hako_version, hako_time and hako_at.
*/
#include "hako_sqlite.h"
#include "hako_vfs.h"

#include <string.h>

static void result_error(sqlite3_context *ctx) {
  char text[512];
  int n = hako_sqlite_error(text, sizeof text);
  sqlite3_result_error(ctx, text, n);
}

/* The database that the first of more than rest arguments names, main if there
** is none. */
static database_file *database_arg(sqlite3_context *ctx, int argc, sqlite3_value **argv, int rest) {
  const char *schema = argc > rest ? (const char *)sqlite3_value_text(argv[0]) : 0;
  database_file *f = hako_database_of(sqlite3_context_db_handle(ctx), schema);
  if (f == 0) {
    char *text = sqlite3_mprintf("schema \"%w\" is not a Hako database", schema ? schema : "main");
    if (text) sqlite3_result_error(ctx, text, -1);
    else sqlite3_result_error_nomem(ctx);
    sqlite3_free(text);
  }
  return f;
}

static void hako_version(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  database_file *f = database_arg(ctx, argc, argv, 0);
  sqlite3_int64 v;
  if (f == 0) return;
  v = host_version(f->handle);
  if (v < 0) result_error(ctx);
  else sqlite3_result_int64(ctx, v);
}

static void hako_time(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  database_file *f = database_arg(ctx, argc, argv, 0);
  char text[64];
  int n;
  if (f == 0) return;
  n = host_time(f->handle, text, sizeof text);
  if (n < 0) result_error(ctx);
  else sqlite3_result_text(ctx, text, n, SQLITE_TRANSIENT);
}

static void hako_at(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  database_file *f = database_arg(ctx, argc, argv, 1);
  const char *spec;
  sqlite3_int64 v;
  if (f == 0) return;
  spec = (const char *)sqlite3_value_text(argv[argc - 1]);
  v = host_at(f->handle, spec, spec ? (int)strlen(spec) : -1);
  if (v < 0) result_error(ctx);
  else sqlite3_result_int64(ctx, v);
}

int hako_functions(connection *c) {
  static const struct {
    const char *name;
    int args, flags;
    void (*call)(sqlite3_context *, int, sqlite3_value **);
  } list[] = {
    {"hako_version", 0, SQLITE_UTF8, hako_version},
    {"hako_version", 1, SQLITE_UTF8, hako_version},
    {"hako_time", 0, SQLITE_UTF8, hako_time},
    {"hako_time", 1, SQLITE_UTF8, hako_time},
    {"hako_at", 1, SQLITE_UTF8 | SQLITE_DIRECTONLY, hako_at},
    {"hako_at", 2, SQLITE_UTF8 | SQLITE_DIRECTONLY, hako_at},
  };
  size_t i;
  for (i = 0; i < sizeof list / sizeof list[0]; i++) {
    int rc = sqlite3_create_function_v2(c->db, list[i].name, list[i].args, list[i].flags, c, list[i].call, 0, 0, 0);
    if (rc) return rc;
  }
  return SQLITE_OK;
}
