// Directories: making, listing, moving and removing.
#include "check.h"

static int byname(const void *a, const void *b) { return strcmp(*(char **)a, *(char **)b); }

static void list(const char *path) {
	DIR *d = opendir(path);
	if (!d) { printf("list %s: %s\n", path, ename(errno)); return; }
	char *names[2000];
	int n = 0;
	for (struct dirent *e; (e = readdir(d));) {
		struct stat st;
		char at[512];
		snprintf(at, sizeof at, "%s/%s", path, e->d_name);
		if (strcmp(e->d_name, "..")) {
			MUST(lstat(at, &st) == 0);
			MUST(e->d_ino == st.st_ino);
			MUST(e->d_type == DT_UNKNOWN || (e->d_type == DT_DIR) == !!S_ISDIR(st.st_mode));
		}
		names[n++] = strdup(e->d_name);
	}
	MUST(closedir(d) == 0);
	qsort(names, n, sizeof *names, byname);
	printf("%s:", path);
	for (int i = 0; i < n && i < 20; i++) printf(" %s", names[i]);
	printf(" (%d)\n", n);
}

int main(int argc, char **argv) {
	MUST(argc == 2 && chdir(argv[1]) == 0);
	struct stat st, st2;
	T(mkdir("d", 0777));
	T(mkdir("d", 0777));
	T(mkdir("d/", 0777));
	T(mkdir("d/e/", 0777));
	T(mkdir("d/e/f", 0777));
	T(mkdir("x/y", 0777));
	T(mkdir(".", 0777));
	put("d/file", "x");
	T(mkdir("d/file", 0777));
	T(mkdir("d/file/x", 0777));
	list(".");
	list("d");
	list("d/e/f");
	list("d/file");
	list("none");
	T(rmdir("d"));
	T(rmdir("d/file"));
	T(rmdir("none"));
	T(rmdir("d/e/f/."));
	E(unlink("d/e"));
	T(unlink("d/file/"));
	E(open("d", O_WRONLY));
	E(open("d", O_RDWR));
	E(open("d", O_RDONLY | O_CREAT, 0666));
	int fd = open("d", O_RDONLY);
	char b[1];
	T(read(fd, b, 1));
	T(fstat(fd, &st));
	T(S_ISDIR(st.st_mode));
	T(fsync(fd));
	T(openat(fd, "file", O_RDONLY) > 0);
	T(fstatat(fd, "e/f", &st, 0));
	T(mkdirat(fd, "via", 0777));
	T(renameat(fd, "via", AT_FDCWD, "moved"));
	T(unlinkat(fd, "file", AT_REMOVEDIR));
	T(unlinkat(fd, "e", 0) < 0);
	T(fstatat(fd, "e/../file", &st, 0));
	close(fd);
	T(stat("moved", &st));
	T(stat("./moved/.", &st2));
	T(st.st_ino == st2.st_ino && st.st_dev == st2.st_dev);
	T(stat("d/e/../../moved", &st2));
	T(st.st_ino == st2.st_ino);

	// Renaming.
	put("a", "A");
	put("b", "B");
	T(rename("a", "b"));
	show("b");
	show("a");
	T(rename("none", "b"));
	T(rename("b", "b"));
	T(rename("b", "moved"));
	T(rename("moved", "b"));
	T(mkdir("empty", 0777));
	T(rename("moved", "empty"));
	T(mkdir("full", 0777));
	put("full/x", "x");
	E(rename("empty", "full"));
	T(rename("full", "full/sub"));
	T(rename("b", "c/"));
	T(rename("full/", "empty/"));
	T(rename("b", "empty/b"));
	list("empty");
	T(rename("empty/b", "none/b"));
	T(link("empty/b", "hard"));
	T(rename("hard", "empty/b"));
	T(stat("hard", &st));
	T(st.st_nlink);

	// As a program that replaces a file does it.
	put("conf", "old");
	put("conf.tmp", "new");
	fd = open("conf", O_RDONLY);
	T(rename("conf.tmp", "conf"));
	char text[4] = {0};
	T(read(fd, text, 3));
	puts(text);
	close(fd);
	show("conf");

	// A listing while names come and go.
	T(mkdir("many", 0777));
	char name[64];
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof name, "many/%s-%d", i % 2 ? "a-rather-long-name-to-fill-the-buffer" : "n", i);
		put(name, "");
	}
	list("many");
	DIR *d = opendir("many");
	int seen[1000] = {0}, count = 0, stop = 0;
	for (struct dirent *e; (e = readdir(d));) {
		if (e->d_name[0] == '.' || e->d_name[0] == 'z') continue;
		int i = atoi(strrchr(e->d_name, '-') + 1);
		MUST(!seen[i]);
		seen[i] = 1;
		count++;
		snprintf(name, sizeof name, "many/%s", e->d_name);
		MUST(unlink(name) == 0);
		if (stop++ < 50) {
			snprintf(name, sizeof name, "many/z%d", i);
			put(name, "");
		}
	}
	printf("removed while listing: %d\n", count);
	rewinddir(d);
	count = 0;
	for (struct dirent *e; (e = readdir(d));) count++;
	printf("left: %d\n", count);
	rewinddir(d);
	for (int i = 0; i < 10; i++) MUST(readdir(d));
	long at = telldir(d);
	struct dirent *e = readdir(d);
	char after[256];
	strcpy(after, e->d_name);
	for (int i = 0; i < 20; i++) MUST(readdir(d));
	seekdir(d, at);
	e = readdir(d);
	MUST(e && strcmp(after, e->d_name) == 0);
	closedir(d);
	puts("done");
	return 0;
}
