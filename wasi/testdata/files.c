// Regular files: every way to open, read, write, seek and cut them.
#include "check.h"

int main(int argc, char **argv) {
	MUST(argc == 2 && chdir(argv[1]) == 0);
	char b[64] = {0};

	E(open("none", O_RDONLY));
	E(open("none/x", O_RDONLY | O_CREAT, 0666));
	put("f", "0123456789");
	E(open("f", O_RDONLY | O_CREAT | O_EXCL, 0666));
	E(open("f/", O_RDONLY));
	E(open("f/x", O_RDONLY));
	E(open("f", O_RDONLY | O_DIRECTORY));
	E(open("new/", O_WRONLY | O_CREAT, 0666));

	int fd = open("f", O_RDONLY);
	T(read(fd, b, 4));
	T(lseek(fd, 0, SEEK_CUR));
	T(lseek(fd, -3, SEEK_END));
	T(read(fd, b, 10));
	T(read(fd, b, 10));
	T(lseek(fd, -1, SEEK_SET));
	T(lseek(fd, 100, SEEK_SET));
	T(read(fd, b, 1));
	T(lseek(fd, LLONG_MAX, SEEK_CUR));
	T(pread(fd, b, 3, 5));
	printf("%.3s\n", b);
	T(pread(fd, b, 3, 50));
	T(pread(fd, b, 3, -1));
	T(lseek(fd, 0, SEEK_CUR));
	T(write(fd, "x", 1));
	T(pwrite(fd, "x", 1, 0));
	T(ftruncate(fd, 0));
	E(fsync(fd));
	E(fdatasync(fd));
	T((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY);
	T(close(fd));
	T(close(fd));
	T(read(fd, b, 1));
	T(read(-1, b, 1));
	T(read(1 << 30, b, 1));

	fd = open("f", O_WRONLY);
	T(read(fd, b, 1));
	T(pread(fd, b, 1, 0));
	T(write(fd, "ab", 2));
	T(pwrite(fd, "YZ", 2, 8));
	T(lseek(fd, 0, SEEK_CUR));
	struct iovec v[3] = {{"<", 1}, {"", 0}, {"mid>", 4}};
	T(writev(fd, v, 3));
	T(lseek(fd, 4, SEEK_END));
	T(write(fd, "far", 3));
	T(close(fd));
	fd = open("f", O_RDONLY);
	T(read(fd, b, sizeof b));
	MUST(memcmp(b, "ab<mid>7YZ\0\0\0\0far", 17) == 0);
	lseek(fd, 0, SEEK_SET);
	char c[3], d[4];
	struct iovec r[3] = {{c, 3}, {b, 0}, {d, 4}};
	T(readv(fd, r, 3));
	printf("%.3s|%.4s\n", c, d);
	close(fd);

	fd = open("f", O_RDWR | O_TRUNC);
	T(lseek(fd, 0, SEEK_END));
	T(ftruncate(fd, 5));
	T(lseek(fd, 0, SEEK_END));
	T(ftruncate(fd, -1));
	T(posix_fallocate(fd, 0, 20));
	T(lseek(fd, 0, SEEK_END));
	T(posix_fallocate(fd, 0, 10));
	T(lseek(fd, 0, SEEK_END));
	T(posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL));
	close(fd);

	put("log", "one\n");
	fd = open("log", O_WRONLY | O_APPEND);
	int other = open("log", O_WRONLY | O_APPEND);
	T(lseek(fd, 0, SEEK_CUR));
	T(write(fd, "two\n", 4));
	T(write(other, "three\n", 6));
	T(write(fd, "four\n", 5));
	T(lseek(fd, 0, SEEK_CUR));
	T(lseek(fd, 0, SEEK_SET));
	T(write(fd, "five\n", 5));
	T((fcntl(fd, F_GETFL) & O_APPEND) != 0);
	T(fcntl(fd, F_SETFL, 0));
	T(lseek(fd, 0, SEEK_SET));
	T(write(fd, "ONE", 3));
	T(fcntl(fd, F_SETFL, O_APPEND));
	T(write(fd, "six\n", 4));
	close(fd);
	close(other);
	show("log");

	fd = open("excl", O_RDWR | O_CREAT | O_EXCL, 0666);
	T(write(fd, "hello", 5));
	T(unlink("excl"));
	T(lseek(fd, 0, SEEK_SET));
	T(read(fd, b, 5));
	struct stat st;
	T(fstat(fd, &st));
	T(st.st_nlink);
	T(st.st_size);
	close(fd);

	FILE *f = fopen("stdio", "w+");
	for (int i = 0; i < 10000; i++) fprintf(f, "%d\n", i);
	rewind(f);
	long sum = 0, n;
	while (fscanf(f, "%ld", &n) == 1) sum += n;
	printf("sum %ld at %ld\n", sum, ftell(f));
	T(fseek(f, -5, SEEK_END));
	T(fgetc(f));
	fclose(f);
	f = fopen("stdio", "a");
	fputs("end\n", f);
	fclose(f);
	T(stat("stdio", &st));
	T(st.st_size);
	T(S_ISREG(st.st_mode));
	T(access("stdio", F_OK));
	T(access("none", F_OK));
	T(remove("stdio"));
	T(unlink("f"));
	T(unlink("f"));
	T(unlink("log"));

	// As many as there may be, and no harm done.
	char big[300];
	memset(big, 'n', sizeof big - 1);
	big[sizeof big - 1] = 0;
	E(open(big, O_WRONLY | O_CREAT, 0666));
	puts("done");
	return 0;
}
