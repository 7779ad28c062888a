/* A plugin that looks for a word in bodies. */
#include "proxy_wasm.h"

PROXY_WASM_PLUGIN

uint32_t proxy_on_request_body(uint32_t context, size_t size, uint32_t end) {
  static const char word[] = "<script";
  proxy_string body = proxy_buffer(PROXY_REQUEST_BODY, 0, size);
  size_t found = 0;
  for (size_t i = 0; i + sizeof word <= body.size; i++) {
    size_t n = 0;
    while (n < sizeof word - 1 && (body.text[i + n] | 0x20) == (word[n] | 0x20)) n++;
    found += n == sizeof word - 1;
  }
  free(body.text);
  if (found) proxy_respond(403, NULL, "no scripts");
  return PROXY_CONTINUE;
}
