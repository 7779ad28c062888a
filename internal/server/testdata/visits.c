/* A guest with a SQLite of its own: a worker, or a command with -DCGI. It
   counts visits of /add, and tells at /list how many there were. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "sqlite3.h"

static sqlite3 *db;

static int column(void *to, int n, char **values, char **names)
{
	(void)n, (void)names;
	snprintf(to, 32, "%s", values[0] ? values[0] : "");
	return 0;
}

/* Answers with what SQLite says. */
static void answer(char *out, size_t size, const char *path, const char *pinned)
{
	char count[32] = "";
	int rc = SQLITE_OK;

	if (!db) rc = sqlite3_open("/db/shop.sqlite", &db);
	if (rc == SQLITE_OK && strcmp(path, "/add") == 0)
		rc = sqlite3_exec(db, "CREATE TABLE IF NOT EXISTS t(x); INSERT INTO t VALUES (1)", 0, 0, 0);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(db, "SELECT count(*) FROM t", column, count, 0);
	snprintf(out, size, "count=%s rc=%d pinned=%s", count, rc, pinned);
}

#ifdef CGI
int main(void)
{
	char out[256];
	const char *pinned = getenv("HTTP_X_HAKO_SNAPSHOT");

	answer(out, sizeof out, getenv("PATH_INFO"), pinned ? pinned : "");
	printf("Content-Type: text/plain\n\n%s", out);
	return 0;
}
#else
#include "hako_http.h"

__attribute__((constructor)) static void begin(void) { sqlite3_open("/db/shop.sqlite", &db); }

int32_t hako_http_v1_serve(void)
{
	static char head[1 << 16], block[256], out[256], path[64], pinned[64];
	static const char *const fields[] = {"content-type", "text/plain"};
	hako_http_string f;
	int32_t n = hako_http_head(head, sizeof head);

	if (n < 0 || n > (int32_t)sizeof head) return 1;
	f = hako_http_field(head, ":target");
	snprintf(path, sizeof path, "%.*s", (int)f.length, f.text);
	f = hako_http_field(head, "x-hako-snapshot");
	snprintf(pinned, sizeof pinned, "%.*s", (int)f.length, f.text ? f.text : "");
	answer(out, sizeof out, path, pinned);
	hako_http_respond(200, block, hako_http_fields(block, fields, 1));
	hako_http_write(out, strlen(out));
	return 0;
}
#endif
