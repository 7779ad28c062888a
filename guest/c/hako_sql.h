/* SQL in the host, for guests of Hako that have no SQLite of their own:
 * the imports of module hako_sql_v1, which docs/guest-sql.md specifies.
 *
 * All of them return 0 or more, or an extended result code of SQLite, negated.
 */
#ifndef HAKO_SQL_H
#define HAKO_SQL_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HAKO_SQL_IMPORT(name) __attribute__((import_module("hako_sql_v1"), import_name(name)))

/* Flags of hako_sql_open. */
#define HAKO_SQL_READONLY 1
#define HAKO_SQL_OPTIMISTIC 2

/* The connection is none of this instance: open another. */
#define HAKO_SQL_GONE (-255)

/* Types of values in blocks. */
#define HAKO_SQL_INTEGER 1
#define HAKO_SQL_FLOAT 2
#define HAKO_SQL_TEXT 3
#define HAKO_SQL_BLOB 4
#define HAKO_SQL_NULL 5

/* What a block of rows begins with. */
struct hako_sql_head {
	int32_t cursor;   /* 0 if the query has ended */
	uint32_t columns; /* described in this block */
	uint32_t rows;
	uint32_t reserved;
};

/* What hako_sql_exec writes. */
struct hako_sql_result {
	int64_t last_rowid;
	int64_t changed;
};

HAKO_SQL_IMPORT("open") int32_t hako_sql_open(const char *name, uint32_t length, uint32_t flags);
HAKO_SQL_IMPORT("close") int32_t hako_sql_close(int32_t connection);
HAKO_SQL_IMPORT("prepare") int32_t hako_sql_prepare(int32_t connection, const char *sql, uint32_t length, int32_t timeout_ms);
HAKO_SQL_IMPORT("exec") int32_t hako_sql_exec(int32_t connection, const char *sql, uint32_t length,
	const void *arguments, uint32_t arguments_length, int32_t timeout_ms, struct hako_sql_result *result);
HAKO_SQL_IMPORT("query") int32_t hako_sql_query(int32_t connection, const char *sql, uint32_t length,
	const void *arguments, uint32_t arguments_length, int32_t timeout_ms, void *block, uint32_t block_length);
HAKO_SQL_IMPORT("next") int32_t hako_sql_next(int32_t connection, int32_t cursor, int32_t timeout_ms, void *block, uint32_t block_length);
HAKO_SQL_IMPORT("finish") int32_t hako_sql_finish(int32_t connection, int32_t cursor);
HAKO_SQL_IMPORT("state") int32_t hako_sql_state(int32_t connection);
HAKO_SQL_IMPORT("error") int32_t hako_sql_error(char *text, uint32_t length);

#ifdef __cplusplus
}
#endif

#endif
