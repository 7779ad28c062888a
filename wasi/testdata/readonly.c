// Every way to change something in /fixed, which is read-only.
#include "check.h"

int main(int argc, char **argv) {
	MUST(chdir("/fixed") == 0);
	struct stat before, after;
	MUST(stat("file", &before) == 0);
	show("file");
	show("d/inner");
	E(open("file", O_WRONLY));
	E(open("file", O_RDWR));
	E(open("file", O_RDONLY | O_TRUNC));
	E(open("file", O_WRONLY | O_APPEND));
	E(open("new", O_WRONLY | O_CREAT, 0666));
	E(open("new", O_RDONLY | O_CREAT, 0666));
	E(open("none/new", O_WRONLY | O_CREAT, 0666));
	E(open("file", O_RDONLY | O_CREAT, 0666));
	E(open("file", O_RDONLY | O_CREAT | O_EXCL, 0666));
	E(open("none", O_WRONLY));
	E(open("link", O_WRONLY));
	E(open("d", O_WRONLY));
	T(mkdir("new", 0777));
	T(rmdir("d"));
	T(unlink("file"));
	T(rename("file", "new"));
	T(rename("file", "/box/new"));
	T(rename("/box/mine", "new"));
	T(link("file", "new"));
	T(link("file", "/box/new"));
	T(link("/box/mine", "new"));
	T(symlink("file", "new"));
	T(utimensat(AT_FDCWD, "file", 0, 0));
	T(utimensat(AT_FDCWD, "link", 0, AT_SYMLINK_NOFOLLOW));
	int fd = open("file", O_RDONLY);
	T(write(fd, "x", 1));
	T(ftruncate(fd, 0));
	T(futimens(fd, 0));
	T(posix_fallocate(fd, 0, 100) != 0);
	T(fsync(fd));
	int dir = open("d", O_RDONLY | O_DIRECTORY);
	E(openat(dir, "inner", O_WRONLY));
	E(openat(dir, "new", O_WRONLY | O_CREAT, 0666));
	T(mkdirat(dir, "new", 0777));
	T(unlinkat(dir, "inner", 0));
	T(renameat(dir, "inner", dir, "other"));
	T(futimens(dir, 0));
	MUST(stat("file", &after) == 0);
	MUST(after.st_mtim.tv_nsec == before.st_mtim.tv_nsec && after.st_size == before.st_size);
	// A writable grant within it.
	put("/fixed/up/new", "mine");
	show("/fixed/up/new");
	show("/fixed/up/../file");
	return 0;
}
