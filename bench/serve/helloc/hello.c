// The same answer by a worker in C.
#include "hako_http.h"

static const char text[] = "hello, world\n";
static char fields[128];

int32_t hako_http_v1_serve(void) {
  const char *header[] = {"Content-Type", "text/plain", "Content-Length", "13"};
  size_t size = hako_http_fields(fields, header, 2);
  if (hako_http_respond(200, fields, size) != 0) return 1;
  return hako_http_write(text, sizeof text - 1) != sizeof text - 1;
}
