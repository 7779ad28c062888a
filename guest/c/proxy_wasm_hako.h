/* What Hako's host has beside Proxy-Wasm: HTTP calls whose bodies are streamed,
   and bodies that are held outside of memory. docs/proxy-wasm.md tells how they
   work. Other hosts answer PROXY_NOT_FOUND.

   Events of calls come by proxy_on_foreign_function, in the root's context:

     void proxy_on_foreign_function(uint32_t plugin, uint32_t function, size_t size) {
       hako_event e = hako_next_event(function, size);
       switch (e.kind) { ... }
       free(e.data.text);
     } */
#ifndef PROXY_WASM_HAKO_H
#define PROXY_WASM_HAKO_H

#include "proxy_wasm.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A foreign function with arguments of two parts. The results are to be freed. */
static inline uint32_t hako_call(const char *name, const void *head, size_t head_size, const void *tail, size_t tail_size,
                                 proxy_string *results) {
  char *data = NULL, *arguments = (char *)malloc(head_size + tail_size + 1);
  size_t size = 0;
  if (!arguments) return PROXY_INTERNAL_FAILURE;
  memcpy(arguments, head, head_size);
  if (tail_size) memcpy(arguments + head_size, tail, tail_size);
  uint32_t status = proxy_call_foreign_function(name, strlen(name), arguments, head_size + tail_size, &data, &size);
  free(arguments);
  *results = proxy_own(status, data, size);
  if (status != PROXY_OK) free(data);
  return status;
}

/* The number that results consist of. */
static inline uint32_t hako_number(proxy_string *results) {
  uint32_t n = 0;
  if (results->text && results->size == 4) memcpy(&n, results->text, 4);
  free(results->text);
  return n;
}

/* Opens a call; end says that it has no body, the timeout 0 that it has none.
   :method, :path and :authority must be among the headers. */
static inline uint32_t hako_http_open(const char *upstream, const proxy_pairs *headers, int end, uint32_t timeout_milliseconds,
                                      uint32_t *call) {
  uint32_t head[3] = {timeout_milliseconds, end != 0, (uint32_t)strlen(upstream)};
  char *tail = (char *)malloc(head[2] + headers->size + 1);
  proxy_string results;
  if (!tail) return PROXY_INTERNAL_FAILURE;
  memcpy(tail, upstream, head[2]);
  memcpy(tail + head[2], headers->data, headers->size);
  uint32_t status = hako_call("hako_http_open", head, sizeof head, tail, head[2] + headers->size, &results);
  free(tail);
  *call = hako_number(&results);
  return status;
}

/* Writes a part of the request's body, the last if end. Taken says how much of it
   was taken: if not all, HAKO_WRITABLE comes when there is room again, and the
   end is to be said again. */
static inline uint32_t hako_http_write(uint32_t call, const void *data, size_t size, int end, size_t *taken) {
  uint32_t head[2] = {call, end != 0};
  proxy_string results;
  uint32_t status = hako_call("hako_http_write", head, sizeof head, data, size, &results);
  *taken = hako_number(&results);
  return status;
}

/* Up to max bytes of the response's body. When all was read, HAKO_READABLE tells
   of more. */
static inline proxy_string hako_http_read(uint32_t call, uint32_t max) {
  uint32_t head[2] = {call, max};
  proxy_string results;
  hako_call("hako_http_read", head, sizeof head, NULL, 0, &results);
  return results;
}

/* Ends a call, of which nothing comes any more. */
static inline uint32_t hako_http_close(uint32_t call) {
  proxy_string results;
  uint32_t status = hako_call("hako_http_close", &call, sizeof call, NULL, 0, &results);
  free(results.text);
  return status;
}

enum {
  HAKO_NONE,
  HAKO_HEADERS,  /* data has the response's, as pairs: hako_pair finds one */
  HAKO_READABLE, /* there is something to read */
  HAKO_WRITABLE, /* there is room to write */
  HAKO_END,      /* all was read; data has the trailers */
  HAKO_FAILED,   /* data says why */
};

typedef struct {
  uint32_t kind, call;
  proxy_string data;
} hako_event;

/* The event of a proxy_on_foreign_function; HAKO_NONE if it is none of Hako's. */
static inline hako_event hako_next_event(uint32_t function, size_t size) {
  hako_event e = {HAKO_NONE, 0, {NULL, 0}};
  if (function != 0x6f6b6168 || size < 8) return e;
  proxy_string all = proxy_buffer(PROXY_FOREIGN_ARGUMENTS, 0, size);
  if (!all.text || all.size < 8) return e;
  memcpy(&e.call, all.text, 4);
  memcpy(&e.kind, all.text + 4, 4);
  memmove(all.text, all.text + 8, all.size - 7); /* the zero byte, too */
  e.data.text = all.text;
  e.data.size = all.size - 8;
  return e;
}

/* The first value of a name among pairs, NULL if there is none. */
static inline const char *hako_pair(proxy_string pairs, const char *name) {
  uint32_t count = 0;
  if (pairs.size >= 4) memcpy(&count, pairs.text, 4);
  const char *text = pairs.text + 4 + 8 * (size_t)count;
  for (uint32_t i = 0; i < count; i++) {
    uint32_t lengths[2];
    memcpy(lengths, pairs.text + 4 + 8 * (size_t)i, 8);
    if (!strcmp(text, name)) return text + lengths[0] + 1;
    text += lengths[0] + lengths[1] + 2;
  }
  return NULL;
}

/* From the next body callback on, what the plugin holds of a body (0 is the
   request's, 1 the response's) is kept outside of memory: the plugin sees each
   part once, and all goes on when it lets go. */
static inline uint32_t hako_body_spool(uint32_t stream) {
  proxy_string results;
  uint32_t status = hako_call("hako_body_spool", &stream, sizeof stream, NULL, 0, &results);
  free(results.text);
  return status;
}

/* Up to max bytes of what is kept, from start; what the callback under way was
   given is not kept yet. */
static inline proxy_string hako_body_read(uint32_t stream, uint64_t start, uint32_t max) {
  uint32_t head[4] = {stream, (uint32_t)start, (uint32_t)(start >> 32), max};
  proxy_string results;
  hako_call("hako_body_read", head, sizeof head, NULL, 0, &results);
  return results;
}

#ifdef __cplusplus
}
#endif

#endif
