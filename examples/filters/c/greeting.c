/* A plugin that adds a greeting, the text of its configuration, to every
   response, and refuses requests under /private without the header x-key.

     wasi-cc -O2 -mexec-model=reactor -I guest/c -o greeting.wasm greeting.c */
#include "proxy_wasm.h"

PROXY_WASM_PLUGIN

/* The greetings, by configuration, and the configuration's greeting, by stream:
   several configurations may share a VM. */
static proxy_table greetings, streams;
static uint32_t refused;

uint32_t proxy_on_configure(uint32_t plugin, size_t size) {
  char *greeting = size ? proxy_buffer(PROXY_PLUGIN_CONFIGURATION, 0, size).text : strdup("hello");
  return greeting && proxy_table_put(&greetings, plugin, greeting) &&
         proxy_define_metric(PROXY_COUNTER, "greeting_refused", 16, &refused) == PROXY_OK;
}

void proxy_on_context_create(uint32_t context, uint32_t parent) {
  if (parent && !proxy_table_put(&streams, context, proxy_table_get(&greetings, parent))) abort();
}

uint32_t proxy_on_request_headers(uint32_t context, size_t count, uint32_t end) {
  proxy_string path = proxy_header(PROXY_REQUEST_HEADERS, ":path");
  proxy_string key = proxy_header(PROXY_REQUEST_HEADERS, "x-key");
  int refuse = path.text && !strncmp(path.text, "/private", 8) && !key.text;
  free(path.text);
  free(key.text);
  if (!refuse) return PROXY_CONTINUE;
  proxy_increment_metric(refused, 1);
  proxy_respond(403, NULL, "a key is needed\n");
  return PROXY_PAUSE;
}

uint32_t proxy_on_response_headers(uint32_t context, size_t count, uint32_t end) {
  proxy_add_header(PROXY_RESPONSE_HEADERS, "x-greeting", (const char *)proxy_table_get(&streams, context));
  return PROXY_CONTINUE;
}

void proxy_on_delete(uint32_t context) {
  proxy_table_remove(&streams, context);
  free(proxy_table_remove(&greetings, context));
}
