// Times of files, to the nanosecond.
#include "check.h"

static void print(const char *path) {
	struct stat st;
	MUST(lstat(path, &st) == 0);
	time_t now = time(0);
	for (int i = 0; i < 2; i++) {
		struct timespec t = i ? st.st_mtim : st.st_atim;
		if (t.tv_sec > now - 60) printf("%s: now\n", path);
		else printf("%s: %lld.%09ld\n", path, (long long)t.tv_sec, (long)t.tv_nsec);
	}
	MUST(st.st_ctim.tv_sec > now - 60);
}

int main(int argc, char **argv) {
	MUST(argc == 2 && chdir(argv[1]) == 0);
	put("f", "x");
	print("f");
	struct timespec t[2] = {{1000000000, 123456789}, {1500000000, 987654321}};
	T(utimensat(AT_FDCWD, "f", t, 0));
	print("f");
	t[0].tv_nsec = UTIME_OMIT;
	t[1].tv_sec = 5;
	T(utimensat(AT_FDCWD, "f", t, 0));
	print("f");
	t[1].tv_nsec = UTIME_NOW;
	T(utimensat(AT_FDCWD, "f", t, 0));
	print("f");
	t[0] = (struct timespec){7, 8};
	t[1] = (struct timespec){9, 10};
	int fd = open("f", O_RDWR);
	T(futimens(fd, t));
	print("f");
	t[0].tv_nsec = t[1].tv_nsec = UTIME_OMIT;
	T(futimens(fd, t));
	print("f");
	T(futimens(fd, 0));
	print("f");
	close(fd);
	t[0] = (struct timespec){70, 80};
	t[1] = (struct timespec){90, 100};
	MUST(symlink("f", "l") == 0);
	T(utimensat(AT_FDCWD, "l", t, AT_SYMLINK_NOFOLLOW));
	print("l");
	print("f");
	T(utimensat(AT_FDCWD, "l", t, 0));
	print("f");
	MUST(mkdir("d", 0777) == 0);
	T(utimensat(AT_FDCWD, "d", t, 0));
	print("d");
	t[0].tv_nsec = 1000000000;
	T(utimensat(AT_FDCWD, "f", t, 0));
	T(utimensat(AT_FDCWD, "none", 0, 0));
	T(utimensat(AT_FDCWD, "f/", 0, 0));

	struct stat a, b;
	MUST(stat("f", &a) == 0);
	put("f", "changed");
	MUST(stat("f", &b) == 0);
	T(b.st_mtim.tv_sec > a.st_mtim.tv_sec);
	puts("done");
	return 0;
}
