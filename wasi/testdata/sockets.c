// Sockets as WasmEdge has them, in both forms. argv: what to do, then
// addresses and ports.
#include "check.h"
#include "wasmedge.h"

static uint8_t ip[16];
static addr_t addr = {ip, 4};

static void parse(const char *s) {
	unsigned a, b, c, d;
	addr.len = 4;
	if (sscanf(s, "%u.%u.%u.%u", &a, &b, &c, &d) == 4) {
		ip[0] = a, ip[1] = b, ip[2] = c, ip[3] = d;
		return;
	}
	MUST(!strcmp(s, "::1"));
	memset(ip, 0, 16);
	ip[15] = 1;
	addr.len = 16;
}

static int wait_for(int fd, int events, int ms) {
	struct pollfd p = {fd, events, 0};
	int n = poll(&p, 1, ms);
	return n <= 0 ? n : p.revents;
}

static int client(const char *host, int port) {
	int fd, e;
	uint32_t n, oflags;
	char b[64] = {0};
	parse(host);
	MUST(sock_open(addr.len == 4 ? INET4 : INET6, STREAM, &fd) == 0);
	vec_t v = {b, sizeof b};
	W(sock_recv(fd, &v, 1, 0, &n, &oflags));
	if ((e = sock_connect(fd, &addr, port))) {
		printf("connect: %s\n", wname(e));
		close(fd);
		return 0;
	}
	vec_t hello[2] = {{"hel", 3}, {"lo\n", 3}};
	MUST(sock_send(fd, hello, 2, 0, &n) == 0 && n == 6);
	MUST(wait_for(fd, POLLIN, 5000) & POLLIN);
	v.len = 2;
	MUST(sock_recv(fd, &v, 1, 1, &n, &oflags) == 0 && n == 2); // a look
	v.len = 6;
	MUST(sock_recv(fd, &v, 1, 2, &n, &oflags) == 0 && n == 6); // all of it
	printf("got %s", b);
	MUST(write(fd, "second\n", 7) == 7);
	char line[8] = {0};
	for (int at = 0; at < 7;) {
		ssize_t r = read(fd, line + at, 7 - at);
		MUST(r > 0);
		at += r;
	}
	printf("got %s", line);
	uint32_t type = 0, p = 0, size = 4, value = 77;
	uint8_t who[16];
	addr_t name = {who, 16};
	MUST(sock_getpeeraddr(fd, &name, &type, &p) == 0);
	printf("peer is the server: %d %d %d\n", type == (addr.len == 4 ? 4 : 6), (int)p == port, !memcmp(who, ip, addr.len));
	MUST(sock_getlocaladdr(fd, &name, &type, &p) == 0 && p != 0);
	uint8_t wide[128] = {0};
	addr_t v2 = {wide, 128};
	MUST(sock_getpeeraddr_v2(fd, &v2, &p) == 0);
	printf("second form: %d %d %d\n", wide[0] == (addr.len == 4 ? INET4 : INET6), (int)p == port, !memcmp(wide + 2, ip, addr.len));
	MUST(sock_getsockopt(fd, 0, 1, &value, &size) == 0 && value == STREAM && size == 4);
	MUST(sock_getsockopt(fd, 0, 2, &value, &size) == 0 && value == 0);
	value = 1;
	MUST(sock_setsockopt(fd, 0, 7, &value, 4) == 0);
	value = 0;
	MUST(sock_getsockopt(fd, 0, 7, &value, &size) == 0 && value == 1);
	W(sock_setsockopt(fd, 0, 14, "eth0", 4));
	int64_t tv[2] = {0, 20000};
	MUST(sock_setsockopt(fd, 0, 11, tv, 16) == 0);
	W(sock_recv(fd, &v, 1, 0, &n, &oflags)); // nothing comes: the timeout
	int fl = fcntl(fd, F_GETFL);
	MUST(fcntl(fd, F_SETFL, fl | O_NONBLOCK) == 0);
	T(read(fd, b, 1));
	T(wait_for(fd, POLLIN, 10));
	T(wait_for(fd, POLLOUT, 1000) & POLLOUT);
	MUST(fcntl(fd, F_SETFL, fl) == 0);
	T(lseek(fd, 0, SEEK_CUR));
	W(sock_shutdown(fd, 0));
	MUST(sock_shutdown(fd, 2) == 0); // the server ends then too
	struct pollfd pf = {fd, POLLIN, 0};
	T(poll(&pf, 1, 5000));
	T(read(fd, b, 1));
	struct stat st;
	T(fstat(fd, &st));
	MUST(close(fd) == 0);
	return 0;
}

