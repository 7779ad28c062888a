/*
** Journals and temporary files. What is written last stays in the guest until
** it is more than a window holds; a journal of a small transaction is gone
** before the host has heard of its content.
*/
#include "hako_vfs.h"

#include <string.h>

#define WINDOW_MIN 4096
#define WINDOW_MAX 65536

static const sqlite3_io_methods scratch_methods;
static scratch_file *scratches; /* all that are open */

/* Ends an open with the code rc. */
static int opened(scratch_file *f, int rc) {
  if (rc) return rc;
  f->methods = &scratch_methods;
  f->next = scratches;
  scratches = f;
  return SQLITE_OK;
}

int hako_scratch_open(scratch_file *f) {
  f->handle = -1;
  return opened(f, SQLITE_OK);
}

/* In a fork: handles of the original are worth nothing, or worse, others'. */
void hako_scratch_lose(void) {
  scratch_file *f;
  for (f = scratches; f; f = f->next) {
    f->lost = f->handle >= 0;
    f->handle = -1;
  }
}

/* The host must know that there is a journal: without one it takes no writes. */
int hako_journal_open(database_file *of, scratch_file *f) { return opened(f, host_journal(of->handle, &f->handle)); }

/* The host reads super-journals. */
int hako_super_open(const char *name, scratch_file *f) {
  f->direct = 1;
  return opened(f, host_super(hako_connection_committing(name)->session, name, strlen(name), &f->handle));
}

static int ensure_handle(scratch_file *f) {
  if (f->lost) return SQLITE_IOERR;
  return f->handle >= 0 ? SQLITE_OK : host_temp(&f->handle);
}

static int flush(scratch_file *f) {
  int rc;
  if (f->used == 0) return SQLITE_OK;
  rc = ensure_handle(f);
  if (rc == SQLITE_OK) rc = host_write(f->handle, f->window, f->used, f->start);
  if (rc == SQLITE_OK) f->used = 0;
  return rc;
}

/* Makes room for n bytes in the window; 0 if it cannot. */
static int grow(scratch_file *f, int n) {
  int room = f->room ? f->room : WINDOW_MIN;
  unsigned char *p;
  if (n > WINDOW_MAX) return 0;
  while (room < n) room *= 2;
  if (room == f->room) return 1;
  p = sqlite3_realloc(f->window, room);
  if (p == 0) return 0;
  f->window = p;
  f->room = room;
  return 1;
}

/* Whether a journal named in a super-journal is that of an ordinary file that
** the transaction has locked and not changed. */
static int unused_journal(const char *name, int n) {
  int len = n - (int)sizeof "-journal";
  return len > 0 && name[n - 1] == 0 && !host_granted(name, len) && !hako_plain_access(name, SQLITE_ACCESS_READ);
}

static int scratch_write(sqlite3_file *file, const void *buf, int n, sqlite3_int64 off) {
  scratch_file *f = (scratch_file *)file;
  int rc = SQLITE_OK;
  sqlite3_int64 in = off - f->start;
  if (f->direct && unused_journal(buf, n)) return SQLITE_OK;
  if (f->used == 0) f->start = off, in = 0;
  if (f->direct || in < 0 || in > f->used || in + n > WINDOW_MAX || !grow(f, in + n)) {
    rc = flush(f);
    if (rc) return rc;
    f->start = off, in = 0;
    if (f->direct || n > WINDOW_MAX / 2 || !grow(f, n)) {
      rc = ensure_handle(f);
      if (rc == SQLITE_OK) rc = host_write(f->handle, buf, n, off);
      goto written;
    }
  }
  memcpy(f->window + in, buf, n);
  if (in + n > f->used) f->used = in + n;
written:
  if (rc == SQLITE_OK && off + n > f->size) f->size = off + n;
  return rc;
}

static int scratch_read(sqlite3_file *file, void *buf, int n, sqlite3_int64 off) {
  scratch_file *f = (scratch_file *)file;
  int rc;
  if (off >= f->start && off + n <= f->start + f->used) {
    memcpy(buf, f->window + (off - f->start), n);
    return SQLITE_OK;
  }
  rc = f->lost ? SQLITE_IOERR_READ : flush(f);
  if (rc) return rc;
  if (f->handle < 0) {
    memset(buf, 0, n);
    return SQLITE_IOERR_SHORT_READ;
  }
  return host_read(f->handle, buf, n, off);
}

static int scratch_truncate(sqlite3_file *file, sqlite3_int64 size) {
  scratch_file *f = (scratch_file *)file;
  int rc;
  if (size == 0) f->used = 0;
  rc = flush(f);
  if (rc == SQLITE_OK && (f->handle >= 0 || size > 0)) {
    rc = ensure_handle(f);
    if (rc == SQLITE_OK) rc = host_truncate(f->handle, size);
  }
  if (rc == SQLITE_OK) f->size = size;
  return rc;
}

static int scratch_close(sqlite3_file *file) {
  scratch_file *f = (scratch_file *)file, **p;
  for (p = &scratches; *p != f; p = (scratch_file **)&(*p)->next) {}
  *p = f->next;
  sqlite3_free(f->window);
  f->methods = 0;
  return f->handle >= 0 ? host_close(f->handle) : SQLITE_OK;
}

static int scratch_size(sqlite3_file *file, sqlite3_int64 *size) {
  *size = ((scratch_file *)file)->size;
  return SQLITE_OK;
}

static int scratch_sync(sqlite3_file *file, int flags) { return SQLITE_OK; }

/* Nobody else can open the file. */
static int scratch_lock(sqlite3_file *file, int level) { return SQLITE_OK; }

static int scratch_check_reserved(sqlite3_file *file, int *out) {
  *out = 0;
  return SQLITE_OK;
}

static int scratch_control(sqlite3_file *file, int op, void *arg) { return SQLITE_NOTFOUND; }

static int scratch_sector_size(sqlite3_file *file) { return 512; }

static int scratch_characteristics(sqlite3_file *file) {
  return SQLITE_IOCAP_SAFE_APPEND | SQLITE_IOCAP_SEQUENTIAL | SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static const sqlite3_io_methods scratch_methods = {
  1, scratch_close, scratch_read, scratch_write, scratch_truncate, scratch_sync, scratch_size,
  scratch_lock, scratch_lock, scratch_check_reserved, scratch_control, scratch_sector_size,
  scratch_characteristics, 0, 0, 0, 0, 0, 0,
};
