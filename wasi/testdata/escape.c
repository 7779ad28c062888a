// Tries to get out of /box, which is descriptor 3. /other is 4, /fixed is 5
// and read-only. Every attempt must fail, most as not permitted.
#include <wasi/api.h>

#include "check.h"

enum { WORK = 3, OTHER, FIXED };

static const char *ways_out[] = {
	"..", "../outside/secret", "../outside", "a/../../outside/secret", "a/b/../../../outside/secret", "./../outside/secret",
	"a//..//..//outside/secret", "dirlink/secret", "dirlink/..", "dirlink/", "dirlink/new", "absolute", "relative", "chain",
	"a/up/outside/secret", "a/up/../outside", "procroot/etc/passwd", "procroot/", "/etc/passwd", "/", "//etc", "a/b/far",
	"slashlink/secret", "dotdot/outside/secret", "dotdot/..",
};

static int failures;

static void denied(const char *what, const char *path, __wasi_errno_t e) {
	// ENOTDIR and EEXIST: where the call looks at the link itself.
	if (e == __WASI_ERRNO_PERM || e == __WASI_ERRNO_NOTCAPABLE || e == __WASI_ERRNO_LOOP) return;
	printf("%s %s: %d\n", what, path, e);
	failures++;
}

// islink tells whether the path's last part is a link.
static int islink(const char *p) {
	char name[256];
	strcpy(name, p);
	size_t n = strlen(name);
	while (n > 1 && name[n - 1] == '/') name[--n] = 0;
	__wasi_filestat_t s;
	return __wasi_path_filestat_get(WORK, 0, name, &s) == 0 && s.filetype == __WASI_FILETYPE_SYMBOLIC_LINK;
}

