/*
** What a guest can do with the terminal that a standard stream is, beyond
** reading and writing. Functions return 0, or an error as errno has it:
** ENOTTY if the descriptor (0, 1 or 2) is no terminal of the guest's, ENOSYS
** if the host cannot do it, EFAULT, EIO.
*/
#ifndef HAKO_TTY_H
#define HAKO_TTY_H

struct hako_tty_size {
  unsigned columns, rows;
};

/* The size as it is now. Nothing tells that it has changed: ask before
   drawing, it takes about a microsecond. */
__attribute__((import_module("hako_tty_v1"), import_name("size"))) extern int
hako_tty_size(int fd, struct hako_tty_size *size);

/* 1: keys can be read as soon as they are pressed, and are not shown; Ctrl-C
   still ends the guest. 0: as before. The host does that too when the guest
   ends, however it ends. */
__attribute__((import_module("hako_tty_v1"), import_name("raw"))) extern int
hako_tty_raw(int fd, int on);

#endif
