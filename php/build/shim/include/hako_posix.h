// What PHP and its libraries expect of a POSIX system and wasi-libc does not
// declare. It is included before everything else (-include), so it must not
// include more than types. The functions are in the .c files beside.
#ifndef HAKO_POSIX_H
#define HAKO_POSIX_H
#include <stddef.h>
#include <sys/types.h>
#ifdef __cplusplus
extern "C" {
#endif

// Processes: there are none but this one.
pid_t fork(void);
pid_t getppid(void);
pid_t setsid(void);
pid_t getpgrp(void);
int setpgid(pid_t, pid_t);
int execl(const char *, const char *, ...);
int execle(const char *, const char *, ...);
int execv(const char *, char *const[]);
int execve(const char *, char *const[], char *const[]);
int execvp(const char *, char *const[]);
int system(const char *);
int pipe(int[2]);
int nice(int);
struct _IO_FILE *popen(const char *, const char *);
int pclose(struct _IO_FILE *);
int kill(pid_t, int);

// Users: everything belongs to nobody in particular.
uid_t getuid(void);
uid_t geteuid(void);
gid_t getgid(void);
gid_t getegid(void);
int setuid(uid_t);
int setgid(gid_t);
int getgroups(int, gid_t[]);

// Files.
int dup(int);
int dup2(int, int);
mode_t umask(mode_t);
int chown(const char *, uid_t, gid_t);
int lchown(const char *, uid_t, gid_t);
int fchown(int, uid_t, gid_t);
int mkstemp(char *);
char *mkdtemp(char *);
int mkfifo(const char *, mode_t);
int mknod(const char *, mode_t, dev_t);
int flock(int, int);
int getdtablesize(void);
void sync(void);
char *ttyname(int);
void tzset(void);

#ifdef __cplusplus
}
#endif
#endif
