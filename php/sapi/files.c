/* Files that are no scripts. A route of the gateway serves them faster; this
   is for apps that are one route. */
#include "sapi.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* By the end of the name, sorted. */
static const char *const types[][2] = {
  {"7z", "application/x-7z-compressed"}, {"aac", "audio/aac"}, {"atom", "application/atom+xml"}, {"avif", "image/avif"},
  {"bmp", "image/bmp"}, {"bz2", "application/x-bzip2"}, {"css", "text/css; charset=utf-8"}, {"csv", "text/csv; charset=utf-8"},
  {"doc", "application/msword"}, {"docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"},
  {"eot", "application/vnd.ms-fontobject"}, {"epub", "application/epub+zip"}, {"flac", "audio/flac"}, {"gif", "image/gif"},
  {"gz", "application/gzip"}, {"htm", "text/html; charset=utf-8"}, {"html", "text/html; charset=utf-8"},
  {"ico", "image/vnd.microsoft.icon"}, {"ics", "text/calendar; charset=utf-8"}, {"jar", "application/java-archive"},
  {"jpeg", "image/jpeg"}, {"jpg", "image/jpeg"}, {"js", "text/javascript; charset=utf-8"}, {"json", "application/json"},
  {"m4a", "audio/mp4"}, {"map", "application/json"}, {"md", "text/markdown; charset=utf-8"}, {"mid", "audio/midi"},
  {"mjs", "text/javascript; charset=utf-8"}, {"mov", "video/quicktime"}, {"mp3", "audio/mpeg"}, {"mp4", "video/mp4"},
  {"mpeg", "video/mpeg"}, {"odp", "application/vnd.oasis.opendocument.presentation"},
  {"ods", "application/vnd.oasis.opendocument.spreadsheet"}, {"odt", "application/vnd.oasis.opendocument.text"},
  {"oga", "audio/ogg"}, {"ogg", "audio/ogg"}, {"ogv", "video/ogg"}, {"otf", "font/otf"}, {"pdf", "application/pdf"},
  {"png", "image/png"}, {"ppt", "application/vnd.ms-powerpoint"},
  {"pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"}, {"rss", "application/rss+xml"},
  {"rtf", "application/rtf"}, {"svg", "image/svg+xml"}, {"tar", "application/x-tar"}, {"tif", "image/tiff"},
  {"tiff", "image/tiff"}, {"ttf", "font/ttf"}, {"txt", "text/plain; charset=utf-8"}, {"vtt", "text/vtt; charset=utf-8"},
  {"wasm", "application/wasm"}, {"wav", "audio/wav"}, {"weba", "audio/webm"}, {"webm", "video/webm"},
  {"webmanifest", "application/manifest+json"}, {"webp", "image/webp"}, {"woff", "font/woff"}, {"woff2", "font/woff2"},
  {"xhtml", "application/xhtml+xml"}, {"xls", "application/vnd.ms-excel"},
  {"xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"}, {"xml", "application/xml"},
  {"xsl", "application/xslt+xml"}, {"zip", "application/zip"},
};

static int compare(const void *key, const void *entry) { return strcasecmp(key, *(const char *const *)entry); }

static const char *type_of(const char *path) {
  const char *name = strrchr(path, '/'), *dot = strrchr(name ? name : path, '.');
  const char *const *found = dot ? bsearch(dot + 1, types, sizeof types / sizeof *types, sizeof *types, compare) : NULL;
  return found ? found[1] : "application/octet-stream";
}

static void date(char *to, size_t size, time_t at) {
  struct tm tm;
  strftime(to, size, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&at, &tm));
}

/* Whether a list of entity tags holds one, weak ones too. */
static bool listed(const char *list, const char *tag) {
  return strcmp(list, "*") == 0 || strstr(list, tag) != NULL;
}

static bool unchanged(const char *tag, const char *modified) {
  const char *none = hako_request_variable("HTTP_IF_NONE_MATCH"), *since = hako_request_variable("HTTP_IF_MODIFIED_SINCE");
  if (none) return listed(none, tag);
  return since && strcmp(since, modified) == 0; /* clients send back what they got */
}

