// Five bodies under gravity. Argument: thousands of steps.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct body {
	double x[3], v[3], mass;
};
static struct body bodies[5] = {
	{{0, 0, 0}, {0, 0, 0}, 39.47},
	{{4.84, -1.16, -0.10}, {0.60, 2.81, -0.02}, 0.037},
	{{8.34, 4.12, -0.40}, {-1.01, 1.82, 0.008}, 0.011},
	{{12.89, -15.11, -0.22}, {1.08, 0.86, -0.01}, 0.0017},
	{{15.37, -25.91, 0.17}, {0.97, 0.59, -0.03}, 0.002},
};

static void step(double dt) {
	for (int i = 0; i < 5; i++)
		for (int j = i + 1; j < 5; j++) {
			double d[3], square = 0;
			for (int k = 0; k < 3; k++) {
				d[k] = bodies[i].x[k] - bodies[j].x[k];
				square += d[k] * d[k];
			}
			double f = dt / (square * sqrt(square));
			for (int k = 0; k < 3; k++) {
				bodies[i].v[k] -= d[k] * bodies[j].mass * f;
				bodies[j].v[k] += d[k] * bodies[i].mass * f;
			}
		}
	for (int i = 0; i < 5; i++)
		for (int k = 0; k < 3; k++)
			bodies[i].x[k] += dt * bodies[i].v[k];
}

int main(int argc, char **argv) {
	int rounds = argc > 1 ? atoi(argv[1]) : 100;
	for (int r = 0; r < rounds * 1000; r++)
		step(0.001);
	printf("%.6f %.6f\n", bodies[0].x[0], bodies[1].x[1]);
}
