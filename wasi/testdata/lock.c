// File locks: "try" tells what an attempt on file gives, "wait" waits for it,
// "count" adds 1 to the number in file 200 times.
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

__attribute__((import_module("hako_file_v1"), import_name("lock"))) int32_t lock(int32_t fd, int32_t operation);

int main(int argc, char **argv) {
	int fd = open(argv[2], O_RDWR);
	if (fd < 0) fd = open(argv[2], O_RDONLY);
	if (!strcmp(argv[1], "try")) printf("%s %s %s\n", strerror(lock(fd, 2 | 4)), strerror(lock(fd, 1 | 4)), strerror(lock(fd, 8)));
	else if (!strcmp(argv[1], "wait")) printf("%d %d\n", lock(fd, 2), lock(fd, 8));
	else if (!strcmp(argv[1], "wrong")) printf("%d %d %d\n", lock(fd, 3) == EINVAL, lock(99, 1) == EBADF, lock(fd, 4) == EINVAL);
	else
		for (int i = 0; i < 200; i++) {
			char number[16] = {0};
			if (lock(fd, 2) || pread(fd, number, 15, 0) < 0) return 1;
			int n = snprintf(number, sizeof number, "%d", atoi(number) + 1);
			if (pwrite(fd, number, n, 0) != n || lock(fd, 8)) return 1;
		}
	return 0;
}
