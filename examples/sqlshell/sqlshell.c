/*
** A small SQL shell for Wasm: SQLite runs inside the guest, on a database that
** it was granted.
**
**     sqlshell [-list | -json] [-bail] DATABASE [SQL ...]
**
** Without SQL it reads statements from standard input. The exit code is 1 if a
** statement failed.
*/
#include "hako_sqlite.h"
#include "sqlite3.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum { TABLE, LIST, JSON } mode;
static int bail, failures;

static void *need(void *p) {
  if (p == 0) {
    fputs("sqlshell: out of memory\n", stderr);
    exit(1);
  }
  return p;
}

/* Says what went wrong, and what the host knows of it. */
static void complain(sqlite3 *db, const char *sql) {
  char more[1024];
  const char *message = sqlite3_errmsg(db);
  fprintf(stderr, "error: %s\n", message);
  if (hako_sqlite_error(more, sizeof more) && strcmp(more, message) != 0) fprintf(stderr, "  %s\n", more);
  if (sql) fprintf(stderr, "  in: %.200s\n", sql);
  failures++;
}

/* A value as text that the caller frees; NULL is empty. */
static char *text_of(sqlite3_stmt *s, int i) {
  switch (sqlite3_column_type(s, i)) {
  case SQLITE_NULL:
    return need(strdup(""));
  case SQLITE_BLOB: {
    const unsigned char *b = sqlite3_column_blob(s, i);
    int k, n = sqlite3_column_bytes(s, i);
    char *t = need(malloc(2 * (size_t)n + 4));
    strcpy(t, "x'");
    for (k = 0; k < n; k++) sprintf(t + 2 + 2 * k, "%02x", b[k]);
    strcpy(t + 2 + 2 * (size_t)n, "'");
    return t;
  }
  }
  return need(strdup((const char *)sqlite3_column_text(s, i)));
}

/* Makes a text fit for a terminal and returns how many characters it has. */
static int tame(char *t) {
  int n = 0;
  for (; *t; t++) {
    if ((unsigned char)*t < 32 || *t == 127) *t = ' ';
    if ((*t & 0xc0) != 0x80) n++;
  }
  return n;
}

static void pad(int n) {
  while (n-- > 0) putchar(' ');
}

/* Rows are gathered, to know how wide the columns must be; so many at a time. */
#define BLOCK 500

typedef struct {
  int columns, rows, headed;
  int *width;
  char *right;       /* numbers stand at the right */
  char **cell;       /* rows * columns, the names first */
} table;

static void flush_table(table *t) {
  int row, i;
  for (row = t->headed ? 1 : 0; row <= t->rows; row++) {
    for (i = 0; i < t->columns; i++) {
      char *cell = t->cell[row * t->columns + i];
      int fill = t->width[i] - tame(cell);
      if (i) fputs("  ", stdout);
      if (t->right[i] && row) pad(fill);
      fputs(cell, stdout);
      if ((!t->right[i] || !row) && i + 1 < t->columns) pad(fill);
    }
    putchar('\n');
    if (row) continue;
    for (i = 0; i < t->columns; i++) {
      int k;
      if (i) fputs("  ", stdout);
      for (k = 0; k < t->width[i]; k++) putchar('-');
    }
    putchar('\n');
  }
  for (i = t->columns; i < (t->rows + 1) * t->columns; i++) free(t->cell[i]);
  t->rows = 0;
  t->headed = 1;
}

static void set_cell(table *t, int row, int i, char *text) {
  int n = tame(text);
  t->cell[row * t->columns + i] = text;
  if (n > t->width[i] && !t->headed) t->width[i] = n;
}

static int print_table(sqlite3_stmt *s) {
  table t = {sqlite3_column_count(s)};
  int i, rc;
  t.width = need(calloc(t.columns, sizeof *t.width));
  t.right = need(calloc(t.columns, 1));
  t.cell = need(calloc((size_t)(BLOCK + 1) * t.columns, sizeof *t.cell));
  for (i = 0; i < t.columns; i++) set_cell(&t, 0, i, need(strdup(sqlite3_column_name(s, i))));
  while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
    t.rows++;
    for (i = 0; i < t.columns; i++) {
      int type = sqlite3_column_type(s, i);
      if (t.rows == 1 && !t.headed) t.right[i] = type == SQLITE_INTEGER || type == SQLITE_FLOAT;
      set_cell(&t, t.rows, i, text_of(s, i));
    }
    if (t.rows == BLOCK) flush_table(&t);
  }
  if (t.rows) flush_table(&t);
  for (i = 0; i < t.columns; i++) free(t.cell[i]);
  free(t.width), free(t.right), free(t.cell);
  return rc;
}

