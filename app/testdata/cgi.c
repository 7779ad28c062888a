// A CGI program: what it answers depends on its path.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *env(const char *name) {
  const char *v = getenv(name);
  return v ? v : "";
}

int main(int argc, char **argv) {
  const char *path = env("PATH_INFO");
  if (!strcmp(path, "/silent")) return 0;
  if (!strcmp(path, "/garbage")) return puts("no header at all\n") < 0;
  if (!strcmp(path, "/trap")) __builtin_trap();
  if (!strcmp(path, "/spin")) for (volatile int i = 0;; i++) {}
  if (!strcmp(path, "/read")) return getchar() + getchar() + getchar() + getchar() == 0;
  if (!strcmp(path, "/large")) {
    printf("Content-Type: text/plain\n\n");
    for (;;)
      if (puts("0123456789abcdef0123456789abcdef") < 0) return 1;
  }
  if (!strcmp(path, "/early")) {
    printf("Content-Type: text/plain\n\n");
    for (int i = 0; i < 10000; i++) puts("0123456789abcdef");
    fflush(stdout);
    char part[1000];
    size_t n, sum = 0;
    while ((n = fread(part, 1, sizeof part, stdin)) > 0) sum += n;
    printf("body %zu\n", sum);
    return 0;
  }
  if (!strcmp(path, "/events") || !strcmp(path, "/drip")) {
    printf("Content-Type: %s\n\n", path[1] == 'e' ? "text/event-stream; charset=utf-8" : "text/plain");
    fflush(stdout);
    for (int i = 0; i < 3; i++) {
      printf("data: %d\n\n", i);
      fflush(stdout);
      if (getchar() == EOF) return 1;
    }
    return 0;
  }
  if (!strcmp(path, "/redirect")) return puts("Location: https://example.com/\n") < 0;
  if (!strcmp(path, "/missing")) {
    printf("Status: 404 Not Found\r\nContent-Type: text/plain\r\n\r\nnot here");
    return 0;
  }
  if (!strcmp(path, "/exit")) {
    printf("Content-Type: text/plain\n\nfine");
    return 5;
  }
  fprintf(stderr, "asked for %s\n", path);
  printf("Content-Type: text/plain\nX-Two: a\nX-Two: b\n\n");
  for (int i = 0; i < argc; i++) printf("arg %s\n", argv[i]);
  const char *names[] = {"REQUEST_METHOD", "QUERY_STRING", "SCRIPT_NAME", "CONTENT_LENGTH", "CONTENT_TYPE",
                         "HTTP_X_TEST", "HTTP_COOKIE", "HTTP_PROXY", "SERVER_PROTOCOL", "MODE"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) printf("%s=%s\n", names[i], env(names[i]));
  char b[1000];
  size_t n, sum = 0;
  while ((n = fread(b, 1, sizeof b, stdin)) > 0) sum += n;
  printf("body %zu\n", sum);
  return 0;
}
