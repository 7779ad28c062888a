// A worker that goes on when its client has gone, if its path is /persist.
#include "hako_http.h"

#include <stdio.h>

static char block[4096], part[1000];

int32_t hako_http_v1_serve(void) {
  hako_http_head(block, sizeof block);
  hako_http_string target = hako_http_field(block, ":target");
  if (target.length == 8 && hako_http_persist() != 0) return 1;
  hako_http_write(part, sizeof part);
  while (hako_http_flush() == 0)
    for (volatile int i = 0; i < 1000; i++) {}
  hako_http_log(0, "went on", 7);
  return 0;
}
