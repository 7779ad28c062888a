// Opens files until it is told that there are too many, and leaves them open.
#include "check.h"

int main(int argc, char **argv) {
	MUST(chdir(argv[1]) == 0);
	put("f", "x");
	int n = 0;
	while (open("f", O_RDONLY) >= 0) n++;
	MUST(errno == EMFILE && n == 16);
	MUST(open("made", O_WRONLY | O_CREAT, 0666) < 0 && errno == EMFILE);
	struct stat st;
	MUST(stat("made", &st) < 0 && errno == ENOENT); // not made in vain
	MUST(close(7) == 0);
	MUST(open("f", O_RDONLY) == 7); // the lowest that is free
	return 0;
}
