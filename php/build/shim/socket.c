// Sockets, by the functions that WasmEdge added to WASI.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define IMPORT(n) __attribute__((import_module("wasi_snapshot_preview1"), import_name(#n))) n

struct addr {
	uint8_t *data;
	uint32_t len;
};
struct vec {
	void *data;
	uint32_t len;
};
struct found_addr {
	uint8_t family;
	uint32_t len;
	uint8_t *data; // the port, then the address
};
struct found {
	uint16_t flags;
	uint8_t family, type, protocol;
	uint32_t addrlen;
	struct found_addr *addr;
	char *name;
	uint32_t namelen;
	struct found *next;
};

// Families are numbered as in wasi-libc: 1 and 2. Types are not.
enum { DGRAM = 1, STREAM = 2 };

int IMPORT(sock_open)(int family, int type, int *fd);
int IMPORT(sock_bind)(int fd, struct addr *, uint32_t port);
int IMPORT(sock_listen)(int fd, int backlog);
int IMPORT(sock_accept)(int fd, uint32_t flags, int *made);
int IMPORT(sock_connect)(int fd, struct addr *, uint32_t port);
int IMPORT(sock_recv)(int fd, struct vec *, uint32_t n, uint32_t flags, uint32_t *size, uint16_t *oflags);
int IMPORT(sock_recv_from)(int fd, struct vec *, uint32_t n, struct addr *, uint32_t flags, uint32_t *port, uint32_t *size, uint16_t *oflags);
int IMPORT(sock_send)(int fd, struct vec *, uint32_t n, uint32_t flags, uint32_t *size);
int IMPORT(sock_send_to)(int fd, struct vec *, uint32_t n, struct addr *, uint32_t port, uint32_t flags, uint32_t *size);
int IMPORT(sock_getsockopt)(int fd, uint32_t level, uint32_t name, void *, uint32_t *size);
int IMPORT(sock_setsockopt)(int fd, uint32_t level, uint32_t name, const void *, uint32_t size);
int IMPORT(sock_getlocaladdr_v2)(int fd, struct addr *, uint32_t *port);
int IMPORT(sock_getpeeraddr_v2)(int fd, struct addr *, uint32_t *port);
int IMPORT(sock_getaddrinfo)(const char *, uint32_t, const char *, uint32_t, struct found *hints, struct found **, uint32_t room, uint32_t *count);

// result is what a function returns whose error is one of WASI.
static int result(int e) {
	if (!e) return 0;
	errno = e;
	return -1;
}

// given reads the address that a program gives.
static int given(const struct sockaddr *a, socklen_t len, struct addr *to, uint32_t *port) {
	if (len >= sizeof(struct sockaddr_in) && a->sa_family == AF_INET) {
		struct sockaddr_in *in = (void *)a;
		*to = (struct addr){(void *)&in->sin_addr, 4};
		*port = ntohs(in->sin_port);
		return 0;
	}
	if (len >= sizeof(struct sockaddr_in6) && a->sa_family == AF_INET6) {
		struct sockaddr_in6 *in = (void *)a;
		*to = (struct addr){(void *)&in->sin6_addr, 16};
		*port = ntohs(in->sin6_port);
		return 0;
	}
	errno = EAFNOSUPPORT;
	return -1;
}

// give writes an address for the program: from b, as the host has it.
static void give(struct sockaddr *a, socklen_t *len, const uint8_t b[128], uint32_t port) {
	union {
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} u;
	socklen_t n;
	if (!a || !len) return;
	memset(&u, 0, sizeof u);
	if (b[0] == AF_INET6) {
		u.in6.sin6_family = AF_INET6;
		u.in6.sin6_port = htons(port);
		memcpy(&u.in6.sin6_addr, b + 2, 16);
		n = sizeof u.in6;
	} else {
		u.in.sin_family = AF_INET;
		u.in.sin_port = htons(port);
		memcpy(&u.in.sin_addr, b + 2, 4);
		n = sizeof u.in;
	}
	memcpy(a, &u, *len < n ? *len : n);
	*len = n;
}

