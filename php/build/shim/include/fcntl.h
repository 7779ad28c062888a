// wasi-libc's header, and the locks of files, which fcntl does not know.
#ifndef HAKO_FCNTL_H
#define HAKO_FCNTL_H
#include_next <fcntl.h>
#define F_GETLK 5
#define F_SETLK 6
#define F_SETLKW 7
#define F_RDLCK 0
#define F_WRLCK 1
#define F_UNLCK 2
#endif
