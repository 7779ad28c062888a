/* A plugin for connections that does what its configuration says: one word,
   and what follows a colon. It logs what it is shown. */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

#include "proxy_wasm.h"

PROXY_WASM_PLUGIN

static proxy_table modes, streams; /* by root and by stream */
static uint32_t waiting[64];
static int waits;

static const char *mode_of(uint32_t context) { return (const char *)proxy_table_get(&streams, context); }
static int is(uint32_t context, const char *mode) { return !strcmp(mode_of(context), mode); }
static const char *after(uint32_t context, const char *word) {
  const char *m = mode_of(context);
  return strncmp(m, word, strlen(word)) ? NULL : m + strlen(word);
}

static void say(uint32_t context, const char *format, ...) {
  char line[256], text[200];
  va_list list;
  if (is(context, "quiet") || is(context, "upper")) return;
  va_start(list, format);
  vsnprintf(text, sizeof text, format, list);
  va_end(list);
  snprintf(line, sizeof line, "%s: %s", mode_of(context), text);
  proxy_log_text(PROXY_INFO, line);
}

uint32_t proxy_on_configure(uint32_t plugin, size_t size) {
  proxy_set_tick_period_milliseconds(5);
  return proxy_table_put(&modes, plugin, size ? proxy_buffer(PROXY_PLUGIN_CONFIGURATION, 0, size).text : strdup(""));
}

void proxy_on_context_create(uint32_t context, uint32_t parent) {
  if (parent && !proxy_table_put(&streams, context, proxy_table_get(&modes, parent))) abort();
}

void proxy_on_delete(uint32_t context) { proxy_table_remove(&streams, context); }

/* wait has the next tick act on a connection. */
static uint32_t wait(uint32_t context) {
  waiting[waits++ % 64] = context;
  return PROXY_PAUSE;
}

void proxy_on_tick(uint32_t plugin) {
  for (int i = 0; i < waits && i < 64; i++) {
    const char *mode = proxy_table_get(&streams, waiting[i]);
    if (mode && proxy_table_get(&modes, plugin) != mode) continue;
    if (mode) {
      proxy_set_effective_context(waiting[i]);
      if (!strcmp(mode, "tickclose")) {
        proxy_close_stream(PROXY_STREAM_DOWNSTREAM);
      } else {
        proxy_continue_stream(PROXY_STREAM_DOWNSTREAM);
        proxy_continue_stream(PROXY_STREAM_UPSTREAM);
      }
    }
    waiting[i] = waiting[--waits], i--;
  }
}

uint32_t proxy_on_new_connection(uint32_t context) {
  say(context, "new");
  if (is(context, "deny")) proxy_close_stream(PROXY_STREAM_DOWNSTREAM);
  if (is(context, "crash")) __builtin_trap();
  if (is(context, "never") || is(context, "sniff")) return PROXY_PAUSE;
  if (is(context, "tick") || is(context, "tickclose")) return wait(context);
  return PROXY_CONTINUE;
}

static uint32_t data(uint32_t context, const char *side, uint32_t buffer, size_t size, uint32_t end) {
  const char *word;
  if (end) {
    say(context, "%s end after %zu", side, size);
  } else if (is(context, "log")) {
    say(context, "%s %zu", side, size);
  }
  if (is(context, "upper") && size) {
    proxy_string s = proxy_buffer(buffer, 0, size);
    for (size_t i = 0; i < s.size; i++) s.text[i] = toupper(s.text[i]);
    proxy_replace_buffer(buffer, s.text, s.size);
    free(s.text);
  }
  if ((word = after(context, "tag:")) && size) proxy_set_buffer_bytes(buffer, INT32_MAX, 0, word, strlen(word));
  if (is(context, "hold") && size) return wait(context);
  if ((word = after(context, "gather:")) && size < (size_t)atoi(word) && !end) return PROXY_PAUSE;
  if (is(context, "never")) return PROXY_PAUSE;
  if ((word = after(context, "close:")) && size) {
    proxy_string s = proxy_buffer(buffer, 0, size);
    if (strstr(s.text, word)) proxy_close_stream(PROXY_STREAM_UPSTREAM);
    free(s.text);
  }
  if (is(context, "crashdata")) __builtin_trap();
  return PROXY_CONTINUE;
}

uint32_t proxy_on_downstream_data(uint32_t context, size_t size, uint32_t end) {
  return data(context, "down", PROXY_DOWNSTREAM_DATA, size, end);
}

uint32_t proxy_on_upstream_data(uint32_t context, size_t size, uint32_t end) {
  return data(context, "up", PROXY_UPSTREAM_DATA, size, end);
}

void proxy_on_downstream_connection_close(uint32_t context, uint32_t peer) { say(context, "down closed by %u", peer); }

void proxy_on_upstream_connection_close(uint32_t context, uint32_t peer) { say(context, "up closed by %u", peer); }

void proxy_on_log(uint32_t context) { say(context, "over"); }
