// Searches, measures, compares and copies strings through the C library.
// Argument: rounds.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 1 << 16 };
static char text[N + 1], other[N + 1];

int main(int argc, char **argv) {
	int rounds = argc > 1 ? atoi(argv[1]) : 100;
	unsigned x = 7, sum = 0;
	for (int i = 0; i < N; i++) {
		x = x * 1664525 + 1013904223;
		text[i] = "etaoin shrdlu cmfwyp"[x >> 16 & 15];
	}
	memcpy(text + N - 20, "needle in a haystack", 20);
	for (int r = 0; r < rounds; r++) {
		sum = sum * 31 + (unsigned)(strstr(text, "needle in a") - text);
		sum += (unsigned)strlen(text + r % 1000);
		for (int i = 0; i + 256 < N; i += 256) {
			memcpy(other + i, text + (i + r) % (N - 256), 40 + i / 256 % 200);
			int order = memcmp(other + i, text + i, 64); // of which C tells the sign only
			sum += (unsigned)(order > 0) + 2 * (unsigned)(order < 0);
		}
		for (const char *p = text; (p = strchr(p, 's')); p++)
			sum++;
	}
	printf("%08x\n", sum);
}
