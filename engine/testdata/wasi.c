// A library that has started up: it has read its arguments, holds state, and
// takes what is random and what time it is from its host.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#define EXPORT(name) __attribute__((export_name(#name)))

static char *state;

EXPORT(setup) void setup(void) {
	state = malloc(1000);
	strcpy(state, "set up");
	unsigned char seed[16];
	getentropy(seed, sizeof seed); // what is drawn here is the same in all forks
}
EXPORT(random64) unsigned long long random64(void) {
	unsigned long long n;
	getentropy(&n, sizeof n);
	return n;
}
EXPORT(now) long long now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}
EXPORT(say) void say(void) {
	printf("%s, %s\n", state, getenv("WHO"));
	fflush(stdout);
}
EXPORT(chatter) void chatter(void) {
	for (;;)
		say();
}
static FILE *file;
EXPORT(open_file) int open_file(void) { return (file = fopen("/tmp/x", "w")) != NULL; }
EXPORT(close_file) void close_file(void) { fclose(file); }
EXPORT(quit) void quit(int code) { exit(code); }
EXPORT(nap_and_work) void nap_and_work(void) {
	for (;;) {
		struct timespec nap = {.tv_nsec = 2000000};
		nanosleep(&nap, 0);
		for (volatile int i = 0; i < 200000; i++)
			;
	}
}
EXPORT(rest) void rest(void) { sleep(1000); }