int socket(int family, int type, int protocol) {
	int fd, kind = type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (family != AF_INET && family != AF_INET6) return result(EAFNOSUPPORT);
	if (kind != SOCK_STREAM && kind != SOCK_DGRAM) return result(EPROTONOSUPPORT);
	if (result(sock_open(family, kind == SOCK_DGRAM ? DGRAM : STREAM, &fd))) return -1;
	if (type & SOCK_NONBLOCK) fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

int socketpair(int family, int type, int protocol, int fds[2]) { return result(EOPNOTSUPP); }

int connect(int fd, const struct sockaddr *a, socklen_t len) {
	struct addr to;
	uint32_t port;
	return given(a, len, &to, &port) ? -1 : result(sock_connect(fd, &to, port));
}

int bind(int fd, const struct sockaddr *a, socklen_t len) {
	struct addr to;
	uint32_t port;
	return given(a, len, &to, &port) ? -1 : result(sock_bind(fd, &to, port));
}

int listen(int fd, int backlog) { return result(sock_listen(fd, backlog)); }

static int named(int (*of)(int, struct addr *, uint32_t *), int fd, struct sockaddr *a, socklen_t *len) {
	uint8_t b[128] = {0};
	struct addr to = {b, sizeof b};
	uint32_t port = 0;
	if (result(of(fd, &to, &port))) return -1;
	give(a, len, b, port);
	return 0;
}

int getsockname(int fd, struct sockaddr *restrict a, socklen_t *restrict len) { return named(sock_getlocaladdr_v2, fd, a, len); }
int getpeername(int fd, struct sockaddr *restrict a, socklen_t *restrict len) { return named(sock_getpeeraddr_v2, fd, a, len); }

int accept4(int fd, struct sockaddr *restrict a, socklen_t *restrict len, int flags) {
	int made;
	if (result(sock_accept(fd, 0, &made))) return -1;
	if (flags & SOCK_NONBLOCK) fcntl(made, F_SETFL, O_NONBLOCK);
	if (a) getpeername(made, a, len);
	return made;
}

int accept(int fd, struct sockaddr *restrict a, socklen_t *restrict len) { return accept4(fd, a, len, 0); }

// A send or receive that must not wait is one on a descriptor that does not,
// for as long as it lasts.
static int hurry(int fd, int flags) {
	int fl;
	if (!(flags & MSG_DONTWAIT) || (fl = fcntl(fd, F_GETFL)) < 0 || fl & O_NONBLOCK) return -1;
	fcntl(fd, F_SETFL, fl | O_NONBLOCK);
	return fl;
}

static ssize_t hurried(int fd, int fl, int e, uint32_t n) {
	if (fl >= 0) fcntl(fd, F_SETFL, fl);
	return result(e) ? -1 : (ssize_t)n;
}

ssize_t sendto(int fd, const void *b, size_t len, int flags, const struct sockaddr *a, socklen_t alen) {
	struct vec v = {(void *)b, len};
	struct addr to;
	uint32_t port, n = 0;
	if (flags & MSG_OOB) return result(EOPNOTSUPP);
	if (a && given(a, alen, &to, &port)) return -1;
	int fl = hurry(fd, flags);
	return hurried(fd, fl, a ? sock_send_to(fd, &v, 1, &to, port, 0, &n) : sock_send(fd, &v, 1, 0, &n), n);
}

ssize_t send(int fd, const void *b, size_t len, int flags) { return sendto(fd, b, len, flags, NULL, 0); }

ssize_t recvfrom(int fd, void *restrict b, size_t len, int flags, struct sockaddr *restrict a, socklen_t *restrict alen) {
	uint8_t who[128] = {0};
	struct vec v = {b, len};
	struct addr from = {who, sizeof who};
	uint32_t port = 0, n = 0, how = flags & (MSG_PEEK | MSG_WAITALL);
	uint16_t oflags;
	if (flags & MSG_OOB) return result(EOPNOTSUPP);
	int fl = hurry(fd, flags);
	int e = a ? sock_recv_from(fd, &v, 1, &from, how, &port, &n, &oflags) : sock_recv(fd, &v, 1, how, &n, &oflags);
	ssize_t got = hurried(fd, fl, e, n);
	if (got >= 0) give(a, alen, who, port);
	return got;
}

ssize_t recv(int fd, void *b, size_t len, int flags) { return recvfrom(fd, b, len, flags, NULL, NULL); }

// option returns the host's number of an option, -1 if it has none.
static int option(int level, int name) {
	static const struct {
		int c, host;
	} options[] = {
		{SO_REUSEADDR, 0}, {SO_TYPE, 1}, {SO_ERROR, 2}, {SO_DONTROUTE, 3}, {SO_BROADCAST, 4}, {SO_SNDBUF, 5},
		{SO_RCVBUF, 6}, {SO_KEEPALIVE, 7}, {SO_OOBINLINE, 8}, {SO_LINGER, 9}, {SO_RCVLOWAT, 10},
		{SO_RCVTIMEO, 11}, {SO_SNDTIMEO, 12}, {SO_ACCEPTCONN, 13},
	};
	if (level == SOL_SOCKET) {
		for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
			if (options[i].c == name) return options[i].host;
		}
	}
	return -1;
}