static int print_list(sqlite3_stmt *s) {
  int i, rc;
  while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
    for (i = 0; i < sqlite3_column_count(s); i++) {
      char *t = text_of(s, i);
      printf("%s%s", i ? "|" : "", t);
      free(t);
    }
    putchar('\n');
  }
  return rc;
}

static void print_string(const char *t) {
  putchar('"');
  for (; *t; t++) {
    if (*t == '"' || *t == '\\') printf("\\%c", *t);
    else if ((unsigned char)*t < 32) printf("\\u%04x", *t);
    else putchar(*t);
  }
  putchar('"');
}

/* One object for each row. */
static int print_json(sqlite3_stmt *s) {
  int i, rc;
  while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
    for (i = 0; i < sqlite3_column_count(s); i++) {
      int type = sqlite3_column_type(s, i);
      char *t = text_of(s, i);
      putchar(i ? ',' : '{');
      print_string(sqlite3_column_name(s, i));
      putchar(':');
      if (type == SQLITE_NULL || (type == SQLITE_FLOAT && strstr(t, "Inf"))) fputs("null", stdout);
      else if (type == SQLITE_INTEGER || type == SQLITE_FLOAT) fputs(t, stdout);
      else print_string(t);
      free(t);
    }
    puts("}");
  }
  return rc;
}

/* Runs the statements of sql. */
static void run(sqlite3 *db, const char *sql) {
  while (*sql && !(bail && failures)) {
    sqlite3_stmt *s = 0;
    const char *rest = sql;
    int rc = sqlite3_prepare_v2(db, sql, -1, &s, &rest);
    if (rc == SQLITE_OK && s) {
      if (sqlite3_column_count(s) == 0) rc = sqlite3_step(s);
      else rc = mode == LIST ? print_list(s) : mode == JSON ? print_json(s) : print_table(s);
      if (rc == SQLITE_DONE) rc = SQLITE_OK;
    }
    fflush(stdout);
    if (rc) complain(db, s ? sqlite3_sql(s) : sql);
    sqlite3_finalize(s);
    if (rest == sql) break; /* nothing could be made of it */
    sql = rest;
  }
}

/* Commands that are not SQL. Returns 0 to end. */
static int command(sqlite3 *db, char *line) {
  line[strcspn(line, " \t\r\n")] = 0;
  if (strcmp(line, ".quit") == 0 || strcmp(line, ".exit") == 0) return 0;
  if (strcmp(line, ".tables") == 0) run(db, "SELECT schema, name, type FROM pragma_table_list WHERE name NOT LIKE 'sqlite_%' ORDER BY 1, 2");
  else if (strcmp(line, ".schema") == 0) run(db, "SELECT sql || ';' AS sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid");
  else if (strcmp(line, ".help") == 0) puts(".tables  .schema  .quit  or SQL, ended by a semicolon; hako_at('-10m') goes back in time");
  else fprintf(stderr, "error: no command %s: try .help\n", line), failures++;
  fflush(stdout);
  return 1;
}

/* Runs statements as soon as they are complete. */
static void read_statements(sqlite3 *db) {
  int prompt = isatty(0);
  char *line = 0, *all = need(strdup(""));
  size_t room = 0;
  for (;;) {
    if (prompt) fputs(*all ? "  ...> " : "sqlshell> ", stdout), fflush(stdout);
    if (getline(&line, &room, stdin) < 0 || (bail && failures)) break;
    if (*all == 0 && line[0] == '.') {
      if (!command(db, line)) break;
      continue;
    }
    all = need(realloc(all, strlen(all) + strlen(line) + 1));
    strcat(all, line);
    if (strspn(all, " \t\r\n") == strlen(all)) *all = 0;
    else if (sqlite3_complete(all)) {
      run(db, all);
      *all = 0;
    }
  }
  if (*all) run(db, all);
  free(all), free(line);
}

int main(int argc, char **argv) {
  sqlite3 *db;
  int i = 1;
  for (; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
    if (strcmp(argv[i], "-list") == 0) mode = LIST;
    else if (strcmp(argv[i], "-json") == 0) mode = JSON;
    else if (strcmp(argv[i], "-bail") == 0) bail = 1;
    else i = argc;
  }
  if (i >= argc) {
    fputs("usage: sqlshell [-list | -json] [-bail] DATABASE [SQL ...]\n", stderr);
    return 2;
  }
  if (sqlite3_open(argv[i], &db) != SQLITE_OK) {
    complain(db, 0);
    sqlite3_close(db);
    return 1;
  }
  sqlite3_busy_timeout(db, 5000);
  if (i + 1 == argc) read_statements(db);
  while (++i < argc) run(db, argv[i]);
  sqlite3_close(db);
  return failures != 0;
}
