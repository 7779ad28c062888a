// Functions of POSIX that wasi-libc does not have. Where there is nothing that
// they could do, they fail as on a system that forbids it.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <iconv.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <syslog.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>
#include <wasi/api.h>

static int no(int e) {
	errno = e;
	return -1;
}

// Processes.
pid_t fork(void) { return no(ENOSYS); }
pid_t getppid(void) { return 1; }
pid_t setsid(void) { return no(EPERM); }
pid_t getpgrp(void) { return getpid(); }
int setpgid(pid_t p, pid_t g) { return no(EPERM); }
pid_t wait(int *s) { return no(ECHILD); }
pid_t waitpid(pid_t p, int *s, int o) { return no(ECHILD); }
int execl(const char *p, const char *a, ...) { return no(ENOSYS); }
int execle(const char *p, const char *a, ...) { return no(ENOSYS); }
int execv(const char *p, char *const a[]) { return no(ENOSYS); }
int execve(const char *p, char *const a[], char *const e[]) { return no(ENOSYS); }
int execvp(const char *p, char *const a[]) { return no(ENOSYS); }
int system(const char *c) { return c ? no(ENOSYS) : 0; }
int pipe(int f[2]) { return no(ENOSYS); }
int nice(int n) { return no(EPERM); }
FILE *popen(const char *c, const char *m) { return no(ENOSYS), NULL; }
int pclose(FILE *f) { return no(ECHILD); }

int kill(pid_t p, int sig) {
	if (p != getpid() && p != 0) return no(ESRCH);
	return sig ? raise(sig) : 0;
}

// Signals: nobody sends any but the guest itself, and none are held back.
int sigaction(int sig, const struct sigaction *restrict new, struct sigaction *restrict old) {
	void (*was)(int) = signal(sig, new ? new->sa_handler : SIG_DFL);
	if (was == SIG_ERR) return -1;
	if (!new) signal(sig, was);
	if (old) *old = (struct sigaction){.sa_handler = was};
	return 0;
}

int sigemptyset(sigset_t *s) { return memset(s, 0, sizeof *s), 0; }
int sigfillset(sigset_t *s) { return memset(s, 0xff, sizeof *s), 0; }
int sigaddset(sigset_t *s, int sig) { return ((char *)s)[0] |= sig < 8 ? 1 << sig : 0, 0; }
int sigdelset(sigset_t *s, int sig) { return ((char *)s)[0] &= sig < 8 ? ~(1 << sig) : ~0, 0; }
int sigismember(const sigset_t *s, int sig) { return sig < 8 && ((char *)s)[0] >> sig & 1; }
int sigprocmask(int how, const sigset_t *restrict new, sigset_t *restrict old) { return old ? sigemptyset(old) : 0; }

// Stacks: see ucontext.h.
int getcontext(ucontext_t *c) { return no(ENOSYS); }
void makecontext(ucontext_t *c, void (*f)(void), int n, ...) { abort(); }
int swapcontext(ucontext_t *from, const ucontext_t *to) { return no(ENOSYS); }

// Users. A guest has no user; the number is not 0, so that nothing takes it for
// the administrator.
uid_t getuid(void) { return 1000; }
uid_t geteuid(void) { return 1000; }
gid_t getgid(void) { return 1000; }
gid_t getegid(void) { return 1000; }
int setuid(uid_t u) { return u == 1000 ? 0 : no(EPERM); }
int setgid(gid_t g) { return g == 1000 ? 0 : no(EPERM); }
int getgroups(int n, gid_t g[]) { return 0; }
int initgroups(const char *u, gid_t g) { return no(EPERM); }
struct passwd *getpwnam(const char *n) { return NULL; }
struct passwd *getpwuid(uid_t u) { return NULL; }
struct group *getgrnam(const char *n) { return NULL; }
struct group *getgrgid(gid_t g) { return NULL; }

int getrusage(int who, struct rusage *r) {
	uint64_t ns = 0;
	memset(r, 0, sizeof *r);
	if (who == RUSAGE_SELF && __wasi_clock_time_get(__WASI_CLOCKID_PROCESS_CPUTIME_ID, 0, &ns)) return no(EINVAL);
	r->ru_utime = (struct timeval){ns / 1000000000, ns % 1000000000 / 1000};
	r->ru_maxrss = __builtin_wasm_memory_size(0) * 64;
	return 0;
}

// Files.

// A duplicate is the same descriptor once more: it is closed when it was closed
// as often as it was handed out.
enum { TABLE = 1024 };
static uint16_t duplicates[TABLE];

int dup(int fd) {
	if (fcntl(fd, F_GETFL) < 0) return -1;
	if (fd >= TABLE || duplicates[fd] == UINT16_MAX) return no(EMFILE);
	duplicates[fd]++;
	return fd;
}

// For close (--wrap=close).
int __real_close(int);

int __wrap_close(int fd) {
	if (fd >= 0 && fd < TABLE && duplicates[fd]) {
		duplicates[fd]--;
		return 0;
	}
	return __real_close(fd);
}

