// Sorts 200,000 numbers. Argument: rounds.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { N = 200000 };
static uint32_t v[N];

static void sort(uint32_t *lo, uint32_t *hi) {
	while (hi - lo > 16) {
		uint32_t pivot = lo[(hi - lo) / 2], *i = lo, *j = hi - 1;
		for (;;) {
			while (*i < pivot)
				i++;
			while (*j > pivot)
				j--;
			if (i >= j)
				break;
			uint32_t t = *i;
			*i++ = *j;
			*j-- = t;
		}
		if (i - lo < hi - i) {
			sort(lo, i);
			lo = i;
		} else {
			sort(i, hi);
			hi = i;
		}
	}
	for (uint32_t *i = lo + 1; i < hi; i++) {
		uint32_t t = *i, *j = i;
		for (; j > lo && j[-1] > t; j--)
			*j = j[-1];
		*j = t;
	}
}

int main(int argc, char **argv) {
	int rounds = argc > 1 ? atoi(argv[1]) : 10;
	uint32_t x = 12345, sum = 0;
	for (int r = 0; r < rounds; r++) {
		for (int i = 0; i < N; i++) {
			x ^= x << 13, x ^= x >> 17, x ^= x << 5;
			v[i] = x;
		}
		sort(v, v + N);
		for (int i = 1; i < N; i++)
			if (v[i - 1] > v[i])
				return 1;
		sum = sum * 31 + v[N / 2];
	}
	printf("%08x\n", sum);
}
