// Inserts, finds and deletes in an open-addressing hash table.
// Argument: rounds of 100,000 operations.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { SIZE = 1 << 17, MASK = SIZE - 1 };
static struct {
	uint32_t key, value;
} table[SIZE];

static uint32_t hash(uint32_t k) {
	k ^= k >> 16, k *= 0x7feb352d, k ^= k >> 15, k *= 0x846ca68b;
	return k ^ k >> 16;
}
static uint32_t *find(uint32_t key) {
	uint32_t i = hash(key) & MASK;
	while (table[i].key && table[i].key != key)
		i = (i + 1) & MASK;
	table[i].key = key;
	return &table[i].value;
}

int main(int argc, char **argv) {
	int rounds = argc > 1 ? atoi(argv[1]) : 10;
	uint32_t x = 1, sum = 0;
	for (int r = 0; r < rounds; r++)
		for (int i = 0; i < 100000; i++) {
			x = x * 1664525 + 1013904223;
			uint32_t *v = find((x >> 15) % 80000 + 1);
			sum += *v;
			*v += i;
		}
	printf("%08x\n", sum);
}
