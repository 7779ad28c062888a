/*
** Ordinary files, through WASI. WASI has no locks: those here are between the
** connections of one instance only.
*/
#include "hako_vfs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const sqlite3_io_methods plain_methods;
static plain_file *plains; /* the databases among the open files */

int hako_plain_open(const char *name, plain_file *f, int flags, int *out) {
  int how = flags & SQLITE_OPEN_READWRITE ? O_RDWR : O_RDONLY;
  if (flags & SQLITE_OPEN_CREATE) how |= O_CREAT;
  if (flags & SQLITE_OPEN_EXCLUSIVE) how |= O_EXCL;
  f->fd = open(name, how, 0644);
  if (f->fd < 0 && how & O_RDWR && !(how & O_EXCL)) {
    f->fd = open(name, O_RDONLY);
    *out = (flags & ~(SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE)) | SQLITE_OPEN_READONLY;
  }
  if (f->fd < 0) return errno == EISDIR ? SQLITE_CANTOPEN_ISDIR : SQLITE_CANTOPEN;
  f->path = sqlite3_mprintf("%s", name);
  if (f->path == 0) {
    close(f->fd);
    return SQLITE_NOMEM;
  }
  f->remove = flags & SQLITE_OPEN_DELETEONCLOSE;
  f->methods = &plain_methods;
  if (flags & SQLITE_OPEN_MAIN_DB) f->next = plains, plains = f;
  return SQLITE_OK;
}

int hako_plain_delete(const char *name, int sync) {
  if (unlink(name) == 0) return SQLITE_OK;
  return errno == ENOENT ? SQLITE_IOERR_DELETE_NOENT : SQLITE_IOERR_DELETE;
}

int hako_plain_access(const char *name, int flags) {
  struct stat st;
  if (flags == SQLITE_ACCESS_READWRITE) return access(name, R_OK | W_OK) == 0;
  return stat(name, &st) == 0 && (flags != SQLITE_ACCESS_EXISTS || !S_ISREG(st.st_mode) || st.st_size > 0);
}

static int plain_close(sqlite3_file *file) {
  plain_file *f = (plain_file *)file, **p;
  for (p = &plains; *p; p = (plain_file **)&(*p)->next) {
    if (*p == f) {
      *p = f->next;
      break;
    }
  }
  close(f->fd);
  if (f->remove) unlink(f->path);
  sqlite3_free(f->path);
  f->methods = 0;
  return SQLITE_OK;
}

static int plain_read(sqlite3_file *file, void *buf, int n, sqlite3_int64 off) {
  plain_file *f = (plain_file *)file;
  char *p = buf;
  while (n > 0) {
    ssize_t got = pread(f->fd, p, n, off);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return SQLITE_IOERR_READ;
    if (got == 0) {
      memset(p, 0, n);
      return SQLITE_IOERR_SHORT_READ;
    }
    p += got, off += got, n -= got;
  }
  return SQLITE_OK;
}

static int plain_write(sqlite3_file *file, const void *buf, int n, sqlite3_int64 off) {
  plain_file *f = (plain_file *)file;
  const char *p = buf;
  while (n > 0) {
    ssize_t put = pwrite(f->fd, p, n, off);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return errno == ENOSPC || errno == EDQUOT ? SQLITE_FULL : SQLITE_IOERR_WRITE;
    p += put, off += put, n -= put;
  }
  return SQLITE_OK;
}

static int plain_truncate(sqlite3_file *file, sqlite3_int64 size) {
  return ftruncate(((plain_file *)file)->fd, size) ? SQLITE_IOERR_TRUNCATE : SQLITE_OK;
}

static int plain_sync(sqlite3_file *file, int flags) {
  return fsync(((plain_file *)file)->fd) ? SQLITE_IOERR_FSYNC : SQLITE_OK;
}

static int plain_size(sqlite3_file *file, sqlite3_int64 *size) {
  struct stat st;
  if (fstat(((plain_file *)file)->fd, &st)) return SQLITE_IOERR_FSTAT;
  *size = st.st_size;
  return SQLITE_OK;
}

/* The highest lock that another connection of this instance has. */
static int others(plain_file *f) {
  plain_file *o;
  int level = SQLITE_LOCK_NONE;
  for (o = plains; o; o = o->next) {
    if (o != f && o->lock > level && strcmp(o->path, f->path) == 0) level = o->lock;
  }
  return level;
}

static int plain_lock(sqlite3_file *file, int level) {
  plain_file *f = (plain_file *)file;
  int other = others(f);
  if (level <= f->lock) return SQLITE_OK;
  if (level == SQLITE_LOCK_SHARED && other >= SQLITE_LOCK_PENDING) return SQLITE_BUSY;
  if (level >= SQLITE_LOCK_RESERVED && other >= SQLITE_LOCK_RESERVED) return SQLITE_BUSY;
  if (level == SQLITE_LOCK_EXCLUSIVE && other >= SQLITE_LOCK_SHARED) {
    f->lock = SQLITE_LOCK_PENDING; /* no new readers, so that it can be had at last */
    return SQLITE_BUSY;
  }
  f->lock = level;
  return SQLITE_OK;
}

static int plain_unlock(sqlite3_file *file, int level) {
  plain_file *f = (plain_file *)file;
  if (level < f->lock) f->lock = level;
  return SQLITE_OK;
}

static int plain_check_reserved(sqlite3_file *file, int *out) {
  plain_file *f = (plain_file *)file;
  *out = f->lock >= SQLITE_LOCK_RESERVED || others(f) >= SQLITE_LOCK_RESERVED;
  return SQLITE_OK;
}

static int plain_control(sqlite3_file *file, int op, void *arg) { return SQLITE_NOTFOUND; }

static int plain_sector_size(sqlite3_file *file) { return 4096; }

static int plain_characteristics(sqlite3_file *file) { return SQLITE_IOCAP_POWERSAFE_OVERWRITE; }

static const sqlite3_io_methods plain_methods = {
  1, plain_close, plain_read, plain_write, plain_truncate, plain_sync, plain_size, plain_lock,
  plain_unlock, plain_check_reserved, plain_control, plain_sector_size, plain_characteristics,
  0, 0, 0, 0, 0, 0,
};