/* One range of a file: 1 for a part, 0 for the whole, -1 for none of it. */
static int range(const char *tag, const char *modified, long long size, long long *from, long long *to) {
  const char *r = hako_request_variable("HTTP_RANGE"), *when = hako_request_variable("HTTP_IF_RANGE");
  if (!r || strncmp(r, "bytes=", 6) != 0 || strchr(r, ',')) return 0;
  if (when && strcmp(when, tag) != 0 && strcmp(when, modified) != 0) return 0;
  r += 6;
  char *end;
  long long first, last = size - 1;
  if (*r == '-') {
    long long n = strtoll(r + 1, &end, 10);
    if (end == r + 1 || *end || n < 0) return 0;
    if (n == 0) return -1;
    first = n < size ? size - n : 0;
  } else {
    first = strtoll(r, &end, 10);
    if (end == r || *end != '-' || first < 0) return 0;
    r = end + 1;
    if (*r) {
      last = strtoll(r, &end, 10);
      if (*end || end == r || last < first) return 0;
    }
  }
  if (first >= size) return -1;
  *from = first;
  *to = last < size ? last : size - 1;
  return 1;
}

void hako_file_send(void) {
  const char *method = hako_request_variable("REQUEST_METHOD");
  bool get = strcmp(method, "GET") == 0, only_head = strcmp(method, "HEAD") == 0;
  if (!get && !only_head) {
    const char *const allow[] = {"Allow", "GET, HEAD", "Content-Type", "text/plain; charset=utf-8"};
    hako_response_head(405, allow, 2);
    static const char text[] = "A file can be read, and nothing else.\n";
    hako_response_write(text, sizeof text - 1);
    return;
  }
  int fd = open(hako_req.path, O_RDONLY);
  struct stat s;
  if (fd < 0 || fstat(fd, &s) != 0) {
    if (fd >= 0) close(fd);
    hako_response_page(404);
    return;
  }
  char tag[64], modified[64], length[24], part[80];
  snprintf(tag, sizeof tag, "\"%llx-%llx\"", (long long)s.st_mtim.tv_sec * 1000000 + s.st_mtim.tv_nsec / 1000, (long long)s.st_size);
  date(modified, sizeof modified, s.st_mtime);
  long long size = s.st_size, from = 0, to = size - 1;
  int status = 200, ranged = range(tag, modified, size, &from, &to);
  if (unchanged(tag, modified)) status = 304;
  else if (ranged > 0) status = 206;
  else if (ranged < 0) status = 416;
  const char *fields[16] = {"ETag", tag, "Last-Modified", modified, "Accept-Ranges", "bytes", "X-Content-Type-Options", "nosniff"};
  uint32_t n = 8;
  if (status == 200 || status == 206) {
    fields[n++] = "Content-Type";
    fields[n++] = type_of(hako_req.path);
    fields[n++] = "Content-Length";
    snprintf(length, sizeof length, "%lld", to - from + 1);
    fields[n++] = length;
  }
  if (status == 206 || status == 416) {
    fields[n++] = "Content-Range";
    if (status == 206) snprintf(part, sizeof part, "bytes %lld-%lld/%lld", from, to, size);
    else snprintf(part, sizeof part, "bytes */%lld", size);
    fields[n++] = part;
  }
  hako_response_head(status, fields, n / 2);
  if (get && (status == 200 || status == 206)) {
    static char piece[64 << 10];
    for (long long left = to - from + 1; left > 0 && !hako_req.gone;) {
      ssize_t got = pread(fd, piece, left < (long long)sizeof piece ? (size_t)left : sizeof piece, from);
      if (got <= 0) { /* it was cut while it was sent: the host sees that the answer is not whole */
        hako_log(8, "%s became shorter while it was sent", hako_req.path);
        break;
      }
      hako_response_write(piece, (size_t)got);
      from += got;
      left -= got;
    }
  }
  close(fd);
}
