// Compresses text by LZ77 with hash chains and counts the bits of a Huffman
// code for it, as deflate does; and expands it again. Argument: rounds.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 1 << 16, HASH = 1 << 13, WINDOW = 32768 };
static uint8_t text[N], packed[2 * N], back[N];
static int head[HASH], chain[N];

static uint32_t key(const uint8_t *p) { return ((uint32_t)(p[0] | p[1] << 8 | p[2] << 16) * 2654435761u) >> 19; }

static int compress(void) {
	int n = 0;
	memset(head, 0xff, sizeof head);
	for (int i = 0; i < N;) {
		int best = 0, from = 0;
		if (i + 3 < N) {
			int tries = 16;
			for (int j = head[key(text + i)]; j >= 0 && i - j < WINDOW && tries--; j = chain[j]) {
				int len = 0;
				while (len < 255 && i + len < N && text[j + len] == text[i + len])
					len++;
				if (len > best)
					best = len, from = j;
			}
		}
		int step = best >= 4 ? best : 1;
		if (best >= 4) {
			packed[n++] = 1, packed[n++] = (uint8_t)best, packed[n++] = (uint8_t)(i - from), packed[n++] = (uint8_t)((i - from) >> 8);
		} else {
			packed[n++] = 0, packed[n++] = text[i];
		}
		for (; step--; i++)
			if (i + 3 < N) {
				uint32_t k = key(text + i);
				chain[i] = head[k];
				head[k] = i;
			}
	}
	return n;
}
static int expand(int n) {
	int out = 0;
	for (int i = 0; i < n;)
		if (packed[i++]) {
			int len = packed[i], from = out - (packed[i + 1] | packed[i + 2] << 8);
			for (i += 3; len--;)
				back[out++] = back[from++];
		} else {
			back[out++] = packed[i++];
		}
	return out;
}
static unsigned huffman(int n) {
	unsigned count[511] = {0}, bits = 0;
	int live[511], lives = 0, next = 256;
	for (int i = 0; i < n; i++)
		count[packed[i]]++;
	for (int i = 0; i < 256; i++)
		if (count[i])
			live[lives++] = i;
	while (lives > 1) {
		for (int pick = 0; pick < 2; pick++)
			for (int i = pick + 1; i < lives; i++)
				if (count[live[i]] < count[live[pick]]) {
					int t = live[i];
					live[i] = live[pick], live[pick] = t;
				}
		count[next] = count[live[0]] + count[live[1]];
		bits += count[next];
		live[0] = next++;
		live[1] = live[--lives];
	}
	return bits;
}

int main(int argc, char **argv) {
	int rounds = argc > 1 ? atoi(argv[1]) : 10;
	static const char *words[] = {"the ", "of ", "and ", "version ", "page ", "database ", "commit ", "a ", "\n", "branch ", "to ", "is "};
	unsigned x = 1, sum = 0;
	for (int r = 0; r < rounds; r++) {
		for (int i = 0; i < N;) {
			x = x * 1664525 + 1013904223;
			for (const char *p = words[(x >> 20) % 12]; *p && i < N;)
				text[i++] = (uint8_t)*p++;
			if (x >> 28 == 0 && i < N)
				text[i++] = (uint8_t)('0' + (x >> 16 & 15));
		}
		int n = compress();
		if (expand(n) != N || memcmp(text, back, N))
			return 1;
		sum = sum * 31 + huffman(n);
	}
	printf("%08x\n", sum);
}
