// Multiplies matrices of doubles, 200 x 200. Argument: multiplications.
#include <stdio.h>
#include <stdlib.h>

enum { N = 200 };
static double a[N][N], b[N][N], c[N][N];

int main(int argc, char **argv) {
	int rounds = argc > 1 ? atoi(argv[1]) : 10;
	for (int i = 0; i < N; i++)
		for (int j = 0; j < N; j++)
			a[i][j] = (i * 7 + j) % 13, b[i][j] = (i + j * 5) % 11;
	for (int r = 0; r < rounds; r++) {
		for (int i = 0; i < N; i++) {
			for (int j = 0; j < N; j++)
				c[i][j] = 0;
			for (int k = 0; k < N; k++)
				for (int j = 0; j < N; j++)
					c[i][j] += a[i][k] * b[k][j];
		}
		a[r % N][r % 7] = ((int)c[r % N][(r * 3) % N]) % 13;
	}
	double sum = 0;
	for (int i = 0; i < N; i++)
		for (int j = 0; j < N; j++)
			sum += c[i][j] * (i ^ j);
	printf("%.0f\n", sum);
}
