/* Uses SQL in the host by its imports, and returns 0 or the line that failed. */
#include "hako_sql.h"
#include <string.h>

#define CHECK(condition) do { if (!(condition)) return __LINE__; } while (0)
#define SQL(text) text, sizeof(text) - 1

__attribute__((export_name("test"))) int test(void)
{
	struct hako_sql_result result;
	struct hako_sql_head head;
	unsigned char block[256];
	char text[128];
	int32_t size, c = hako_sql_open(SQL("shop"), 0);
	CHECK(c > 0);
	CHECK(hako_sql_state(c) == 4);
	CHECK(hako_sql_exec(c, SQL("CREATE TABLE c(a UNIQUE, b)"), 0, 0, 0, &result) == 0);
	static const unsigned char arguments[] = {2, 0, 0, 0, 1, 0, 7, 0, 0, 0, 0, 0, 0, 0, 3, 1, 'b', 2, 0, 0, 0, 'h', 'i'};
	CHECK(hako_sql_prepare(c, SQL("INSERT INTO c VALUES(?, :b)"), 0) == 2);
	CHECK(hako_sql_exec(c, SQL("INSERT INTO c VALUES(?, :b)"), arguments, sizeof arguments, 0, &result) == 0);
	CHECK(result.last_rowid == 1 && result.changed == 1);
	CHECK(hako_sql_exec(c, SQL("INSERT INTO c VALUES(?, :b)"), arguments, sizeof arguments, 0, &result) == -2067);
	size = hako_sql_error(text, sizeof text);
	CHECK(size > 0 && memmem(text, size, SQL("UNIQUE")));
	CHECK(hako_sql_exec(c, SQL("BEGIN; DELETE FROM c"), 0, 0, 0, &result) == 0);
	CHECK(hako_sql_state(c) == 2);
	CHECK(hako_sql_exec(c, SQL("ROLLBACK"), 0, 0, 0, &result) == 0);

	/* The block is too small first. */
	size = hako_sql_query(c, SQL("SELECT b, a FROM c"), 0, 0, 0, block, 20);
	CHECK(size > 20 && size <= (int32_t)sizeof block);
	memcpy(&head, block, sizeof head);
	CHECK(head.cursor > 0 && hako_sql_next(c, head.cursor, 0, block, size) == size);
	memcpy(&head, block, sizeof head);
	CHECK(head.columns == 2 && head.rows == 1);
	static const unsigned char rest[] = {1, 0, 0, 0, 'b', 1, 0, 0, 0, 'a', 3, 2, 0, 0, 0, 'h', 'i', 1, 7, 0, 0, 0, 0, 0, 0, 0};
	CHECK(size == sizeof head + sizeof rest && memcmp(block + sizeof head, rest, sizeof rest) == 0);
	if (head.cursor)
		CHECK(hako_sql_finish(c, head.cursor) == 0);

	CHECK(hako_sql_exec(c, SQL("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT count(*) FROM n"), 0, 0, 20, &result) == -9);
	CHECK(hako_sql_query(c, SQL("SELECT 1"), (void *)0xfffffff0, 100, 0, block, sizeof block) == -21);
	CHECK(hako_sql_close(c) == 0 && hako_sql_close(c) == HAKO_SQL_GONE);
	return 0;
}
