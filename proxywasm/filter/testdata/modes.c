/* A plugin that does what its configuration says: one word, and what follows
   a colon. */
#include <ctype.h>
#include <stdio.h>

#include "proxy_wasm.h"

PROXY_WASM_PLUGIN

static proxy_table modes, streams; /* by root and by stream */
static uint32_t waiting[64];
static int waits;

static const char *mode_of(uint32_t context) { return (const char *)proxy_table_get(&streams, context); }
static int is(uint32_t context, const char *mode) { return !strcmp(mode_of(context), mode); }
static const char *tag(uint32_t context) {
  const char *m = mode_of(context);
  return strncmp(m, "tag:", 4) ? NULL : m + 4;
}

uint32_t proxy_on_configure(uint32_t plugin, size_t size) {
  char *mode = size ? proxy_buffer(PROXY_PLUGIN_CONFIGURATION, 0, size).text : strdup("");
  if (!strcmp(mode, "refuse")) return 0;
  uint32_t metric;
  proxy_define_metric(PROXY_COUNTER, "modes.configured", 16, &metric);
  proxy_increment_metric(metric, 1);
  proxy_set_tick_period_milliseconds(5);
  return proxy_table_put(&modes, plugin, mode);
}

void proxy_on_context_create(uint32_t context, uint32_t parent) {
  if (parent && !proxy_table_put(&streams, context, proxy_table_get(&modes, parent))) abort();
}

/* wait has the next tick let a stream go on. */
static uint32_t wait(uint32_t context) {
  waiting[waits++ % 64] = context;
  return PROXY_PAUSE;
}

void proxy_on_tick(uint32_t plugin) {
  for (int i = 0; i < waits && i < 64; i++) {
    if (proxy_table_get(&modes, plugin) != proxy_table_get(&streams, waiting[i])) continue;
    proxy_set_effective_context(waiting[i]);
    if (is(waiting[i], "tickdeny")) {
      proxy_respond(418, NULL, "by a tick");
    } else {
      proxy_continue_stream(PROXY_STREAM_REQUEST);
      proxy_continue_stream(PROXY_STREAM_RESPONSE);
    }
    waiting[i] = waiting[--waits], i--;
  }
}

static uint32_t body(uint32_t context, uint32_t buffer, size_t size, uint32_t end) {
  if (is(context, "upper")) {
    proxy_string s = proxy_buffer(buffer, 0, size);
    for (size_t i = 0; i < s.size; i++) s.text[i] = toupper(s.text[i]);
    if (size) proxy_replace_buffer(buffer, s.text, s.size);
    free(s.text);
  }
  if (is(context, "buffer") || is(context, "headstop")) {
    if (!end) return PROXY_PAUSE;
    proxy_set_buffer_bytes(buffer, 0, 0, "[", 1);
    proxy_set_buffer_bytes(buffer, INT32_MAX, 0, "]", 1);
  }
  if (is(context, "hold") && size && !end) return wait(context);
  return PROXY_CONTINUE;
}

/* show adds a property, whose path has dots, to the response: "path=value". */
static void show(const char *dots) {
  char path[64], text[256];
  size_t size = strlen(dots), n;
  for (n = 0; n < size; n++) path[n] = dots[n] == '.' ? 0 : dots[n];
  proxy_string s = proxy_property(path, size);
  if (!s.text) {
    snprintf(text, sizeof text, "%s: none", dots);
  } else if (s.size == 8 && !s.text[7]) { /* a number */
    uint64_t number;
    memcpy(&number, s.text, 8);
    snprintf(text, sizeof text, "%s: %llu", dots, (unsigned long long)number);
  } else {
    snprintf(text, sizeof text, "%s: %s", dots, s.text);
  }
  proxy_add_header(PROXY_RESPONSE_HEADERS, "x-property", text);
  free(s.text);
}

/* call asks an upstream whether a stream may go on. */
static proxy_table calls; /* streams by call */
static uint32_t call(uint32_t context, const char *upstream) {
  proxy_pairs headers = {0};
  uint32_t id = 0;
  proxy_string key = proxy_header(PROXY_REQUEST_HEADERS, "x-key");
  proxy_pairs_add(&headers, ":method", "GET");
  proxy_pairs_add(&headers, ":path", "/may");
  proxy_pairs_add(&headers, ":authority", "auth");
  proxy_pairs_add(&headers, "x-key", key.text ? key.text : "");
  free(key.text);
  uint32_t status = proxy_http_call(upstream, strlen(upstream), headers.data, headers.size, NULL, 0, NULL, 0, 10000, &id);
  free(headers.data);
  if (status != PROXY_OK) return proxy_respond(500, NULL, "no call"), PROXY_PAUSE;
  proxy_table_put(&calls, id, (void *)(uintptr_t)context);
  return PROXY_PAUSE;
}

