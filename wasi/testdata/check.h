// What the conformance programs share. They print what each call gives, so
// that a run as a guest and a run by the host's own C library can be compared.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

__attribute__((unused)) static const char *ename(int e) {
#define E(n) if (e == n) return #n
	E(EACCES); E(EAGAIN); E(EBADF); E(EBUSY); E(EEXIST); E(EFBIG); E(EINVAL); E(EIO); E(EISDIR); E(ELOOP);
	E(EMFILE); E(EMLINK); E(ENAMETOOLONG); E(ENODEV); E(ENOENT); E(ENOMEM); E(ENOSPC); E(ENOSYS); E(ENOTDIR);
	E(ENOTEMPTY); E(ENOTSUP); E(ENXIO); E(EOVERFLOW); E(EPERM); E(EPIPE); E(EROFS); E(ESPIPE); E(EXDEV); E(EFAULT);
	E(ENOTSOCK); E(ENOTCONN); E(ECONNREFUSED); E(ETIMEDOUT); E(EADDRINUSE); E(EINPROGRESS); E(ENOTTY);
#ifdef ENOTCAPABLE
	E(ENOTCAPABLE);
#endif
#undef E
	static char number[16];
	snprintf(number, sizeof number, "%d", e);
	return number;
}

// T prints an expression with its value, or the error if that is -1.
#define T(expr) ({ errno = 0; long long v_ = (long long)(expr); \
	if (v_ == -1) printf("%s: %s\n", #expr, ename(errno)); else printf("%s: %lld\n", #expr, v_); v_; })

// E prints whether an expression fails, and how.
#define E(expr) ({ errno = 0; long long v_ = (long long)(expr); \
	printf("%s: %s\n", #expr, v_ == -1 ? ename(errno) : "ok"); v_; })

// MUST ends the program if an expression is false.
#define MUST(expr) do { if (!(expr)) { \
	printf("%s:%d: not so: %s (%s)\n", __FILE__, __LINE__, #expr, ename(errno)); fflush(stdout); exit(1); } } while (0)

__attribute__((unused)) static void put(const char *path, const char *text) {
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
	MUST(fd >= 0);
	MUST(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	MUST(close(fd) == 0);
}

__attribute__((unused)) static void show(const char *path) {
	char b[256];
	int fd = open(path, O_RDONLY);
	if (fd < 0) { printf("%s: %s\n", path, ename(errno)); return; }
	ssize_t n = read(fd, b, sizeof b - 1);
	MUST(n >= 0);
	b[n] = 0;
	printf("%s: \"%s\"\n", path, b);
	close(fd);
}
