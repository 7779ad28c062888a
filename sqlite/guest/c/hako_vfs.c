/*
** SQLite's VFS in a guest. It opens granted databases and temporary files at
** the host and ordinary files through WASI.
*/
#include "hako_vfs.h"
#include "hako_sqlite.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int hako_ends_with(const char *s, const char *suffix) {
  size_t n = strlen(s), m = strlen(suffix);
  return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

/* Whether the name is that of a granted database. */
static int granted(sqlite3_vfs *vfs, const char *name) {
  return vfs->pAppData == 0 && host_granted(name, strlen(name));
}

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out) {
  any_file *f = (any_file *)file;
  int unused;
  memset(f, 0, sizeof *f);
  if (out == 0) out = &unused;
  *out = flags;
  if (name == 0) return hako_scratch_open(&f->scratch);
  if (flags & SQLITE_OPEN_MAIN_DB) {
    if (granted(vfs, name)) return hako_database_open(name, &f->database, flags, out);
  } else if (flags & (SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_WAL)) {
    database_file *of = hako_database_of_journal(name);
    if (of) return flags & SQLITE_OPEN_WAL ? SQLITE_CANTOPEN : hako_journal_open(of, &f->scratch);
  } else if (flags & SQLITE_OPEN_SUPER_JOURNAL) {
    if (hako_connection_committing(name)) return hako_super_open(name, &f->scratch);
  } else {
    return hako_scratch_open(&f->scratch);
  }
  return hako_plain_open(name, &f->plain, flags, out);
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync) {
  if (hako_database_of_journal(name)) return SQLITE_OK; /* gone with its last close */
  if (host_exists(name, strlen(name))) return host_delete(name, strlen(name), sync);
  return hako_plain_delete(name, sync);
}

static int vfs_access(sqlite3_vfs *vfs, const char *name, int flags, int *out) {
  *out = 0;
  if (hako_database_of_journal(name)) return SQLITE_OK;
  if (flags == SQLITE_ACCESS_EXISTS && host_exists(name, strlen(name))) *out = 1;
  else if (granted(vfs, name)) *out = 1;
  else *out = hako_plain_access(name, flags);
  return SQLITE_OK;
}

/* Makes a name absolute, but for those of databases: whether one is granted is
** decided by the host. */
static int vfs_full_pathname(sqlite3_vfs *vfs, const char *name, int n, char *out) {
  int used = 0;
  if (name[0] != '/' && !granted(vfs, name)) {
    if (getcwd(out, n) == 0) return SQLITE_CANTOPEN;
    used = strlen(out);
    if (used + 1 >= n) return SQLITE_CANTOPEN;
    if (used == 0 || out[used - 1] != '/') out[used++] = '/';
  }
  if (strlen(name) >= (size_t)(n - used)) return SQLITE_CANTOPEN;
  strcpy(out + used, name);
  return SQLITE_OK;
}

static int vfs_randomness(sqlite3_vfs *vfs, int n, char *out) {
  host_random(out, n);
  return n;
}

static int vfs_sleep(sqlite3_vfs *vfs, int us) {
  host_sleep(us);
  return us;
}

/* Milliseconds of Julian days, as SQLite counts. */
static int vfs_current_time_int64(sqlite3_vfs *vfs, sqlite3_int64 *out) {
  struct timespec t;
  if (clock_gettime(CLOCK_REALTIME, &t)) return SQLITE_ERROR;
  *out = 24405875 * (sqlite3_int64)8640000 + t.tv_sec * (sqlite3_int64)1000 + t.tv_nsec / 1000000;
  return SQLITE_OK;
}

static int vfs_current_time(sqlite3_vfs *vfs, double *out) {
  sqlite3_int64 t;
  int rc = vfs_current_time_int64(vfs, &t);
  if (rc == SQLITE_OK) *out = t / 86400000.0;
  return rc;
}

static int vfs_last_error(sqlite3_vfs *vfs, int n, char *out) {
  if (n > 0) hako_sqlite_error(out, n);
  return errno;
}

/* A guest cannot load shared libraries. */
static void *vfs_dl_open(sqlite3_vfs *vfs, const char *name) { return 0; }

static void vfs_dl_error(sqlite3_vfs *vfs, int n, char *out) {
  sqlite3_snprintf(n, out, "loadable extensions are not supported");
}

static void (*vfs_dl_sym(sqlite3_vfs *vfs, void *lib, const char *symbol))(void) { return 0; }

static void vfs_dl_close(sqlite3_vfs *vfs, void *lib) {}

#define VFS(name, data)                                                                             \
  {                                                                                                 \
    2, sizeof(any_file), 512, 0, name, data, vfs_open, vfs_delete, vfs_access, vfs_full_pathname,   \
        vfs_dl_open, vfs_dl_error, vfs_dl_sym, vfs_dl_close, vfs_randomness, vfs_sleep,             \
        vfs_current_time, vfs_last_error, vfs_current_time_int64                                    \
  }

/* "unix" opens ordinary files only, for programs that ask for it by name. */
static int unix_only;
static sqlite3_vfs vfs_hako = VFS("hako", 0), vfs_unix = VFS("unix", &unix_only);

int sqlite3_os_init(void) {
  sqlite3_vfs_register(&vfs_hako, 1);
  return sqlite3_vfs_register(&vfs_unix, 0);
}

int sqlite3_os_end(void) { return SQLITE_OK; }

int hako_sqlite_error(char *buf, int n) {
  int len = n > 0 ? host_error(buf, n - 1) : 0;
  if (n > 0) buf[len] = 0;
  return len;
}

int hako_sqlite_forked(void) {
  sqlite3_randomness(0, 0);
  return hako_connection_reopen();
}

/* Hako calls this export in every fork of a template. A guest that has more to
** do there defines its own, which calls hako_sqlite_forked(). */
__attribute__((weak, export_name("hako_forked"))) void hako_forked(void) { hako_sqlite_forked(); }
