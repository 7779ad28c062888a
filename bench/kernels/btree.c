// Builds, searches and frees binary trees on the heap, called through function
// pointers. Argument: rounds.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct node {
	struct node *left, *right;
	uint32_t key;
};
static int ascending(uint32_t a, uint32_t b) { return a < b; }
static int descending(uint32_t a, uint32_t b) { return a > b; }
static int (*const orders[])(uint32_t, uint32_t) = {ascending, descending};

static void insert(struct node **at, uint32_t key, int (*less)(uint32_t, uint32_t)) {
	while (*at)
		at = less(key, (*at)->key) ? &(*at)->left : &(*at)->right;
	*at = calloc(1, sizeof **at);
	(*at)->key = key;
}
static uint32_t release(struct node *n, uint32_t depth) {
	if (!n)
		return depth;
	uint32_t sum = n->key % 97 + release(n->left, depth + 1) + release(n->right, depth + 1);
	free(n);
	return sum;
}

int main(int argc, char **argv) {
	int rounds = argc > 1 ? atoi(argv[1]) : 10;
	uint32_t x = 1, sum = 0;
	for (int r = 0; r < rounds; r++) {
		struct node *root = NULL;
		for (int i = 0; i < 20000; i++) {
			x ^= x << 13, x ^= x >> 17, x ^= x << 5;
			insert(&root, x, orders[r & 1]);
		}
		sum = sum * 31 + release(root, 0);
	}
	printf("%08x\n", sum);
}
