// Arguments, variables, clocks, randomness, sleeping and the way out.
#include "check.h"

extern char **environ;

int main(int argc, char **argv) {
	for (int i = 0; i < argc; i++) printf("arg %d: \"%s\"\n", i, argv[i]);
	for (char **e = environ; *e; e++) printf("env: \"%s\"\n", *e);
	struct timespec t, u;
	for (int c = 0; c < 2; c++) {
		clockid_t id = c ? CLOCK_MONOTONIC : CLOCK_REALTIME;
		MUST(clock_getres(id, &t) == 0 && t.tv_sec == 0 && t.tv_nsec > 0);
		MUST(clock_gettime(id, &t) == 0);
		MUST(clock_gettime(id, &u) == 0);
		MUST(u.tv_sec > t.tv_sec || (u.tv_sec == t.tv_sec && u.tv_nsec >= t.tv_nsec));
	}
	MUST(clock_gettime(CLOCK_REALTIME, &t) == 0 && t.tv_sec > 1700000000);
	MUST(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
	struct timespec nap = {0, 20000000};
	MUST(nanosleep(&nap, 0) == 0);
	MUST(clock_gettime(CLOCK_MONOTONIC, &u) == 0);
	MUST((u.tv_sec - t.tv_sec) * 1000000000LL + u.tv_nsec - t.tv_nsec >= 20000000);
	u.tv_nsec += 1000000;
	if (u.tv_nsec >= 1000000000) u.tv_sec++, u.tv_nsec -= 1000000000;
	MUST(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &u, 0) == 0);
	MUST(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &nap, 0) == 0);
	unsigned char a[32], b[32];
	MUST(getentropy(a, sizeof a) == 0 && getentropy(b, sizeof b) == 0);
	MUST(memcmp(a, b, sizeof a));
	char line[100];
	while (fgets(line, sizeof line, stdin)) printf("in: %s", line);
	T(isatty(0));
	T(isatty(1));
	T(lseek(0, 0, SEEK_CUR));
	fprintf(stderr, "to standard error\n");
	fflush(stdout);
	exit(7);
}
