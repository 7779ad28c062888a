// Counts the ways to place queens, by bits and recursion, and knight moves by
// bitboards. Argument: rounds.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static unsigned queens(unsigned all, unsigned columns, unsigned left, unsigned right) {
	if (columns == all)
		return 1;
	unsigned n = 0;
	for (unsigned free = all & ~(columns | left | right); free;) {
		unsigned bit = free & -free;
		free ^= bit;
		n += queens(all, columns | bit, (left | bit) << 1, (right | bit) >> 1);
	}
	return n;
}
static uint64_t knights(uint64_t b) {
	const uint64_t a = 0xfefefefefefefefeu, ab = 0xfcfcfcfcfcfcfcfcu, h = 0x7f7f7f7f7f7f7f7fu, gh = 0x3f3f3f3f3f3f3f3fu;
	return (b << 17 & a) | (b << 10 & ab) | (b >> 6 & ab) | (b >> 15 & a) | (b << 15 & h) | (b << 6 & gh) | (b >> 10 & gh) | (b >> 17 & h);
}

int main(int argc, char **argv) {
	int rounds = argc > 1 ? atoi(argv[1]) : 10;
	uint64_t sum = 0, x = 88172645463325252u;
	for (int r = 0; r < rounds; r++) {
		sum = sum * 31 + queens((1u << 9) - 1, 0, 0, 0);
		for (int i = 0; i < 20000; i++) {
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			sum += (uint64_t)__builtin_popcountll(knights(x & 0x0010020040080100u));
			for (uint64_t b = x & 0xff00ff; b; b &= b - 1)
				sum += (uint64_t)__builtin_ctzll(b);
		}
	}
	printf("%016llx\n", (unsigned long long)sum);
}
