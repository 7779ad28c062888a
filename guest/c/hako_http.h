/* Hako's worker protocol, version 1, for guests in C: docs/worker-protocol.md
   specifies it. Link with -mexec-model=reactor and define hako_http_v1_serve. */
#ifndef HAKO_HTTP_H
#define HAKO_HTTP_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HAKO_HTTP_IMPORT(name) \
  __attribute__((import_module("hako_http_v1"), import_name(#name))) extern
#define HAKO_HTTP_EXPORT(name) __attribute__((export_name(#name)))

enum {
  HAKO_HTTP_INVALID = -1,
  HAKO_HTTP_ORDER = -2,
  HAKO_HTTP_CLOSED = -3,
  HAKO_HTTP_LARGE = -4,
  HAKO_HTTP_TIMEOUT = -5,
};

/* Answers one request. 0: done; else the guest failed. To be defined by the guest. */
HAKO_HTTP_EXPORT(hako_http_v1_serve) int32_t hako_http_v1_serve(void);

HAKO_HTTP_IMPORT(head) int32_t hako_http_head(void *ptr, size_t cap);
HAKO_HTTP_IMPORT(read) int32_t hako_http_read(void *ptr, size_t cap);
HAKO_HTTP_IMPORT(trailers) int32_t hako_http_trailers(void *ptr, size_t cap);
HAKO_HTTP_IMPORT(respond) int32_t hako_http_respond(int32_t status, const void *fields, size_t len);
HAKO_HTTP_IMPORT(write) int32_t hako_http_write(const void *ptr, size_t len);
HAKO_HTTP_IMPORT(flush) int32_t hako_http_flush(void);
HAKO_HTTP_IMPORT(append) int32_t hako_http_append(const void *fields, size_t len);
HAKO_HTTP_IMPORT(finish) int32_t hako_http_finish(void);
HAKO_HTTP_IMPORT(persist) int32_t hako_http_persist(void);
HAKO_HTTP_IMPORT(log) void hako_http_log(int32_t level, const char *text, size_t len);

/* A string that is a part of a block; it does not end with a zero byte. */
typedef struct {
  const char *text;
  size_t length;
} hako_http_string;

/* The number of fields of a block that the host wrote. */
static inline uint32_t hako_http_count(const void *block) {
  uint32_t n;
  memcpy(&n, block, sizeof n);
  return n;
}

/* The value of the first field of a name, its text NULL if there is none.
   Names in requests are in lower case. */
static inline hako_http_string hako_http_field(const void *block, const char *name) {
  const char *lengths = (const char *)block + 4;
  uint32_t count = hako_http_count(block), size = (uint32_t)strlen(name);
  const char *text = lengths + 8 * (size_t)count;
  for (uint32_t i = 0; i < count; i++) {
    uint32_t n, m;
    memcpy(&n, lengths + 8 * (size_t)i, sizeof n);
    memcpy(&m, lengths + 8 * (size_t)i + 4, sizeof m);
    if (n == size && memcmp(text, name, n) == 0) return (hako_http_string){text + n, m};
    text += n + m;
  }
  return (hako_http_string){NULL, 0};
}

/* Writes the block of count fields, given as name and value in turn, and
   returns its size; with a NULL block only the size. */
static inline size_t hako_http_fields(void *block, const char *const *fields, uint32_t count) {
  size_t size = 4 + 8 * (size_t)count;
  char *lengths = (char *)block + 4;
  if (block) memcpy(block, &count, 4);
  for (uint32_t i = 0; i < 2 * count; i++) {
    uint32_t n = (uint32_t)strlen(fields[i]);
    if (block) {
      memcpy(lengths + 4 * (size_t)i, &n, 4);
      memcpy((char *)block + size, fields[i], n);
    }
    size += n;
  }
  return size;
}

#ifdef __cplusplus
}
#endif
#endif
