/* What a path leads to: nginx's "try_files $uri $uri/ /index.php" before
   php-fpm, with scripts found as fastcgi_split_path_info does. */
#include "sapi.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c |= 0x20;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool hako_path_normal(const char *in, size_t length, char *out) {
  /* Decoding makes it shorter, so it is done in place before the segments. */
  char *plain = malloc(length + 1);
  size_t n = 0;
  bool ok = true;
  for (size_t i = 0; i < length && ok; i++) {
    char c = in[i];
    if (c == '%') {
      int high = i + 2 < length ? digit(in[i + 1]) : -1, low = high >= 0 ? digit(in[i + 2]) : -1;
      ok = low >= 0;
      c = (char)(high << 4 | low);
      i += 2;
    }
    if (c == 0) ok = false;
    plain[n++] = c;
  }
  size_t m = 0;
  out[m++] = '/';
  for (size_t i = 0; i < n && ok;) {
    while (i < n && plain[i] == '/') i++;
    size_t end = i;
    while (end < n && plain[end] != '/') end++;
    size_t segment = end - i;
    if (segment == 2 && plain[i] == '.' && plain[i + 1] == '.') {
      if (m == 1) ok = false;
      else
        for (m--; m > 0 && out[m - 1] != '/'; m--) {}
    } else if (segment > 0 && !(segment == 1 && plain[i] == '.')) {
      memcpy(out + m, plain + i, segment);
      m += segment;
      if (end < n) out[m++] = '/';
    }
    i = end;
  }
  out[m] = 0;
  free(plain);
  return ok;
}

enum { NOTHING, FILE_THERE, FOLDER };

/* What is at root + path. The name is left in hako_req.path. */
static int look(const char *path, size_t length) {
  size_t root = strlen(hako_opt.root);
  struct stat s;
  if (root + length + 1 > sizeof hako_req.path) return NOTHING;
  memcpy(hako_req.path, hako_opt.root, root);
  memcpy(hako_req.path + root, path, length);
  root += length;
  if (root > 1 && hako_req.path[root - 1] == '/') root--; /* a folder's own name */
  if (root == 0) hako_req.path[root++] = '/';
  hako_req.path[root] = 0;
  if (stat(hako_req.path, &s) != 0) return NOTHING;
  return S_ISDIR(s.st_mode) ? FOLDER : S_ISREG(s.st_mode) ? FILE_THERE : NOTHING;
}

/* Names that begin with a dot are nobody's business, /.well-known apart. */
static bool hidden(const char *path) {
  for (const char *s = path; (s = strstr(s, "/.")) != NULL; s++)
    if (s != path || (strncmp(s, "/.well-known/", 13) != 0 && strcmp(s, "/.well-known") != 0)) return true;
  return false;
}

static bool is_script(const char *path, size_t length) { return length > 4 && memcmp(path + length - 4, ".php", 4) == 0; }

static void status(int code) {
  hako_req.answer = HAKO_STATUS;
  hako_req.status = code;
}

static bool closed(const char *path) {
  for (size_t i = 0; i < hako_opt.closed_count; i++) {
    size_t n = strlen(hako_opt.closed[i]);
    if (strncmp(path, hako_opt.closed[i], n) == 0 && (path[n] == '/' || path[n] == 0)) return true;
  }
  return false;
}

/* The script at the first length bytes of path, which is there. */
static void run(const char *path, size_t length, const char *rest, char *script, char *info) {
  memcpy(script, path, length);
  script[length] = 0;
  strcpy(info, rest);
  hako_req.answer = HAKO_SCRIPT;
  if (closed(script)) status(403);
}

static void front(char *script, char *info) {
  if (hako_opt.index && look(hako_opt.index, strlen(hako_opt.index)) == FILE_THERE) run(hako_opt.index, strlen(hako_opt.index), "", script, info);
  else status(404);
}

static void folder(const char *path, size_t length, const char *uri, const char *query, char *script, char *info) {
  if (path[length - 1] != '/') {
    /* Links within its index are meant from the folder's own name. Slashes at
       the beginning would name another host. */
    while (uri[0] == '/' && (uri[1] == '/' || uri[1] == '\\')) uri++;
    size_t room = strlen(uri) + (query ? strlen(query) : 0) + 3;
    hako_req.location = malloc(room);
    snprintf(hako_req.location, room, "%s/%s%s", uri, query ? "?" : "", query ? query : "");
    hako_req.answer = HAKO_REDIRECT;
    return;
  }
  static const char *const names[] = {"index.php", "index.html"};
  char *index = malloc(length + 16);
  memcpy(index, path, length);
  for (int i = 0; i < 2; i++) {
    strcpy(index + length, names[i]);
    if (i == 1 && !hako_opt.files) break;
    if (look(index, strlen(index)) != FILE_THERE) continue;
    if (i == 0) run(index, strlen(index), "", script, info);
    else hako_req.answer = HAKO_FILE;
    free(index);
    return;
  }
  free(index);
  if (length == 1) front(script, info);
  else status(403);
}

void hako_resolve(const char *path, const char *uri, const char *query, char *script, char *info) {
  size_t length = strlen(path);
  if (hidden(path)) {
    front(script, info);
    return;
  }
  /* The first part that names a script, with what follows it as PATH_INFO. */
  bool named = false;
  for (const char *s = path; (s = strstr(s, ".php")) != NULL; s++) {
    size_t end = (size_t)(s - path) + 4;
    if ((path[end] != '/' && path[end] != 0) || !is_script(path, end)) continue;
    int what = look(path, end);
    if (what == FOLDER) continue;
    named = true;
    if (what == FILE_THERE) {
      run(path, end, path + end, script, info);
      return;
    }
  }
  switch (look(path, length)) {
  case FILE_THERE:
    if (path[length - 1] == '/' || !hako_opt.files) break;
    hako_req.answer = HAKO_FILE;
    return;
  case FOLDER:
    folder(path, length, uri, query, script, info);
    return;
  }
  if (named) status(404);
  else front(script, info);
}
