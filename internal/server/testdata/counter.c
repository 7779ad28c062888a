// A worker that counts its requests; for /none there is nothing.
#include "hako_http.h"
#include <stdio.h>

static int requests;
static char block[1 << 14];

int32_t hako_http_v1_serve(void)
{
	int32_t n = hako_http_head(block, sizeof block);
	if (n < 0 || (size_t)n > sizeof block)
		return 1;
	hako_http_string target = hako_http_field(block, ":target");
	int status = target.length == 5 ? 404 : 200;
	char answer[20];
	int length = snprintf(answer, sizeof answer, "%d", ++requests);
	const char *fields[] = {"Content-Type", "text/plain"};
	size_t size = hako_http_fields(block, fields, 1);
	if (hako_http_respond(status, block, size) != 0)
		return 2;
	return hako_http_write(answer, length) != length;
}
