// A guest that does what its arguments say, one after the other.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

static void show(const char *path) {
  FILE *f = fopen(path, "r");
  if (!f) {
    printf("%s: %s\n", path, strerror(errno));
    return;
  }
  char b[4096];
  size_t n = fread(b, 1, sizeof b, f);
  printf("%s: %.*s\n", path, (int)n, b);
  fclose(f);
}

static void change(const char *path) {
  FILE *f = fopen(path, "w");
  if (!f || fputs("changed", f) < 0 || fclose(f) != 0)
    printf("%s: %s\n", path, strerror(errno));
  else
    printf("%s: written\n", path);
}

static int recurse(volatile int n) { return recurse(n + 1) + n; }

int main(int argc, char **argv) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (int i = 1; i < argc; i++) {
    const char *a = argv[i], *b = i + 1 < argc ? argv[i + 1] : "";
    if (!strcmp(a, "args")) {
      for (int j = 0; j < argc; j++) printf("[%s]", argv[j]);
      puts("");
      return 0;
    } else if (!strcmp(a, "env")) {
      for (char **e = environ; *e; e++) puts(*e);
    } else if (!strcmp(a, "exit")) {
      return atoi(b);
    } else if (!strcmp(a, "cat")) {
      char line[256];
      while (fgets(line, sizeof line, stdin)) printf("got %s", line);
    } else if (!strcmp(a, "show")) {
      show(b), i++;
    } else if (!strcmp(a, "change")) {
      change(b), i++;
    } else if (!strcmp(a, "say")) {
      fprintf(stderr, "%s\n", b), i++;
    } else if (!strcmp(a, "tty")) {
      printf("%d%d%d\n", isatty(0), isatty(1), isatty(2));
    } else if (!strcmp(a, "spin")) {
      for (volatile int n = 0;; n++) {}
    } else if (!strcmp(a, "sleep")) {
      sleep(3600);
    } else if (!strcmp(a, "trap")) {
      __builtin_trap();
    } else if (!strcmp(a, "recurse")) {
      return recurse(0);
    } else if (!strcmp(a, "flood")) {
      for (;;) puts("flood");
    } else if (!strcmp(a, "grow")) {
      static char *volatile p; // or the compiler sees that nobody uses it
      p = malloc(atol(b));
      printf("%s\n", p ? "grown" : "none left"), i++;
    } else {
      fprintf(stderr, "%s?\n", a);
      return 99;
    }
  }
  return 0;
}
