// A worker in C.
#include "hako_http.h"
#include <stdio.h>
#include <stdlib.h>

static char block[1 << 16], body[1 << 16];

int32_t hako_http_v1_serve(void) {
  int32_t n = hako_http_head(block, sizeof block);
  if (n < 0 || (size_t)n > sizeof block) return 1;
  hako_http_string method = hako_http_field(block, ":method"), target = hako_http_field(block, ":target");
  hako_http_string test = hako_http_field(block, "x-test"), none = hako_http_field(block, "x-none");
  size_t sum = 0;
  while ((n = hako_http_read(body, sizeof body)) > 0) sum += n;
  if (n < 0) return 2;
  const char *fields[] = {"Content-Type", "text/plain", "X-From", "C"};
  size_t size = hako_http_fields(block + sizeof block / 2, fields, 2);
  char answer[1000];
  int length = snprintf(answer, sizeof answer, "%.*s %.*s %.*s %d %zu", (int)method.length, method.text,
                        (int)target.length, target.text, (int)test.length, test.text ? test.text : "", none.text == NULL, sum);
  if (hako_http_respond(201, block + sizeof block / 2, size) != 0) return 3;
  if (hako_http_respond(201, block + sizeof block / 2, size) != HAKO_HTTP_ORDER) return 4;
  if (hako_http_write(answer, length) != length || hako_http_flush() != 0) return 5;
  const char *trailers[] = {"X-Sum", "1"};
  size = hako_http_fields(block, trailers, 1);
  if (hako_http_append(block, size) != 0) return 6;
  hako_http_log(0, "served", 6);
  return 0;
}
