// Counts primes below 2,000,000. Argument: rounds.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 2000000 };
static unsigned char composite[N];

int main(int argc, char **argv) {
	int rounds = argc > 1 ? atoi(argv[1]) : 10;
	unsigned sum = 0;
	for (int r = 0; r < rounds; r++) {
		memset(composite, 0, N);
		for (int i = 2; i * i < N; i++)
			if (!composite[i])
				for (int j = i * i; j < N; j += i)
					composite[j] = 1;
		int count = 0;
		for (int i = 2; i < N; i++)
			count += !composite[i];
		sum = sum * 31 + count;
	}
	printf("%08x\n", sum);
}
