/* A plugin that adds a greeting, the text of its configuration, to every
   response, and refuses requests under /private without the header x-key.

     wasi-cc -O2 -mexec-model=reactor -I guest/c -o greeting.wasm greeting.c */
#include "proxy_wasm.h"

PROXY_WASM_PLUGIN

static char *greeting;
static uint32_t refused;

uint32_t proxy_on_configure(uint32_t plugin, size_t size) {
  greeting = size ? proxy_buffer(PROXY_PLUGIN_CONFIGURATION, 0, size).text : strdup("hello");
  return greeting && proxy_define_metric(PROXY_COUNTER, "greeting_refused", 16, &refused) == PROXY_OK;
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
  proxy_add_header(PROXY_RESPONSE_HEADERS, "x-greeting", greeting);
  return PROXY_CONTINUE;
}
