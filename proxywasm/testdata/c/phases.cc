// In C++: a filter with an object for each stream, which says in a header of
// the response what it has seen, and answers itself when an upstream fails.
#include <map>
#include <memory>
#include <string>

#include "proxy_wasm.h"

PROXY_WASM_PLUGIN

namespace {

class Stream {
 public:
  void note(const std::string &what) { seen_ += (seen_.empty() ? "" : " ") + what; }
  const std::string &seen() const { return seen_; }

 private:
  std::string seen_;
};

std::map<uint32_t, std::unique_ptr<Stream>> streams;

}  // namespace

extern "C" {

void proxy_on_context_create(uint32_t context, uint32_t parent) {
  if (parent) streams[context] = std::make_unique<Stream>();
}

uint32_t proxy_on_request_headers(uint32_t context, size_t count, uint32_t end) {
  streams.at(context)->note("headers:" + std::to_string(count) + (end ? "." : ""));
  return PROXY_CONTINUE;
}

uint32_t proxy_on_request_body(uint32_t context, size_t size, uint32_t end) {
  streams.at(context)->note("body:" + std::to_string(size) + (end ? "." : ""));
  return PROXY_CONTINUE;
}

uint32_t proxy_on_request_trailers(uint32_t context, size_t count) {
  streams.at(context)->note("trailers:" + std::to_string(count));
  return PROXY_CONTINUE;
}

uint32_t proxy_on_response_headers(uint32_t context, size_t count, uint32_t end) {
  Stream &stream = *streams.at(context);
  proxy_string status = proxy_header(PROXY_RESPONSE_HEADERS, ":status");
  std::string code(status.text ? status.text : "");
  free(status.text);
  if (code == "500") {
    proxy_pairs headers = {nullptr, 0};
    proxy_pairs_add(&headers, "x-seen", stream.seen().c_str());
    proxy_pairs_add(&headers, "retry-after", "5");
    proxy_respond(503, &headers, "sorry\n");
    free(headers.data);
    return PROXY_PAUSE;
  }
  proxy_add_header(PROXY_RESPONSE_HEADERS, "x-seen", stream.seen().c_str());
  return PROXY_CONTINUE;
}

void proxy_on_delete(uint32_t context) {
  streams.erase(context);
  if (streams.empty()) proxy_log_text(PROXY_INFO, "no streams left");
}

}  // extern "C"
