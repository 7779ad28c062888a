// The socket functions of WasmEdge, as a guest imports them.
#include <stdint.h>

#define IMPORT(n) __attribute__((import_module("wasi_snapshot_preview1"), import_name(#n))) int n

typedef struct { uint8_t *buf; uint32_t len; } addr_t;
typedef struct { void *buf; uint32_t len; } vec_t;
typedef struct { uint8_t family; uint32_t len; uint8_t *data; } sa_t;
typedef struct info {
	uint16_t flags;
	uint8_t family, type, protocol;
	uint32_t addrlen;
	sa_t *addr;
	char *name;
	uint32_t namelen;
	struct info *next;
} info_t;

enum { INET4 = 1, INET6 = 2, DGRAM = 1, STREAM = 2 };

IMPORT(sock_open)(int family, int type, int *fd);
IMPORT(sock_bind)(int fd, addr_t *, uint32_t port);
IMPORT(sock_listen)(int fd, int backlog);
IMPORT(sock_connect)(int fd, addr_t *, uint32_t port);
IMPORT(sock_recv)(int fd, vec_t *, uint32_t n, uint32_t flags, uint32_t *size, uint32_t *oflags);
IMPORT(sock_send)(int fd, vec_t *, uint32_t n, uint32_t flags, uint32_t *size);
IMPORT(sock_send_to)(int fd, vec_t *, uint32_t n, addr_t *, uint32_t port, uint32_t flags, uint32_t *size);
IMPORT(sock_shutdown)(int fd, uint32_t how);
IMPORT(sock_getsockopt)(int fd, uint32_t level, uint32_t name, void *, uint32_t *size);
IMPORT(sock_setsockopt)(int fd, uint32_t level, uint32_t name, void *, uint32_t size);
IMPORT(sock_getaddrinfo)(const char *, uint32_t, const char *, uint32_t, info_t *hints, info_t **, uint32_t, uint32_t *);
#ifdef FIRST
IMPORT(sock_accept)(int fd, int *new);
IMPORT(sock_recv_from)(int fd, vec_t *, uint32_t n, addr_t *, uint32_t flags, uint32_t *size, uint32_t *oflags);
#else
IMPORT(sock_accept)(int fd, uint32_t flags, int *new);
IMPORT(sock_recv_from)(int fd, vec_t *, uint32_t n, addr_t *, uint32_t flags, uint32_t *port, uint32_t *size, uint32_t *oflags);
IMPORT(sock_accept_v2)(int fd, uint32_t flags, int *new);
IMPORT(sock_connect_v2)(int fd, addr_t *, uint32_t port);
IMPORT(sock_getlocaladdr_v2)(int fd, addr_t *, uint32_t *port);
IMPORT(sock_getpeeraddr_v2)(int fd, addr_t *, uint32_t *port);
#endif
IMPORT(sock_getlocaladdr)(int fd, addr_t *, uint32_t *type, uint32_t *port);
IMPORT(sock_getpeeraddr)(int fd, addr_t *, uint32_t *type, uint32_t *port);

__attribute__((unused)) static const char *wname(int e) {
	switch (e) {
	case 0: return "ok";
	case 2: return "EACCES";
	case 5: return "EAFNOSUPPORT";
	case 6: return "EAGAIN";
	case 8: return "EBADF";
	case 14: return "ECONNREFUSED";
	case 17: return "EDESTADDRREQ";
	case 26: return "EINPROGRESS";
	case 28: return "EINVAL";
	case 30: return "EISCONN";
	case 53: return "ENOTCONN";
	case 57: return "ENOTSOCK";
	case 63: return "EPERM";
	case 64: return "EPIPE";
	case 83: return "no data";
	case 84: return "no such name";
	}
	static char b[16];
	snprintf(b, sizeof b, "%d", e);
	return b;
}

// W prints what a function of WASI returns.
#define W(expr) ({ int e_ = (expr); printf("%s: %s\n", #expr, wname(e_)); e_; })
