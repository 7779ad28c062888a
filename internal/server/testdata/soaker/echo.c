// A CGI program that answers with what it is sent, or traps.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void) {
  const char *nonce = getenv("HTTP_X_NONCE"), *path = getenv("PATH_INFO");
  if (path && !strcmp(path, "/trap")) __builtin_trap();
  printf("Content-Type: text/plain\nEcho-Nonce: %s\n\n", nonce ? nonce : "");
  char part[4096];
  size_t n;
  while ((n = fread(part, 1, sizeof part, stdin)) > 0)
    if (fwrite(part, 1, n, stdout) != n) return 1;
  return 0;
}
