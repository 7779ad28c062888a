// The preview before preview 1, where it differs.
#include <stdint.h>
#include <string.h>

#define IMPORT(n) __attribute__((import_module("wasi_unstable"), import_name(#n))) int n
IMPORT(fd_write)(int, const void *, int, int *);
IMPORT(path_open)(int, int, const char *, int, int, uint64_t, uint64_t, int, int *);
IMPORT(path_filestat_get)(int, int, const char *, int, void *);
IMPORT(fd_filestat_get)(int, void *);
IMPORT(fd_seek)(int, int64_t, int, uint64_t *);
IMPORT(poll_oneoff)(const void *, void *, int, int *);
__attribute__((import_module("wasi_unstable"), import_name("proc_exit"))) _Noreturn void proc_exit(int);

static struct { uint64_t dev, ino; uint32_t type, nlink; uint64_t size, at, mt, ct; } st;
static struct { uint64_t user; uint32_t tag, pad; uint64_t identifier; uint32_t id, pad2; uint64_t timeout, precision; uint16_t flags; } sub;
static struct { uint64_t user; uint16_t error; uint8_t type; uint64_t n; uint16_t flags; } ev;

#define MUST(c) do { if (!(c)) proc_exit(__LINE__); } while (0)

void _start(void) {
	int fd, n;
	uint64_t at;
	struct { const char *p; int n; } v = {"twelve bytes", 12};
	MUST(sizeof sub == 56 && sizeof st == 56);
	MUST(path_open(3, 0, "f", 1, 1, ~0ull, ~0ull, 0, &fd) == 0);
	MUST(fd_write(fd, &v, 1, &n) == 0 && n == 12);
	MUST(fd_filestat_get(fd, &st) == 0 && st.size == 12 && st.nlink == 1 && (st.type & 255) == 4);
	MUST(path_filestat_get(3, 1, "f", 1, &st) == 0 && st.size == 12 && st.nlink == 1);
	MUST(fd_seek(fd, -2, 1, &at) == 0 && at == 10); // from the end
	MUST(fd_seek(fd, -5, 0, &at) == 0 && at == 5);  // from here
	MUST(fd_seek(fd, 3, 2, &at) == 0 && at == 3);   // from the beginning
	MUST(fd_seek(fd, 0, 3, &at) == 28);
	sub.user = 5, sub.id = 1, sub.timeout = 1000000;
	MUST(poll_oneoff(&sub, &ev, 1, &n) == 0 && n == 1 && ev.user == 5 && ev.error == 0 && ev.type == 0);
	proc_exit(0);
}
