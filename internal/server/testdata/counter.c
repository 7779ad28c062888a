// A worker that counts its requests and remembers when the first one came. For
// /none there is nothing; after /renew it wants its template to be made anew.
#include "hako_http.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

static int requests;
static struct timespec first;
static char block[1 << 14];

int32_t hako_http_v1_serve(void)
{
	int32_t n = hako_http_head(block, sizeof block);
	if (n < 0 || (size_t)n > sizeof block)
		return 1;
	hako_http_string target = hako_http_field(block, ":target");
	int none = target.length == 5 && memcmp(target.text, "/none", 5) == 0;
	int renew = target.length == 6 && memcmp(target.text, "/renew", 6) == 0;
	if (requests++ == 0)
		clock_gettime(CLOCK_REALTIME, &first);
	char answer[60];
	int length = snprintf(answer, sizeof answer, "%d %lld.%09ld", requests, (long long)first.tv_sec, first.tv_nsec);
	const char *fields[] = {"Content-Type", "text/plain", "X-Hako-Renew", "1"};
	size_t size = hako_http_fields(block, fields, renew ? 2 : 1);
	if (hako_http_respond(none ? 404 : 200, block, size) != 0)
		return 2;
	return hako_http_write(answer, length) != length;
}