int main(int argc, char **argv) {
	const __wasi_rights_t all = ~0ull;
	__wasi_fd_t fd;
	__wasi_filestat_t st;
	__wasi_size_t n;
	uint8_t b[256];
	for (size_t i = 0; i < sizeof ways_out / sizeof *ways_out; i++) {
		const char *p = ways_out[i];
		int link = islink(p);
		denied("open", p, __wasi_path_open(WORK, 1, p, 0, __WASI_RIGHTS_FD_READ, all, 0, &fd));
		denied("open to write", p, __wasi_path_open(WORK, 1, p, 0, all, all, 0, &fd));
		denied("create", p, __wasi_path_open(WORK, 1, p, __WASI_OFLAGS_CREAT, all, all, 0, &fd));
		denied("truncate", p, __wasi_path_open(WORK, 1, p, __WASI_OFLAGS_TRUNC, all, all, 0, &fd));
		denied("open directory", p, __wasi_path_open(WORK, 1, p, __WASI_OFLAGS_DIRECTORY, all, all, 0, &fd));
		denied("stat", p, __wasi_path_filestat_get(WORK, 1, p, &st));
		denied("times", p, __wasi_path_filestat_set_times(WORK, 1, p, 1, 1, 5));
		if (link && p[strlen(p) - 1] != '/') continue; // what follows is about the link itself
		denied("open itself", p, __wasi_path_open(WORK, 0, p, 0, all, all, 0, &fd));
		denied("lstat", p, __wasi_path_filestat_get(WORK, 0, p, &st));
		denied("times itself", p, __wasi_path_filestat_set_times(WORK, 0, p, 1, 1, 5));
		if (link) continue; // and this, with a slash or without
		if (!strcmp(p + strlen(p) - 2, "..") && strcmp(p, "dirlink/..") && strcmp(p, "dotdot/..")) continue;
		denied("mkdir", p, __wasi_path_create_directory(WORK, p));
		denied("rmdir", p, __wasi_path_remove_directory(WORK, p));
		denied("unlink", p, __wasi_path_unlink_file(WORK, p));
		denied("readlink", p, __wasi_path_readlink(WORK, p, b, sizeof b, &n));
		denied("symlink", p, __wasi_path_symlink("file", WORK, p));
		denied("rename to", p, __wasi_path_rename(WORK, "file", WORK, p));
		denied("rename from", p, __wasi_path_rename(WORK, p, WORK, "got"));
		denied("link to", p, __wasi_path_link(WORK, 0, "file", WORK, p));
		denied("link from", p, __wasi_path_link(WORK, 0, p, WORK, "got"));
	}

	// Links that would lead out are not made.
	const char *targets[] = {"/etc/passwd", "..", "../outside", "a/../../outside", "a/b/../../../x"};
	for (int i = 0; i < 5; i++) denied("make link to", targets[i], __wasi_path_symlink(targets[i], WORK, "fresh"));
	denied("make deep link", "", __wasi_path_symlink("../../../x", WORK, "a/b/fresh"));
	MUST(__wasi_path_symlink("../../file", WORK, "a/b/good") == 0);
	MUST(__wasi_path_open(WORK, 1, "a/b/good", 0, __WASI_RIGHTS_FD_READ, all, 0, &fd) == 0);

	// A file is no directory, and what is not open is not open.
	printf("in a file: %d\n", __wasi_path_open(fd, 1, "x", 0, all, all, 0, &fd));
	for (unsigned f = fd + 1; f < 3000; f++) MUST(__wasi_fd_filestat_get(f, &st) == __WASI_ERRNO_BADF);
	unsigned wild[] = {0x7fffffff, 0x80000000, 0xffffffff, 65536};
	for (int i = 0; i < 4; i++) {
		MUST(__wasi_fd_close(wild[i]) == __WASI_ERRNO_BADF);
		MUST(__wasi_path_open(wild[i], 1, "file", 0, all, all, 0, &fd) == __WASI_ERRNO_BADF);
		MUST(__wasi_fd_renumber(3, wild[i]) == __WASI_ERRNO_BADF);
	}

	// A directory that is handed on keeps what is above it out of reach.
	__wasi_fd_t sub;
	MUST(__wasi_path_open(WORK, 1, "a", __WASI_OFLAGS_DIRECTORY, all, all, 0, &sub) == 0);
	printf("above a subdirectory: %d\n", __wasi_path_open(sub, 1, "../file", 0, __WASI_RIGHTS_FD_READ, all, 0, &fd));
	denied("through a link above", "up/file", __wasi_path_open(sub, 1, "up/file", 0, __WASI_RIGHTS_FD_READ, all, 0, &fd));

	// Grants are apart.
	printf("rename to another grant: %d\n", __wasi_path_rename(WORK, "file", OTHER, "file"));
	printf("link to another grant: %d\n", __wasi_path_link(WORK, 0, "file", OTHER, "file"));
	printf("rename to a read-only one: %d\n", __wasi_path_rename(WORK, "file", FIXED, "file"));
	printf("rename from a read-only one: %d\n", __wasi_path_rename(FIXED, "file", WORK, "got"));
	printf("link from a read-only one: %d\n", __wasi_path_link(FIXED, 0, "file", WORK, "got"));

	// What blocks or acts when opened is not opened.
	const char *odd[] = {"fifo", "socket", "fifolink", "device"};
	for (int i = 0; i < 4; i++) {
		printf("%s: %d, to write: %d\n", odd[i], __wasi_path_open(WORK, 1, odd[i], 0, __WASI_RIGHTS_FD_READ, all, 0, &fd),
			__wasi_path_open(WORK, 1, odd[i], 0, all, all, 0, &fd));
	}
	printf("a second name for a pipe: %d\n", __wasi_path_link(WORK, 0, "fifo", WORK, "pipe"));

	// A right that was given up does not come back.
	MUST(__wasi_path_open(WORK, 1, "a", __WASI_OFLAGS_DIRECTORY, all, all, 0, &sub) == 0);
	__wasi_fdstat_t fs;
	MUST(__wasi_fd_fdstat_get(sub, &fs) == 0);
	MUST(__wasi_fd_fdstat_set_rights(sub, fs.fs_rights_base & ~__WASI_RIGHTS_PATH_UNLINK_FILE,
		fs.fs_rights_inheriting & ~__WASI_RIGHTS_FD_WRITE) == 0);
	printf("a right given up: %d\n", __wasi_path_unlink_file(sub, "x"));
	printf("and taken back: %d\n", __wasi_fd_fdstat_set_rights(sub, fs.fs_rights_base, fs.fs_rights_inheriting));
	printf("writing under it: %d\n", __wasi_path_open(sub, 1, "x", __WASI_OFLAGS_CREAT, all, all, 0, &fd));

	printf("failures: %d\n", failures);
	return failures > 0;
}