// server takes one connection on its port 80 and sends back what comes.
static int server(void) {
	int fd, conn;
	memset(ip, 0, 4);
	MUST(sock_open(INET4, STREAM, &fd) == 0);
	W(sock_listen(fd, 5));
	W(sock_bind(fd, &addr, 81));
	MUST(sock_bind(fd, &addr, 80) == 0);
	W(sock_bind(fd, &addr, 80));
	MUST(sock_listen(fd, 5) == 0);
	uint32_t type, port;
	uint8_t who[16];
	addr_t name = {who, 16};
	MUST(sock_getlocaladdr(fd, &name, &type, &port) == 0);
	printf("local port %u\n", port);
	MUST(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
	W(sock_accept(fd, 0, &conn));
	puts("ready");
	fflush(stdout);
	MUST(wait_for(fd, POLLIN, 10000) & POLLIN);
	MUST(sock_accept_v2(fd, 0, &conn) == 0);
	MUST(sock_getpeeraddr(conn, &name, &type, &port) == 0 && who[0] == 127);
	MUST(sock_getlocaladdr(conn, &name, &type, &port) == 0);
	printf("of the connection %u\n", port);
	char b[16];
	ssize_t n;
	while ((n = read(conn, b, sizeof b)) > 0) MUST(write(conn, b, n) == n);
	MUST(n == 0);
	puts("ended");
	return 0;
}

static int udp(const char *host, int port) {
	int fd;
	uint32_t n, oflags, from;
	char b[64] = {0};
	parse(host);
	MUST(sock_open(INET4, DGRAM, &fd) == 0);
	vec_t parts[2] = {{"ping", 4}, {"pong", 4}};
	W(sock_send(fd, parts, 2, 0, &n));
	MUST(sock_send_to(fd, parts, 2, &addr, port, 0, &n) == 0 && n == 8);
	W(sock_send_to(fd, parts, 2, &addr, port + 1, 0, &n));
	uint8_t wide[128];
	addr_t who = {wide, 128};
	vec_t v = {b, 4};
	MUST(sock_recv_from(fd, &v, 1, &who, 0, &from, &n, &oflags) == 0);
	printf("got %.*s of one cut off: %u, from the server: %d %d\n", (int)n, b, oflags & 0xffff, (int)from == port, !memcmp(wide + 2, ip, 4));
	MUST(sock_connect(fd, &addr, port) == 0);
	MUST(sock_send(fd, parts, 1, 0, &n) == 0 && n == 4);
	vec_t two[2] = {{b, 2}, {b + 10, 10}};
	MUST(sock_recv(fd, two, 2, 0, &n, &oflags) == 0);
	printf("got %u: %.2s %.2s\n", n, b, b + 10);
	return 0;
}

// udpserver answers one datagram on its port 53.
static int udpserver(void) {
	int fd;
	uint32_t n, oflags, port;
	char b[64];
	uint8_t wide[128];
	addr_t who = {wide, 128};
	vec_t v = {b, sizeof b};
	memset(ip, 0, 4);
	MUST(sock_open(INET4, DGRAM, &fd) == 0);
	MUST(sock_bind(fd, &addr, 53) == 0);
	ip[0] = 127, ip[3] = 1;
	vec_t s = {"unasked", 7};
	W(sock_send_to(fd, &s, 1, &addr, 9, 0, &n));
	puts("ready");
	fflush(stdout);
	MUST(sock_recv_from(fd, &v, 1, &who, 0, &port, &n, &oflags) == 0);
	v.len = n;
	MUST(sock_send_to(fd, &v, 1, &who, port, 0, &n) == 0);
	return 0;
}

static int lookup(int n, char **names) {
	for (int i = 0; i < n; i++) {
		info_t hints = {.type = STREAM}, res[4] = {{0}}, *first = res;
		sa_t sa[4];
		uint8_t data[4][26];
		uint32_t count = 0;
		for (int j = 0; j < 4; j++) {
			sa[j] = (sa_t){0, 26, data[j]};
			res[j].addr = &sa[j];
			res[j].next = j < 3 ? &res[j + 1] : 0;
		}
		int e = sock_getaddrinfo(names[i], strlen(names[i]) + 1, "5432", 5, &hints, &first, 4, &count);
		printf("%s: %s", names[i], wname(e));
		for (uint32_t j = 0; !e && j < count; j++) {
			uint8_t *d = sa[j].data;
			if (res[j].family == INET4) printf(" %d.%d.%d.%d", d[2], d[3], d[4], d[5]);
			else printf(" six ending in %d", d[21]);
			printf(":%d", d[0] << 8 | d[1]);
		}
		puts("");
	}
	return 0;
}

// hang waits for what does not come, as told.
static int hang(const char *how, const char *host, int port) {
	int fd, conn;
	uint32_t n, oflags;
	char b[1];
	vec_t v = {b, 1};
	if (!strcmp(how, "accept") || !strcmp(how, "pollaccept")) {
		memset(ip, 0, 4);
		MUST(sock_open(INET4, STREAM, &fd) == 0 && sock_bind(fd, &addr, 80) == 0 && sock_listen(fd, 1) == 0);
		if (how[0] == 'p') wait_for(fd, POLLIN, -1);
		else sock_accept(fd, 0, &conn);
	} else {
		parse(host);
		MUST(sock_open(INET4, STREAM, &fd) == 0 && sock_connect(fd, &addr, port) == 0);
		if (!strcmp(how, "recv")) sock_recv(fd, &v, 1, 0, &n, &oflags);
		if (!strcmp(how, "poll")) {
			struct pollfd p[3] = {{fd, POLLIN, 0}, {fd, POLLIN, 0}, {0, POLLIN, 0}};
			poll(p, 3, -1);
		}
		static char big[1 << 20];
		if (!strcmp(how, "send")) for (;;) MUST(write(fd, big, sizeof big) > 0);
	}
	puts("went on");
	return 0;
}

static int other(void) {
	int fd;
	uint32_t n;
	vec_t v = {"x", 1};
	W(sock_open(7, STREAM, &fd));
	W(sock_open(INET4, 9, &fd));
	W(sock_send(1, &v, 1, 0, &n));
	W(sock_listen(99, 1));
	MUST(sock_open(INET6, STREAM, &fd) == 0);
	addr_t odd = {ip, 5};
	W(sock_connect(fd, &odd, 80));
	addr_t wild = {(uint8_t *)0x7fffffff, 4};
	wild.len = 4;
	printf("%d\n", sock_connect(fd, &wild, 80));
	W(sock_connect(fd, &addr, 70000));
	struct stat st;
	T(fstat(fd, &st));
	T(ftruncate(fd, 0));
	MUST(close(fd) == 0);
	W(sock_listen(fd, 1));
	return 0;
}

int main(int argc, char **argv) {
	setvbuf(stdout, 0, _IOLBF, 0);
	const char *what = argv[1];
	if (!strcmp(what, "client")) return client(argv[2], atoi(argv[3]));
	if (!strcmp(what, "server")) return server();
	if (!strcmp(what, "udp")) return udp(argv[2], atoi(argv[3]));
	if (!strcmp(what, "udpserver")) return udpserver();
	if (!strcmp(what, "lookup")) return lookup(argc - 2, argv + 2);
	if (!strcmp(what, "hang")) return hang(argv[2], argv[3], atoi(argv[4]));
	if (!strcmp(what, "other")) return other();
	return 9;
}