int getsockopt(int fd, int level, int name, void *restrict b, socklen_t *restrict len) {
	int host = option(level, name);
	uint32_t n = *len;
	if (host < 0) return result(ENOPROTOOPT);
	if (result(sock_getsockopt(fd, 0, host, b, &n))) return -1;
	*len = n;
	if (name == SO_TYPE) *(int *)b = *(int *)b == DGRAM ? SOCK_DGRAM : SOCK_STREAM;
	return 0;
}

int setsockopt(int fd, int level, int name, const void *b, socklen_t len) {
	int host = option(level, name);
	if (level == 6 && name == 1 && len >= 4 && *(int *)b) return 0; // TCP_NODELAY: it is so
	if (host < 0) return result(ENOPROTOOPT);
	return result(sock_setsockopt(fd, 0, host, b, len));
}

// Names.
enum { ROOM = 16 }; // addresses of one name

struct answer {
	struct addrinfo info;
	union {
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} addr;
};

static int lookup_error(int e) {
	switch (e) {
	case 78: return EAI_AGAIN;
	case 81: return EAI_FAMILY;
	case 85: return EAI_SERVICE;
	default: return EAI_NONAME;
	}
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **res) {
	struct found found[ROOM] = {0}, *first = found, ask = {0};
	struct found_addr addrs[ROOM] = {0};
	uint8_t data[ROOM][32];
	uint32_t count = 0;
	char number[6] = "0"; // the port: names of services are looked up here
	int type = hints ? hints->ai_socktype : 0;
	if (!name && !service) return EAI_NONAME;
	if (service && *service) {
		char *rest;
		unsigned long port = strtoul(service, &rest, 10);
		if (*rest) {
			struct servent *s = hints && hints->ai_flags & AI_NUMERICSERV ? NULL : getservbyname(service, type == SOCK_DGRAM ? "udp" : "tcp");
			if (!s) return EAI_SERVICE;
			port = ntohs(s->s_port);
		}
		if (port > 65535) return EAI_SERVICE;
		snprintf(number, sizeof number, "%lu", port);
	}
	ask.flags = hints ? hints->ai_flags & (AI_PASSIVE | AI_NUMERICHOST) : 0;
	ask.family = hints ? hints->ai_family : 0;
	ask.type = type == SOCK_DGRAM ? DGRAM : STREAM;
	for (int i = 0; i < ROOM; i++) {
		addrs[i] = (struct found_addr){0, sizeof data[i], data[i]};
		found[i].addr = &addrs[i];
		found[i].next = i + 1 < ROOM ? &found[i + 1] : NULL;
	}
	int e = sock_getaddrinfo(name ? name : "", name ? strlen(name) + 1 : 1, number, strlen(number) + 1, &ask, &first, ROOM, &count);
	if (e) return lookup_error(e);
	struct addrinfo *last = NULL;
	*res = NULL;
	for (uint32_t i = 0; i < count && i < ROOM; i++) {
		struct answer *a = calloc(1, sizeof *a);
		if (!a) {
			freeaddrinfo(*res);
			return EAI_MEMORY;
		}
		if (found[i].family == AF_INET6) {
			a->addr.in6.sin6_family = AF_INET6;
			memcpy(&a->addr.in6.sin6_port, data[i], 2);
			memcpy(&a->addr.in6.sin6_addr, data[i] + 6, 16);
			a->info.ai_addrlen = sizeof a->addr.in6;
		} else {
			a->addr.in.sin_family = AF_INET;
			memcpy(&a->addr.in.sin_port, data[i], 2);
			memcpy(&a->addr.in.sin_addr, data[i] + 2, 4);
			a->info.ai_addrlen = sizeof a->addr.in;
		}
		a->info.ai_family = found[i].family;
		a->info.ai_socktype = type ? type : SOCK_STREAM;
		a->info.ai_protocol = type == SOCK_DGRAM ? IPPROTO_UDP : IPPROTO_TCP;
		a->info.ai_addr = (void *)&a->addr;
		if (!last && name && hints && hints->ai_flags & AI_CANONNAME) a->info.ai_canonname = strdup(name);
		if (last) last->ai_next = &a->info;
		else *res = &a->info;
		last = &a->info;
	}
	return *res ? 0 : EAI_NONAME;
}

void freeaddrinfo(struct addrinfo *a) {
	while (a) {
		struct addrinfo *next = a->ai_next;
		free(a->ai_canonname);
		free(a);
		a = next;
	}
}

