/* The response: headers and body on their way to the host. */
#include "sapi.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "hako_http.h"

/* What scripts echo is gathered, for each write crosses to the host. The
   head is sent with the first of it: until then the answer can still become
   an error page. */
static char buffer[16 << 10];
static size_t buffered;

static int status;           /* of the head */
static char *fields;         /* of the head, a block */
static size_t fields_size, fields_room;
static bool prepared;        /* the head was made */
static bool sent;            /* and sent */
static long long room;       /* what Content-Length leaves, -1 if it was not said */
static bool cut;             /* there was more: the rest is dropped */

void hako_log(int level, const char *format, ...) {
  char line[4096];
  va_list args;
  va_start(args, format);
  int n = vsnprintf(line, sizeof line, format, args);
  va_end(args);
  if (n < 0) return;
  if ((size_t)n >= sizeof line) n = sizeof line - 1;
  if (hako_req.active) hako_http_log(level, line, (size_t)n);
  else fprintf(stderr, "%.*s\n", n, line);
}

void hako_log_message(const char *message, int syslog_type) {
  if (!hako_req.active) { /* at start: the log has no request to belong to */
    fprintf(stderr, "%s\n", message);
    return;
  }
  int level = syslog_type <= LOG_ERR ? 8 : syslog_type == LOG_WARNING ? 4 : syslog_type == LOG_DEBUG ? -4 : 0;
  hako_http_log(level, message, strlen(message));
}

void hako_response_begin(void) {
  buffered = fields_size = 0;
  status = 200;
  prepared = sent = cut = false;
  room = -1;
}

static void *fields_grow(size_t more) {
  if (fields_size + more > fields_room) {
    fields_room = 2 * (fields_size + more);
    fields = realloc(fields, fields_room);
  }
  return fields + fields_size;
}

/* Header names are tokens, values hold no control characters (RFC 9110, 5).
   The host would refuse the whole head for one that is not so. */
static bool valid(const char *name, size_t n, const char *value, size_t m) {
  for (size_t i = 0; i < n; i++) {
    unsigned char c = (unsigned char)name[i];
    if (c <= ' ' || c >= 127 || strchr("\"(),/:;<=>?@[\\]{}", c)) return false;
  }
  for (size_t i = 0; i < m; i++) {
    unsigned char c = (unsigned char)value[i];
    if ((c < ' ' && c != '\t') || c == 127) return false;
  }
  return n > 0;
}

static bool is(const char *name, size_t n, const char *what) {
  return strlen(what) == n && strncasecmp(name, what, n) == 0;
}

typedef struct {
  const char *name, *value;
  size_t name_length, value_length;
} header;

static bool split(const sapi_header_struct *h, header *out) {
  const char *colon = memchr(h->header, ':', h->header_len);
  if (!colon) return false;
  const char *end = h->header + h->header_len;
  out->name = h->header;
  out->name_length = (size_t)(colon - h->header);
  for (colon++; colon < end && (*colon == ' ' || *colon == '\t');) colon++;
  while (end > colon && (end[-1] == ' ' || end[-1] == '\t')) end--;
  out->value = colon;
  out->value_length = (size_t)(end - colon);
  return true;
}

/* Makes the head's block of count headers, those of keep. */
static void block(const header *keep, uint32_t count) {
  fields_size = 0;
  memcpy(fields_grow(4), &count, 4);
  fields_size = 4;
  for (uint32_t i = 0; i < count; i++) {
    uint32_t lengths[2] = {(uint32_t)keep[i].name_length, (uint32_t)keep[i].value_length};
    memcpy(fields_grow(8), lengths, 8);
    fields_size += 8;
  }
  for (uint32_t i = 0; i < count; i++) {
    char *to = fields_grow(keep[i].name_length + keep[i].value_length);
    memcpy(to, keep[i].name, keep[i].name_length);
    memcpy(to + keep[i].name_length, keep[i].value, keep[i].value_length);
    fields_size += keep[i].name_length + keep[i].value_length;
  }
}

int hako_response_headers(sapi_headers_struct *headers) {
  if (SG(request_info).no_headers) return SAPI_HEADER_SENT_SUCCESSFULLY;
  size_t most = zend_llist_count(&headers->headers);
  header *keep = malloc((most + 1) * sizeof *keep), h;
  uint32_t count = 0;
  room = -1;
  status = headers->http_response_code ? headers->http_response_code : 200;
  zend_llist_position at;
  for (sapi_header_struct *s = zend_llist_get_first_ex(&headers->headers, &at); s; s = zend_llist_get_next_ex(&headers->headers, &at)) {
    if (!split(s, &h)) continue;
    if (is(h.name, h.name_length, "Status")) { /* as CGI has it */
      int code = atoi(h.value);
      if (status == 200 && code >= 100) status = code;
      continue;
    }
    if (!valid(h.name, h.name_length, h.value, h.value_length)) {
      hako_log(4, "header %.*s is dropped: it holds characters that HTTP does not allow", (int)(h.name_length < 100 ? h.name_length : 100), h.name);
      continue;
    }
    if (is(h.name, h.name_length, "Content-Length")) { /* one number, or none */
      if (room >= 0 || h.value_length == 0 || h.value_length > 18 || strspn(h.value, "0123456789") < h.value_length) continue;
      room = strtoll(h.value, NULL, 10);
    }
    keep[count++] = h;
  }
  if (status < 200 || status > 999) {
    hako_log(4, "status %d is none that an answer can end with", status);
    status = status < 200 ? 200 : 500;
  }
  if (status == 304) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < count; i++)
      if (!is(keep[i].name, keep[i].name_length, "Content-Type")) keep[n++] = keep[i];
    count = n;
  }
  block(keep, count);
  free(keep);
  prepared = true;
  return SAPI_HEADER_SENT_SUCCESSFULLY;
}

