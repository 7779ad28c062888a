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
#include <unistd.h>
#include <wasi/api.h>
#include <wasi/libc-find-relpath.h>

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
// on a file system that keeps none. Nor has it owners, and it does not tell the
// blocks.
static int with_mode(int failed, struct stat *s) {
	if (failed) return failed;
	s->st_mode |= S_ISDIR(s->st_mode) ? 0755 : 0644;
	s->st_uid = s->st_gid = 1000;
	s->st_blksize = 4096;
	s->st_blocks = (s->st_size + 511) / 512;
	return 0;
}

// without_dots gives a path from the root without "." and "..", which is the
// caller's, or NULL. WASI lets none go up beyond a granted folder, though it may
// end in another one.
static char *without_dots(const char *path) {
	int e = errno;
	char *cwd = *path == '/' ? strdup("") : getcwd(NULL, 0);
	char *to = cwd ? malloc(strlen(cwd) + strlen(path) + 2) : NULL, *end = to;
	const char *parts[] = {cwd, path};
	for (int i = 0; to && i < 2; i++) {
		const char *from = parts[i];
		for (size_t n; *(from += strspn(from, "/")); from += n) {
			n = strcspn(from, "/");
			if (n == 1 && *from == '.') continue;
			if (n == 2 && !strncmp(from, "..", 2)) {
				while (end > to && *--end != '/') {}
				continue;
			}
			*end++ = '/';
			memcpy(end, from, n);
			end += n;
		}
	}
	if (end == to && to) *end++ = '/';
	if (to) *end = 0;
	free(cwd);
	errno = e;
	return to;
}

int __real_chdir(const char *);

int __wrap_chdir(const char *p) {
	if (!*p) return no(ENOENT);
	char *other = strstr(p, "..") ? without_dots(p) : NULL;
	int failed = __real_chdir(other ? other : p);
	free(other);
	return failed;
}

int __real_stat(const char *restrict, struct stat *restrict);
int __real_lstat(const char *restrict, struct stat *restrict);
int __real_fstat(int, struct stat *);

static int climbing(int (*stat)(const char *restrict, struct stat *restrict), const char *p, struct stat *s) {
	int failed = *p ? stat(p, s) : no(ENOENT);
	char *other = failed && (errno == EPERM || errno == ENOTCAPABLE) && strstr(p, "..") ? without_dots(p) : NULL;
	if (other) failed = stat(other, s);
	free(other);
	return with_mode(failed, s);
}

int __wrap_stat(const char *restrict p, struct stat *restrict s) { return climbing(__real_stat, p, s); }
int __wrap_lstat(const char *restrict p, struct stat *restrict s) { return climbing(__real_lstat, p, s); }
int __wrap_fstat(int fd, struct stat *s) { return with_mode(__real_fstat(fd, s), s); }

// The C library asks for rights, which a read-only folder has: it refuses what is
// done, by EROFS. So a file is opened, and a folder made that is there.
int __real_access(const char *, int);

int __wrap_access(const char *p, int mode) {
	struct stat s;
	if (__real_access(p, mode)) return -1;
	if (!(mode & W_OK) || stat(p, &s)) return 0;
	if (S_ISDIR(s.st_mode)) return mkdir(p, 0777) && errno == EROFS ? -1 : 0;
	if (!S_ISREG(s.st_mode)) return 0;
	int fd = open(p, O_WRONLY | O_CLOEXEC);
	return fd < 0 ? -1 : close(fd);
}

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

// WASI has no links to absolute paths, which would be the host's. One is made as
// a relative path, if both lie in the same granted folder.
int __real_symlink(const char *, const char *);

int __wrap_symlink(const char *to, const char *link) {
	if (*to != '/') return __real_symlink(to, link);
	const char *folder, *other;
	char *name = NULL, *target = NULL;
	size_t size = 0, n = 0, up = 0, same = 0;
	int result = -1, fd = __wasilibc_find_relpath_alloc(link, &folder, &name, &size, 1);
	if (fd < 0) return -1;
	if (__wasilibc_find_relpath_alloc(to, &other, &target, &n, 1) != fd) {
		errno = EPERM;
	} else {
		for (size_t i = 0; name[i] && name[i] == target[i]; i++) {
			if (name[i] == '/') same = i + 1;
		}
		for (const char *p = name + same; *p; p++) up += *p == '/';
		char *path = malloc(3 * up + strlen(target + same) + 1);
		if (path) {
			for (size_t i = 0; i < up; i++) memcpy(path + 3 * i, "../", 3);
			strcpy(path + 3 * up, target + same);
			result = __real_symlink(path, link);
			free(path);
		}
	}
	free(name);
	free(target);
	return result;
}

// The working directory is the one that $PWD names, as WASI has none.
__attribute__((constructor)) static void begin(void) {
	const char *d = getenv("PWD");
	if (d && *d == '/') chdir(d);
}

// A path of no length is nothing, and not the working directory.
FILE *__real_fopen(const char *restrict, const char *restrict);
FILE *__wrap_fopen(const char *restrict p, const char *restrict m) { return *p ? __real_fopen(p, m) : (no(ENOENT), NULL); }

int __real_rename(const char *, const char *);
int __wrap_rename(const char *from, const char *to) { return *from && *to ? __real_rename(from, to) : no(ENOENT); }

// WASI takes a byte of whence.
off_t __real_lseek(int, off_t, int);
off_t __wrap_lseek(int fd, off_t offset, int whence) { return whence & ~3 ? no(EINVAL) : __real_lseek(fd, offset, whence); }

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
