#ifndef HAKO_SYS_FILE_H
#define HAKO_SYS_FILE_H
#define LOCK_SH 1
#define LOCK_EX 2
#define LOCK_NB 4
#define LOCK_UN 8
#include_next <sys/file.h>
#endif
