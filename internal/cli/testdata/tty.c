// A guest that shows which keys are pressed, until it is told to end.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../../../guest/c/hako_tty.h"

static void size(void) {
  struct hako_tty_size s = {0, 0};
  int code = hako_tty_size(1, &s);
  printf("size: %d %u x %u\n", code, s.columns, s.rows);
}

int main(void) {
  char key;
  setvbuf(stdout, NULL, _IONBF, 0);
  printf("told: %s %s %s\n", getenv("TERM"), getenv("COLUMNS"), getenv("LINES"));
  size();
  printf("wrong: %d %d %d\n", hako_tty_size(7, NULL), hako_tty_raw(-1, 1),
         hako_tty_size(1, (struct hako_tty_size *)0xfffffffe));
  printf("raw: %d\n", hako_tty_raw(0, 1));
  while (read(0, &key, 1) == 1) {
    printf("key: %d\n", key);
    if (key == 's') size();
    if (key == 'c') printf("cooked: %d\n", hako_tty_raw(0, 0));
    if (key == 't') __builtin_trap();
    if (key == 'q') return 3;
  }
  return 0;
}
