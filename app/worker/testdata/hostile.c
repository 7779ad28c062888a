// A worker that passes ranges and blocks that make no sense, and looks that
// each is refused.
#include "hako_http.h"

#define EXPECT(want, call) \
  if ((call) != (want)) return __LINE__

int32_t hako_http_v1_serve(void) {
  char *beyond = (char *)0xfffffff0, *high = (char *)0x7fffffff;
  EXPECT(HAKO_HTTP_INVALID, hako_http_head(beyond, 1 << 20));
  EXPECT(HAKO_HTTP_INVALID, hako_http_read(beyond, 100));
  EXPECT(HAKO_HTTP_INVALID, hako_http_read(high, 0xffffffff));
  EXPECT(HAKO_HTTP_INVALID, hako_http_write(beyond, 100));
  EXPECT(HAKO_HTTP_INVALID, hako_http_write(0, 0xffffffff));
  EXPECT(HAKO_HTTP_INVALID, hako_http_respond(200, beyond, 100));
  EXPECT(HAKO_HTTP_ORDER, hako_http_trailers(beyond, 0));
  static const uint32_t many[] = {0xffffffff, 1, 1}, lengths[] = {1, 0xffffffff, 0xffffffff}, over[] = {1, 100, 100};
  EXPECT(HAKO_HTTP_INVALID, hako_http_respond(200, many, sizeof many));
  EXPECT(HAKO_HTTP_INVALID, hako_http_respond(200, lengths, sizeof lengths));
  EXPECT(HAKO_HTTP_INVALID, hako_http_respond(200, over, sizeof over));
  EXPECT(HAKO_HTTP_INVALID, hako_http_respond(200, over, 3));
  EXPECT(HAKO_HTTP_INVALID, hako_http_respond(99, NULL, 0));
  EXPECT(HAKO_HTTP_INVALID, hako_http_respond(-1, NULL, 0));
  EXPECT(HAKO_HTTP_INVALID, hako_http_respond(101, NULL, 0));
  char block[200];
  const char *split[] = {"X", "a\r\nSet-Cookie: b"}, *name[] = {"a b", "c"}, *framing[] = {"Transfer-Encoding", "chunked"};
  EXPECT(HAKO_HTTP_INVALID, hako_http_respond(200, block, hako_http_fields(block, split, 1)));
  EXPECT(HAKO_HTTP_INVALID, hako_http_respond(200, block, hako_http_fields(block, name, 1)));
  EXPECT(HAKO_HTTP_INVALID, hako_http_append(block, hako_http_fields(block, framing, 1))); // no trailer
  hako_http_log(1000, beyond, 100);
  hako_http_log(-1000, "", 0xffffffff);
  EXPECT(0, hako_http_respond(200, block, hako_http_fields(block, framing, 1))); // dropped
  EXPECT(8, hako_http_write("unharmed", 8));
  EXPECT(0, hako_http_finish());
  EXPECT(0, hako_http_finish());
  EXPECT(HAKO_HTTP_ORDER, hako_http_write("more", 4));
  EXPECT(HAKO_HTTP_ORDER, hako_http_flush());
  EXPECT(HAKO_HTTP_ORDER, hako_http_head(block, sizeof block));
  return 0;
}