int getdtablesize(void) { return TABLE; }
int dup2(int from, int to) { return no(ENOSYS); }
int mkfifo(const char *p, mode_t m) { return no(EPERM); }
int mknod(const char *p, mode_t m, dev_t d) { return no(EPERM); }
void sync(void) {}
char *ttyname(int fd) { return no(ENOTTY), NULL; }
void tzset(void) {}

mode_t umask(mode_t m) {
	static mode_t mask = 022; // kept, and of no effect
	mode_t old = mask;
	mask = m & 0777;
	return old;
}

// WASI has no modes. Files show the usual ones, and changing them is heeded as
// on a file system that keeps none.
static int with_mode(int failed, struct stat *s) {
	if (!failed) s->st_mode |= S_ISDIR(s->st_mode) ? 0755 : 0644;
	return failed;
}

int __real_stat(const char *restrict, struct stat *restrict);
int __real_lstat(const char *restrict, struct stat *restrict);
int __real_fstat(int, struct stat *);
int __wrap_stat(const char *restrict p, struct stat *restrict s) { return with_mode(__real_stat(p, s), s); }
int __wrap_lstat(const char *restrict p, struct stat *restrict s) { return with_mode(__real_lstat(p, s), s); }
int __wrap_fstat(int fd, struct stat *s) { return with_mode(__real_fstat(fd, s), s); }
int __wrap_chmod(const char *p, mode_t m) { return access(p, F_OK); }

int __wrap_fchmod(int fd, mode_t m) {
	struct stat s;
	return fstat(fd, &s);
}

int chown(const char *p, uid_t u, gid_t g) { return access(p, F_OK) ? -1 : no(EPERM); }
int fchown(int fd, uid_t u, gid_t g) { return no(EPERM); }

int lchown(const char *p, uid_t u, gid_t g) {
	struct stat s;
	return lstat(p, &s) ? -1 : no(EPERM);
}

// Locks of whole files are the host's.
__attribute__((import_module("hako_file_v1"), import_name("lock"))) int hako_file_lock(int fd, int operation);

int flock(int fd, int operation) {
	int e = hako_file_lock(fd, operation);
	return e ? no(e) : 0;
}

// random_name replaces the six X at the end of a template.
static int random_name(char *template) {
	size_t n = strlen(template);
	if (n < 6 || strcmp(template + n - 6, "XXXXXX")) return no(EINVAL);
	uint64_t bits;
	if (getentropy(&bits, sizeof bits)) return -1;
	for (size_t i = n - 6; i < n; i++, bits >>= 5) template[i] = "abcdefghijklmnopqrstuvwxyz234567"[bits & 31];
	return 0;
}

int mkstemp(char *template) {
	for (int i = 0; i < 100; i++) {
		if (random_name(template)) return -1;
		int fd = open(template, O_RDWR | O_CREAT | O_EXCL, 0600);
		if (fd >= 0 || errno != EEXIST) return fd;
		memset(template + strlen(template) - 6, 'X', 6);
	}
	return no(EEXIST);
}

char *mkdtemp(char *template) {
	for (int i = 0; i < 100; i++) {
		if (random_name(template)) return NULL;
		if (!mkdir(template, 0700)) return template;
		if (errno != EEXIST) return NULL;
		memset(template + strlen(template) - 6, 'X', 6);
	}
	return no(EEXIST), NULL;
}

FILE *tmpfile(void) {
	char name[] = "/tmp/tmpfileXXXXXX";
	int fd = mkstemp(name);
	if (fd < 0) return NULL;
	unlink(name);
	return fdopen(fd, "w+");
}

// Shared libraries: there are none.
void *dlopen(const char *p, int flags) { return NULL; }
void *dlsym(void *restrict h, const char *restrict n) { return NULL; }
int dlclose(void *h) { return -1; }
char *dlerror(void) { return "there are no shared libraries in WebAssembly"; }

// wasi-libc's iconv knows no //TRANSLIT and //IGNORE: it writes * for what it
// cannot express.
iconv_t __real_iconv_open(const char *, const char *);

iconv_t __wrap_iconv_open(const char *to, const char *from) {
	char name[64];
	const char *end = strstr(to, "//");
	if (!end) return __real_iconv_open(to, from);
	snprintf(name, sizeof name, "%.*s", (int)(end - to), to);
	return __real_iconv_open(name, from);
}

// The log.
static const char *log_name = "";

void openlog(const char *name, int options, int facility) { log_name = name ? name : ""; }
void closelog(void) {}

void vsyslog(int priority, const char *format, va_list args) {
	if (*log_name) fprintf(stderr, "%s: ", log_name);
	vfprintf(stderr, format, args);
	size_t n = strlen(format);
	if (!n || format[n - 1] != '\n') fputc('\n', stderr);
}

void syslog(int priority, const char *format, ...) {
	va_list args;
	va_start(args, format);
	vsyslog(priority, format, args);
	va_end(args);
}
