// The functions whose types WasmEdge has changed, as its first releases had
// them.
#define FIRST
#include "check.h"
#include "wasmedge.h"

int main(int argc, char **argv) {
	int fd, conn;
	uint8_t ip[4] = {0};
	addr_t addr = {ip, 4};
	MUST(sock_open(INET4, STREAM, &fd) == 0);
	MUST(sock_bind(fd, &addr, 80) == 0);
	MUST(sock_listen(fd, 5) == 0);
	puts("ready");
	fflush(stdout);
	MUST(sock_accept(fd, &conn) == 0);
	char b[32] = {0};
	vec_t v = {b, sizeof b};
	uint32_t n, oflags;
	MUST(sock_recv_from(conn, &v, 1, &addr, 0, &n, &oflags) == 0);
	printf("got %.*s from %d\n", (int)n, b, ip[0]);
	return 0;
}
