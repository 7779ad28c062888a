// The calls that the benchmarks time, one export for each.
#include <wasi/api.h>

#define EXPORT __attribute__((visibility("default")))

static char buffer[65536];
static __wasi_fd_t file;

EXPORT int prepare(void) {
	__wasi_size_t n;
	__wasi_ciovec_t v = {(const uint8_t *)buffer, sizeof buffer};
	return __wasi_path_open(3, 0, "data", __WASI_OFLAGS_CREAT, ~0ull, ~0ull, 0, &file) ||
		__wasi_fd_write(file, &v, 1, &n);
}

EXPORT int fd_write(int times) {
	__wasi_size_t n;
	__wasi_ciovec_t v = {(const uint8_t *)"hello\n", 6};
	for (int i = 0; i < times; i++) if (__wasi_fd_write(1, &v, 1, &n)) return 1;
	return 0;
}

EXPORT int path_open(int times) {
	__wasi_fd_t fd;
	for (int i = 0; i < times; i++) {
		if (__wasi_path_open(3, 1, "a/b/c/file", 0, __WASI_RIGHTS_FD_READ, ~0ull, 0, &fd)) return 1;
		if (__wasi_fd_close(fd)) return 2;
	}
	return 0;
}

EXPORT int path_filestat_get(int times) {
	__wasi_filestat_t st;
	for (int i = 0; i < times; i++) if (__wasi_path_filestat_get(3, 1, "a/b/c/file", &st)) return 1;
	return 0;
}

EXPORT int clock_time_get(int times) {
	__wasi_timestamp_t t;
	for (int i = 0; i < times; i++) if (__wasi_clock_time_get(1, 1, &t)) return 1;
	return 0;
}

EXPORT int fd_pread64k(int times) {
	__wasi_size_t n;
	__wasi_iovec_t v = {(uint8_t *)buffer, sizeof buffer};
	for (int i = 0; i < times; i++) if (__wasi_fd_pread(file, &v, 1, 0, &n)) return 1;
	return 0;
}

EXPORT int fd_readdir(int times) {
	__wasi_size_t n;
	for (int i = 0; i < times; i++) if (__wasi_fd_readdir(3, (uint8_t *)buffer, 4096, 0, &n)) return 1;
	return 0;
}