/* The client has gone: what is written is dropped from now on. */
static bool lost(int32_t result) {
  if (result < 0) hako_req.gone = true;
  return result < 0;
}

/* Adds a header to the block. */
static void add(const char *name, const char *value) {
  uint32_t count = 0, lengths[2] = {(uint32_t)strlen(name), (uint32_t)strlen(value)};
  if (fields_size) memcpy(&count, fields, 4);
  else fields_size = 4;
  fields_grow(8 + lengths[0] + lengths[1]);
  size_t at = 4 + 8 * (size_t)count;
  memmove(fields + at + 8, fields + at, fields_size - at);
  memcpy(fields + at, lengths, 8);
  memcpy(fields + fields_size + 8, name, lengths[0]);
  memcpy(fields + fields_size + 8 + lengths[0], value, lengths[1]);
  fields_size += 8 + lengths[0] + lengths[1];
  count++;
  memcpy(fields, &count, 4);
}

static bool send_head(void) {
  if (sent) return true;
  sent = true;
  if (!prepared) fields_size = 0;
  if (hako_opt.renew && hako_stale()) add("X-Hako-Renew", "1");
  return !lost(hako_http_respond(status, fields, fields_size));
}

static void send_body(const char *text, size_t length) {
  if (!send_head() || hako_req.gone) return;
  if (room >= 0 && (long long)length > room) {
    if (!cut) hako_log(4, "the body is longer than its Content-Length: the rest is dropped");
    cut = true;
    length = (size_t)room;
  }
  if (room >= 0) room -= (long long)length;
  while (length > 0) {
    int32_t n = hako_http_write(text, length);
    if (lost(n)) return;
    text += n;
    length -= (size_t)n;
  }
}

static void send_buffer(void) {
  size_t n = buffered;
  buffered = 0;
  if (n) send_body(buffer, n);
}

size_t hako_response_write(const char *text, size_t length) {
  if (!hako_req.active || hako_req.ended) return length;
  if (length > sizeof buffer - buffered) send_buffer();
  if (length > sizeof buffer) {
    send_body(text, length);
  } else {
    memcpy(buffer + buffered, text, length);
    buffered += length;
  }
  if (hako_req.gone) php_handle_aborted_connection();
  return length;
}

void hako_response_flush(void *context) {
  if (!hako_req.active || hako_req.ended || !context) return;
  sapi_send_headers();
  send_buffer();
  if (send_head() && !hako_req.gone) lost(hako_http_flush());
  if (hako_req.gone) php_handle_aborted_connection();
}

void hako_response_finish(void) {
  if (!hako_req.active || hako_req.ended) return;
  send_buffer();
  send_head();
  hako_http_finish();
  hako_req.ended = true;
}

void hako_response_head(int code, const char *const *pairs, uint32_t count) {
  header *all = malloc((count + 1) * sizeof *all);
  for (uint32_t i = 0; i < count; i++)
    all[i] = (header){pairs[2 * i], pairs[2 * i + 1], strlen(pairs[2 * i]), strlen(pairs[2 * i + 1])};
  block(all, count);
  free(all);
  prepared = true;
  status = code;
}

void hako_response_page(int code) {
  char page[512];
  const char *reason = hako_reason(code);
  int n = snprintf(page, sizeof page,
      "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>%d %s</title>\n<h1>%d %s</h1>\n", code, reason, code, reason);
  const char *const pairs[] = {"Content-Type", "text/html; charset=utf-8", "Location", hako_req.location};
  hako_response_head(code, pairs, hako_req.location ? 2 : 1);
  hako_response_write(page, (size_t)n);
}

void hako_response_end(bool failed) {
  if (hako_req.ended) return;
  /* A script that ended by an error and shows none would be an empty page. */
  if (failed && !sent && buffered == 0 && (!prepared || status == 500)) {
    room = -1;
    free(hako_req.location);
    hako_req.location = NULL;
    hako_response_page(500);
  }
  send_buffer();
  send_head();
}

const char *hako_reason(int code) {
  switch (code) {
  case 301: return "Moved Permanently";
  case 400: return "Bad Request";
  case 403: return "Forbidden";
  case 404: return "Not Found";
  case 405: return "Method Not Allowed";
  case 408: return "Request Timeout";
  case 413: return "Content Too Large";
  case 416: return "Range Not Satisfiable";
  case 500: return "Internal Server Error";
  }
  return "";
}
