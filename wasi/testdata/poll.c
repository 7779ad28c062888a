// poll_oneoff: clocks, streams, files, all at once, and nonsense.
#include <wasi/api.h>

#include "check.h"

static __wasi_subscription_t sub[64];
static __wasi_event_t ev[64];

static __wasi_subscription_t clock_sub(uint64_t user, __wasi_clockid_t id, uint64_t t, int abs) {
	__wasi_subscription_t s = {.userdata = user};
	s.u.tag = __WASI_EVENTTYPE_CLOCK;
	s.u.u.clock.id = id;
	s.u.u.clock.timeout = t;
	s.u.u.clock.flags = abs;
	return s;
}

static __wasi_subscription_t fd_sub(uint64_t user, int type, __wasi_fd_t fd) {
	__wasi_subscription_t s = {.userdata = user};
	s.u.tag = type;
	s.u.u.fd_read.file_descriptor = fd;
	return s;
}

static void go(const char *what, int n) {
	__wasi_size_t got = 77;
	__wasi_errno_t e = __wasi_poll_oneoff(sub, ev, n, &got);
	printf("%s: %d", what, e);
	for (__wasi_size_t i = 0; !e && i < got; i++)
		printf(" [%llu %d type %d%s%s]", (unsigned long long)ev[i].userdata, ev[i].error, ev[i].type,
			ev[i].type && ev[i].fd_readwrite.nbytes ? " bytes" : "", ev[i].fd_readwrite.flags ? " hangup" : "");
	puts("");
}

int main(int argc, char **argv) {
	__wasi_timestamp_t now, later;
	__wasi_fd_t file, dir;
	const __wasi_rights_t all = ~0ull;
	MUST(__wasi_path_open(3, 0, "f", __WASI_OFLAGS_CREAT, all, all, 0, &file) == 0);
	MUST(__wasi_path_open(3, 0, ".", __WASI_OFLAGS_DIRECTORY, all, all, 0, &dir) == 0);
	MUST(write(file, "x", 1) == 1 && lseek(file, 0, SEEK_SET) == 0);
	go("nothing", 0);

	MUST(__wasi_clock_time_get(1, 1, &now) == 0);
	sub[0] = clock_sub(1, 1, 5000000, 0);
	go("5 ms", 1);
	MUST(__wasi_clock_time_get(1, 1, &later) == 0 && later - now >= 5000000);
	sub[0] = clock_sub(2, 1, later + 3000000, 1);
	sub[1] = clock_sub(3, 0, ~0ull >> 2, 0);
	sub[2] = clock_sub(4, 1, ~0ull, 1);
	sub[3] = clock_sub(5, 1, 3600000000000ull, 0);
	go("the earliest of many", 4);
	MUST(__wasi_clock_time_get(1, 1, &now) == 0 && now - later >= 3000000);
	sub[0] = clock_sub(6, 0, 1, 1);
	sub[1] = clock_sub(7, 1, 0, 0);
	go("times gone by", 2);
	sub[0] = clock_sub(8, 9, 0, 0);
	sub[1] = clock_sub(9, 1, 0, 2);
	sub[2] = clock_sub(10, 1, 1000000000000, 0);
	go("no such clock, no such flag", 3);
	sub[0] = clock_sub(23, 2, 1, 0);
	sub[1] = clock_sub(24, 3, 1, 0);
	sub[2] = clock_sub(25, 1, 1000000000000, 0);
	go("clocks that stand still", 3);

	sub[0] = fd_sub(11, __WASI_EVENTTYPE_FD_READ, file);
	sub[1] = fd_sub(12, __WASI_EVENTTYPE_FD_WRITE, file);
	sub[2] = fd_sub(13, __WASI_EVENTTYPE_FD_READ, dir);
	sub[3] = fd_sub(14, __WASI_EVENTTYPE_FD_READ, 999);
	sub[4] = fd_sub(15, __WASI_EVENTTYPE_FD_WRITE, 1);
	sub[5] = fd_sub(16, __WASI_EVENTTYPE_FD_WRITE, 0);
	sub[6] = fd_sub(17, 3, 0);
	sub[7] = clock_sub(18, 1, 1000000000000, 0);
	go("files and streams", 8);

	sub[0] = fd_sub(20, __WASI_EVENTTYPE_FD_READ, 0);
	sub[1] = clock_sub(21, 1, 2000000, 0);
	go("input that does not come", 2);
	puts("send");
	fflush(stdout);
	sub[1] = clock_sub(22, 1, 20000000000, 0);
	go("input that does", 2);
	char b[16];
	MUST(fcntl(0, F_SETFL, O_NONBLOCK) == 0);
	T(read(0, b, sizeof b));
	T(read(0, b, sizeof b));
	MUST(fcntl(0, F_SETFL, 0) == 0);
	puts("close");
	fflush(stdout);
	go("the end of input", 2);
	T(read(0, b, sizeof b));

	__wasi_size_t got;
	MUST(__wasi_poll_oneoff(sub, ev, 1 << 20, &got) == __WASI_ERRNO_INVAL);
	MUST(__wasi_poll_oneoff(sub, ev, 0x7fffffff, &got) == __WASI_ERRNO_INVAL);
	MUST(__wasi_poll_oneoff((void *)0xfffffff0, ev, 1, &got) == __WASI_ERRNO_FAULT);
	MUST(__wasi_poll_oneoff(sub, (void *)0xfffffff0, 1, &got) == __WASI_ERRNO_FAULT);
	return 0;
}
