/* Ten look-ups and one replacement of headers for each request: what
   benchmarks of filters measure. */
#include "proxy_wasm.h"

PROXY_WASM_PLUGIN

uint32_t proxy_on_request_headers(uint32_t context, size_t count, uint32_t end) {
  static const char *const names[] = {":method", ":path", ":authority", "user-agent", "accept",
                                      "accept-encoding", "cookie", "x-request-id", "x-forwarded-for", "x-absent"};
  size_t total = 0;
  for (int i = 0; i < 10; i++) {
    char *value = NULL;
    size_t size = 0;
    if (proxy_get_header_map_value(PROXY_REQUEST_HEADERS, names[i], strlen(names[i]), &value, &size) == PROXY_OK) {
      total += size;
      free(value);
    }
  }
  proxy_replace_header(PROXY_REQUEST_HEADERS, "x-seen", total > 100 ? "much" : "little");
  return PROXY_CONTINUE;
}
