/* A plugin that has a service look at every upload before it goes on: the body
   is streamed to the upstream that the configuration names, and kept by Hako
   meanwhile. Neither needs memory for it, however large it is. Answers other than
   200 refuse the upload, with the service's text.

     wasi-cc -O2 -mexec-model=reactor -I guest/c -o scan.wasm scan.c

   In hako.toml the filter needs headers_may_stop = true, and the service in
   allow = ["http_call:NAME"]. */
#include "proxy_wasm_hako.h"

PROXY_WASM_PLUGIN

enum { PART = 32 << 10, VERDICT = 1 << 10 };

typedef struct {
  uint32_t context, call;
  uint64_t seen, sent; /* of the body */
  int ended, passed;
  char verdict[VERDICT];
  size_t verdict_size;
} upload;

static proxy_table services, roots, uploads, calls; /* by root, stream, stream and call */

uint32_t proxy_on_configure(uint32_t plugin, size_t size) {
  return size && proxy_table_put(&services, plugin, proxy_buffer(PROXY_PLUGIN_CONFIGURATION, 0, size).text);
}

void proxy_on_context_create(uint32_t context, uint32_t parent) {
  if (parent && !proxy_table_put(&roots, context, proxy_table_get(&services, parent))) abort();
}

uint32_t proxy_on_request_headers(uint32_t context, size_t count, uint32_t end) {
  if (end) return PROXY_CONTINUE;
  upload *u = (upload *)calloc(1, sizeof *u);
  proxy_pairs headers = {0};
  proxy_string path = proxy_header(PROXY_REQUEST_HEADERS, ":path");
  if (!u || !path.text || !proxy_pairs_add(&headers, ":method", "POST") || !proxy_pairs_add(&headers, ":path", "/scan") ||
      !proxy_pairs_add(&headers, ":authority", "scanner") || !proxy_pairs_add(&headers, "x-path", path.text))
    abort();
  free(path.text);
  u->context = context;
  uint32_t status = hako_http_open((const char *)proxy_table_get(&roots, context), &headers, 0, 0, &u->call);
  free(headers.data);
  if (status != PROXY_OK || hako_body_spool(PROXY_STREAM_REQUEST) != PROXY_OK) {
    free(u);
    proxy_respond(503, NULL, "uploads cannot be looked at");
    return PROXY_PAUSE;
  }
  if (!proxy_table_put(&uploads, context, u) || !proxy_table_put(&calls, u->call, u)) abort();
  return PROXY_PAUSE; /* the body's callbacks go on */
}

/* Sends what is kept and was not sent yet, as far as there is room. */
static void pump(upload *u) {
  size_t taken;
  while (u->sent < u->seen) {
    proxy_string part = hako_body_read(PROXY_STREAM_REQUEST, u->sent, PART);
    int last = u->ended && u->sent + part.size == u->seen, all;
    hako_http_write(u->call, part.text, part.size, last, &taken);
    u->sent += taken;
    all = taken == part.size;
    free(part.text);
    if (!all || taken == 0) return;
  }
}

uint32_t proxy_on_request_body(uint32_t context, size_t size, uint32_t end) {
  upload *u = (upload *)proxy_table_get(&uploads, context);
  if (!u || u->passed) return PROXY_CONTINUE;
  u->ended = end;
  if (u->call && u->sent == u->seen) { /* nothing waits to be sent before it */
    size_t taken;
    proxy_string part = proxy_buffer(PROXY_REQUEST_BODY, 0, size);
    hako_http_write(u->call, part.text, part.size, end, &taken);
    u->sent += taken;
    free(part.text);
  }
  u->seen += size;
  return PROXY_PAUSE;
}

void proxy_on_foreign_function(uint32_t plugin, uint32_t function, size_t size) {
  hako_event e = hako_next_event(function, size);
  upload *u = (upload *)proxy_table_get(&calls, e.call);
  if (u) proxy_set_effective_context(u->context);
  switch (u ? e.kind : HAKO_NONE) {
    case HAKO_HEADERS: {
      const char *status = hako_pair(e.data, ":status");
      u->passed = status && !strcmp(status, "200");
      break;
    }
    case HAKO_WRITABLE: pump(u); break;
    case HAKO_READABLE:
      for (;;) {
        /* hako_http_read is about the root's calls, whatever the context. */
        proxy_string part = hako_http_read(u->call, PART);
        size_t room = sizeof u->verdict - 1 - u->verdict_size, n = part.size < room ? part.size : room;
        if (n) memcpy(u->verdict + u->verdict_size, part.text, n);
        u->verdict_size += n;
        free(part.text);
        if (!part.size) break;
      }
      break;
    case HAKO_END:
      proxy_table_remove(&calls, u->call);
      u->call = 0;
      if (u->passed) {
        proxy_continue_stream(PROXY_STREAM_REQUEST);
      } else {
        proxy_respond(403, NULL, u->verdict);
      }
      break;
    case HAKO_FAILED:
      proxy_table_remove(&calls, u->call);
      u->call = 0;
      proxy_log_text(PROXY_WARN, e.data.text);
      proxy_respond(503, NULL, "uploads cannot be looked at");
      break;
  }
  free(e.data.text);
}

void proxy_on_delete(uint32_t context) {
  upload *u = (upload *)proxy_table_remove(&uploads, context);
  if (u && u->call) {
    hako_http_close(u->call);
    proxy_table_remove(&calls, u->call);
  }
  free(u);
  proxy_table_remove(&roots, context);
  free(proxy_table_remove(&services, context));
}
