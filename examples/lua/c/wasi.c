/* What Lua uses of C and WASI does not have. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* There is no shell to run a command in: system(NULL) says so. */
int system(const char *command) {
  if (command == NULL) return 0;
  errno = ENOSYS;
  return -1;
}

char *hako_tmpnam(char *name) {
  uint32_t random;
  if (getentropy(&random, sizeof random) != 0) return NULL;
  snprintf(name, L_tmpnam, "/tmp/lua_%08x", random);
  return name;
}

/* A file in /tmp, if that is granted, gone when it is closed. */
FILE *hako_tmpfile(void) {
  char name[L_tmpnam];
  int fd = -1;
  for (int tries = 0; tries < 8 && fd < 0; tries++) {
    if (hako_tmpnam(name) == NULL) return NULL;
    fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (fd < 0 && errno != EEXIST) return NULL;
  }
  if (fd < 0) return NULL;
  unlink(name);
  FILE *file = fdopen(fd, "w+");
  if (file == NULL) close(fd);
  return file;
}
