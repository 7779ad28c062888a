/* A plugin that holds every request and never lets it go, or crashes. */
#include "proxy_wasm.h"

PROXY_WASM_PLUGIN

uint32_t proxy_on_request_headers(uint32_t context, size_t count, uint32_t end) {
  proxy_string path = proxy_header(PROXY_REQUEST_HEADERS, ":path");
  if (path.text && !strcmp(path.text, "/crash")) __builtin_trap();
  free(path.text);
  return PROXY_PAUSE;
}
