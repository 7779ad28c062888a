// Uses /box/x again and again, which the host makes by turns a directory and
// a link that leads out, until it has met both often. Nothing of what is outside must be seen or changed.
#include <wasi/api.h>

#include "check.h"

int main(int argc, char **argv) {
	int often = atoi(argv[1]), in = 0, denied = 0, other = 0;
	for (int i = 0; in < often || denied < often; i++) {
		MUST(i < 10000000);
		__wasi_fd_t fd;
		__wasi_filestat_t st;
		const __wasi_rights_t all = ~0ull;
		char b[16] = {0};
		__wasi_errno_t e = __wasi_path_open(3, 1, i % 2 ? "x/secret" : "x/../x/./secret", 0, __WASI_RIGHTS_FD_READ, all, 0, &fd);
		if (e == 0) {
			MUST(read(fd, b, 15) > 0);
			MUST(strcmp(b, "inside") == 0);
			in++;
			close(fd);
		} else if (e == __WASI_ERRNO_PERM) denied++;
		else other++;
		if (__wasi_path_filestat_get(3, 1, "x/secret", &st) == 0) MUST(st.size == 6);
		if (__wasi_path_open(3, 1, "x/made", __WASI_OFLAGS_CREAT, all, all, 0, &fd) == 0) close(fd);
		if (__wasi_path_open(3, 1, "x", __WASI_OFLAGS_DIRECTORY, all, all, 0, &fd) == 0) {
			__wasi_fd_t f;
			if (__wasi_path_open(fd, 1, "secret", 0, __WASI_RIGHTS_FD_READ, all, 0, &f) == 0) {
				memset(b, 0, sizeof b);
				MUST(read(f, b, 15) > 0);
				MUST(strcmp(b, "inside") == 0);
				close(f);
			}
			close(fd);
		}
		__wasi_path_create_directory(3, "x/dir");
		__wasi_path_rename(3, "x/dir", 3, "x/dir2");
		__wasi_path_remove_directory(3, "x/dir2");
		__wasi_path_unlink_file(3, "x/made");
		__wasi_path_filestat_set_times(3, 1, "x/secret", 1, 1, 5);
	}
	printf("in %d, denied %d, other %d\n", in, denied, other);
	return 0;
}
