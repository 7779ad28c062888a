// A worker with a SQLite of its own: keeps the text after "/?" of each request
// and answers with it once that is committed.
#include <stdio.h>
#include <string.h>

#include "hako_http.h"
#include "sqlite3.h"

static char block[1 << 14];

static int32_t answer(int status, const char *text, size_t length) {
  char fields[256];
  const char *header[] = {"Content-Type", "text/plain"};
  size_t size = hako_http_fields(fields, header, 1);
  if (hako_http_respond(status, fields, size) != 0) return 2;
  return hako_http_write(text, length) != (int32_t)length;
}

int32_t hako_http_v1_serve(void) {
  int32_t n = hako_http_head(block, sizeof block);
  if (n < 0 || (size_t)n > sizeof block) return 1;
  hako_http_string target = hako_http_field(block, ":target");
  if (target.length < 3) return answer(200, "ready", 5);
  target.text += 2, target.length -= 2;
  sqlite3 *db;
  sqlite3_stmt *insert = NULL;
  int rc = sqlite3_open("/db/notes.sqlite", &db);
  if (rc == SQLITE_OK) rc = sqlite3_busy_timeout(db, 20000);
  if (rc == SQLITE_OK) rc = sqlite3_exec(db, "CREATE TABLE IF NOT EXISTS entry(id INTEGER PRIMARY KEY, name TEXT)", NULL, NULL, NULL);
  if (rc == SQLITE_OK) rc = sqlite3_prepare_v2(db, "INSERT INTO entry(name) VALUES(?)", -1, &insert, NULL);
  if (rc == SQLITE_OK) rc = sqlite3_bind_text(insert, 1, target.text, (int)target.length, SQLITE_STATIC);
  if (rc == SQLITE_OK && (rc = sqlite3_step(insert)) == SQLITE_DONE) rc = SQLITE_OK;
  if (rc != SQLITE_OK) {
    char text[300];
    int length = snprintf(text, sizeof text, "%s", sqlite3_errmsg(db));
    return answer(500, text, length < 300 ? length : 299);
  }
  sqlite3_finalize(insert);
  sqlite3_close(db);
  return answer(200, target.text, target.length);
}
