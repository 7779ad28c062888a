/* Chooses a route by the header x-version, and tells the gateway by a property. */
#include "proxy_wasm.h"

PROXY_WASM_PLUGIN

uint32_t proxy_on_request_headers(uint32_t context, size_t count, uint32_t end) {
  proxy_string version = proxy_header(PROXY_REQUEST_HEADERS, "x-version");
  if (!version.text) return PROXY_CONTINUE;
  proxy_replace_header(PROXY_REQUEST_HEADERS, ":authority", strcmp(version.text, "beta") ? "stable.test" : "beta.test");
  if (proxy_set_property("chosen\0version", 14, version.text, version.size) != PROXY_OK) abort();
  proxy_clear_route_cache();
  free(version.text);
  return PROXY_CONTINUE;
}