// getnameinfo gives numbers: the host tells no names of addresses.
int getnameinfo(const struct sockaddr *a, socklen_t len, char *host, socklen_t hostlen, char *service, socklen_t servlen, int flags) {
	struct addr from;
	uint32_t port;
	if (given(a, len, &from, &port)) return EAI_FAMILY;
	if (host && hostlen) {
		if (flags & NI_NAMEREQD) return EAI_NONAME;
		if (!inet_ntop(a->sa_family, from.data, host, hostlen)) return EAI_OVERFLOW;
	}
	if (service && servlen && snprintf(service, servlen, "%u", (unsigned)port) >= (int)servlen) return EAI_OVERFLOW;
	return 0;
}

const char *gai_strerror(int e) {
	switch (e) {
	case EAI_AGAIN: return "Temporary failure in name resolution";
	case EAI_FAMILY: return "Address family not supported";
	case EAI_SERVICE: return "Service not supported";
	case EAI_MEMORY: return "Memory allocation failure";
	case EAI_OVERFLOW: return "Argument buffer overflow";
	case EAI_NONAME: return "Name or service not known";
	default: return "Name lookup failed";
	}
}

int h_errno;

const char *hstrerror(int e) {
	switch (e) {
	case HOST_NOT_FOUND: return "Unknown host";
	case TRY_AGAIN: return "Host name lookup failure";
	case NO_DATA: return "No address associated with name";
	default: return "Unknown server error";
	}
}

struct hostent *gethostbyname(const char *name) {
	static struct hostent host;
	static char kept[256], *none[1], *list[ROOM + 1];
	static struct in_addr addrs[ROOM];
	struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *res;
	int e = getaddrinfo(name, NULL, &hints, &res), n = 0;
	if (e) {
		h_errno = e == EAI_AGAIN ? TRY_AGAIN : HOST_NOT_FOUND;
		return NULL;
	}
	for (struct addrinfo *a = res; a && n < ROOM; a = a->ai_next, n++) {
		addrs[n] = ((struct sockaddr_in *)a->ai_addr)->sin_addr;
		list[n] = (char *)&addrs[n];
	}
	list[n] = NULL;
	freeaddrinfo(res);
	snprintf(kept, sizeof kept, "%s", name);
	host = (struct hostent){kept, none, AF_INET, 4, list};
	return &host;
}

struct hostent *gethostbyaddr(const void *a, socklen_t len, int family) {
	h_errno = HOST_NOT_FOUND;
	return NULL;
}

// Services and protocols: those that programs ask for by name.
static const struct {
	const char *name;
	int port;
} services[] = {
	{"ftp-data", 20}, {"ftp", 21}, {"ssh", 22}, {"telnet", 23}, {"smtp", 25}, {"domain", 53}, {"http", 80},
	{"pop3", 110}, {"sunrpc", 111}, {"ntp", 123}, {"imap2", 143}, {"imap", 143}, {"snmp", 161}, {"ldap", 389},
	{"https", 443}, {"submissions", 465}, {"submission", 587}, {"ldaps", 636}, {"imaps", 993}, {"pop3s", 995},
	{"mysql", 3306}, {"postgresql", 5432}, {"redis", 6379},
};

static struct servent *service(size_t i, const char *proto) {
	static struct servent s;
	static char *none[1];
	s = (struct servent){(char *)services[i].name, none, htons(services[i].port), (char *)(proto ? proto : "tcp")};
	return &s;
}

static int known(const char *proto) { return !proto || !strcmp(proto, "tcp") || !strcmp(proto, "udp"); }

struct servent *getservbyname(const char *name, const char *proto) {
	for (size_t i = 0; known(proto) && i < sizeof services / sizeof *services; i++) {
		if (!strcmp(services[i].name, name)) return service(i, proto);
	}
	return NULL;
}

struct servent *getservbyport(int port, const char *proto) {
	for (size_t i = 0; known(proto) && i < sizeof services / sizeof *services; i++) {
		if (services[i].port == ntohs(port)) return service(i, proto);
	}
	return NULL;
}

static const struct {
	const char *name;
	int number;
} protocols[] = {{"ip", 0}, {"icmp", 1}, {"tcp", 6}, {"udp", 17}, {"ipv6", 41}, {"ipv6-icmp", 58}};

static struct protoent *protocol(size_t i) {
	static struct protoent p;
	static char *none[1];
	p = (struct protoent){(char *)protocols[i].name, none, protocols[i].number};
	return &p;
}

struct protoent *getprotobyname(const char *name) {
	for (size_t i = 0; i < sizeof protocols / sizeof *protocols; i++) {
		if (!strcmp(protocols[i].name, name)) return protocol(i);
	}
	return NULL;
}

struct protoent *getprotobynumber(int number) {
	for (size_t i = 0; i < sizeof protocols / sizeof *protocols; i++) {
		if (protocols[i].number == number) return protocol(i);
	}
	return NULL;
}
