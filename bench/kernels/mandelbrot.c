// The Mandelbrot set on 256 x 256 points. Argument: rounds.
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
	int rounds = argc > 1 ? atoi(argv[1]) : 10;
	unsigned sum = 0;
	for (int r = 0; r < rounds; r++)
		for (int y = 0; y < 256; y++)
			for (int x = 0; x < 256; x++) {
				double cr = x / 100.0 - 2.0 + r * 1e-6, ci = y / 110.0 - 1.2, zr = 0, zi = 0;
				int n = 0;
				while (n < 200 && zr * zr + zi * zi < 4) {
					double t = zr * zr - zi * zi + cr;
					zi = 2 * zr * zi + ci;
					zr = t;
					n++;
				}
				sum = sum * 31 + n;
			}
	printf("%08x\n", sum);
}