void proxy_on_http_call_response(uint32_t plugin, uint32_t id, size_t headers, size_t size, size_t trailers) {
  uint32_t context = (uint32_t)(uintptr_t)proxy_table_remove(&calls, id);
  proxy_string status = proxy_header(PROXY_CALL_RESPONSE_HEADERS, ":status");
  proxy_set_effective_context(context);
  if (status.text && !strcmp(status.text, "200")) {
    proxy_continue_stream(PROXY_STREAM_REQUEST);
  } else {
    proxy_respond(status.text ? 403 : 503, NULL, "not allowed");
  }
  free(status.text);
}

uint32_t proxy_on_request_headers(uint32_t context, size_t count, uint32_t end) {
  const char *t = tag(context);
  if (t) proxy_add_header(PROXY_REQUEST_HEADERS, "x-tag", t);
  if (is(context, "buffer")) proxy_remove_header(PROXY_REQUEST_HEADERS, "content-length");
  if (is(context, "headstop") && !end) return PROXY_PAUSE;
  if (is(context, "tick") || is(context, "tickdeny")) return wait(context);
  if (is(context, "pause")) return PROXY_PAUSE;
  if (is(context, "deny")) return proxy_respond(403, NULL, "no"), PROXY_PAUSE;
  if (is(context, "close")) return proxy_close_stream(PROXY_STREAM_REQUEST), PROXY_PAUSE;
  if (is(context, "crash")) __builtin_trap();
  if (!strncmp(mode_of(context), "call:", 5)) return call(context, mode_of(context) + 5);
  if (is(context, "spin")) for (volatile int i = 0;; i++) {}
  if (is(context, "path")) {
    proxy_replace_header(PROXY_REQUEST_HEADERS, ":path", "/elsewhere?q=1");
    proxy_replace_header(PROXY_REQUEST_HEADERS, ":authority", "other.example");
    proxy_replace_header(PROXY_REQUEST_HEADERS, ":method", "PUT");
    proxy_clear_route_cache();
  }
  if (is(context, "property")) {
    proxy_string s = PROXY_PROPERTY("route_name");
    proxy_replace_header(PROXY_REQUEST_HEADERS, "x-route", s.text ? s.text : "none");
    free(s.text);
    proxy_set_property("told", 4, "before", 6);
  }
  if (is(context, "told")) {
    proxy_string s = PROXY_PROPERTY("told");
    proxy_replace_header(PROXY_REQUEST_HEADERS, "x-told", s.text ? s.text : "none");
    free(s.text);
  }
  return PROXY_CONTINUE;
}

uint32_t proxy_on_request_body(uint32_t context, size_t size, uint32_t end) {
  if (is(context, "headstop") && end) {
    char length[16];
    snprintf(length, sizeof length, "%zu", size);
    proxy_replace_header(PROXY_REQUEST_HEADERS, "x-length", length);
  }
  if (is(context, "denybody")) return proxy_respond(403, NULL, "not this body"), PROXY_PAUSE;
  return body(context, PROXY_REQUEST_BODY, size, end);
}

uint32_t proxy_on_request_trailers(uint32_t context, size_t count) {
  const char *t = tag(context);
  if (t) proxy_add_header(PROXY_REQUEST_TRAILERS, "x-end", t);
  return PROXY_CONTINUE;
}

uint32_t proxy_on_response_headers(uint32_t context, size_t count, uint32_t end) {
  const char *t = tag(context);
  if (t) proxy_add_header(PROXY_RESPONSE_HEADERS, "x-tag", t);
  if (is(context, "buffer")) proxy_remove_header(PROXY_RESPONSE_HEADERS, "content-length");
  if (is(context, "headstop") && !end) return PROXY_PAUSE;
  if (is(context, "denyresponse")) return proxy_respond(502, NULL, "not this response"), PROXY_PAUSE;
  if (is(context, "crashlate")) __builtin_trap();
  if (!strncmp(mode_of(context), "get:", 4)) show(mode_of(context) + 4);
  if (is(context, "tick")) return wait(context);
  return PROXY_CONTINUE;
}

uint32_t proxy_on_response_body(uint32_t context, size_t size, uint32_t end) {
  const char *t = tag(context);
  if (t && end) proxy_add_header(PROXY_RESPONSE_TRAILERS, "x-end", t);
  if (is(context, "denylate")) return proxy_respond(502, NULL, "too late"), PROXY_PAUSE;
  return body(context, PROXY_RESPONSE_BODY, size, end);
}

uint32_t proxy_on_response_trailers(uint32_t context, size_t count) {
  const char *t = tag(context);
  if (t) proxy_add_header(PROXY_RESPONSE_TRAILERS, "x-end", t);
  return PROXY_CONTINUE;
}

void proxy_on_delete(uint32_t context) {
  for (int i = 0; i < waits && i < 64; i++) {
    if (waiting[i] == context) waiting[i] = waiting[--waits], i--;
  }
  proxy_table_remove(&streams, context);
}
