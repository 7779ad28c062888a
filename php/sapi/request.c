/* The request's head, and the variables that are made of it. */
#include "sapi.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "hako_http.h"

hako_request hako_req;

/* The block that the host wrote; kept for the next request. */
static char *block;
static size_t block_room;

static void *grown(void *p, size_t *room, size_t need, size_t unit) {
  if (need <= *room) return p;
  size_t n = *room ? *room : 64;
  while (n < need) n *= 2;
  p = realloc(p, n * unit);
  if (!p) {
    fprintf(stderr, "php-hako: no memory for the request\n");
    abort();
  }
  *room = n;
  return p;
}

static uint32_t text_add(const char *s, size_t n) {
  hako_req.text = grown(hako_req.text, &hako_req.text_room, hako_req.text_size + n + 1, 1);
  uint32_t at = (uint32_t)hako_req.text_size;
  memcpy(hako_req.text + at, s, n);
  hako_req.text[at + n] = 0;
  hako_req.text_size += n + 1;
  return at;
}

static hako_variable *variable_add(const char *name, size_t length) {
  hako_req.variables = grown(hako_req.variables, &hako_req.room, hako_req.count + 1, sizeof *hako_req.variables);
  hako_variable *v = &hako_req.variables[hako_req.count++];
  v->name = text_add(name, length);
  v->name_length = (uint32_t)length;
  v->value = v->value_length = 0;
  return v;
}

static void set(const char *name, const char *value, size_t length) {
  hako_variable *v = variable_add(name, strlen(name));
  v->value = text_add(value, length);
  v->value_length = (uint32_t)length;
}

static void set_string(const char *name, const char *value) { set(name, value, strlen(value)); }

const char *hako_request_variable(const char *name) {
  size_t n = strlen(name);
  for (size_t i = 0; i < hako_req.count; i++) {
    const hako_variable *v = &hako_req.variables[i];
    if (v->name_length == n && memcmp(hako_variable_name(v), name, n) == 0) return hako_variable_value(v);
  }
  return NULL;
}

/* One field after the other of a block. */
typedef struct {
  uint32_t left, name_length, value_length;
  const char *lengths, *text, *name, *value;
} reader;

static bool next(reader *r) {
  if (r->left == 0) return false;
  r->left--;
  memcpy(&r->name_length, r->lengths, 4);
  memcpy(&r->value_length, r->lengths + 4, 4);
  r->lengths += 8;
  r->name = r->text;
  r->value = r->text + r->name_length;
  r->text = r->value + r->value_length;
  return true;
}

/* A request header becomes HTTP_NAME. Those that come several times are one,
   with commas between; cookies with semicolons. */
static void set_header(reader *r, reader *following) {
  bool cookie = r->name_length == 6 && memcmp(r->name, "cookie", 6) == 0;
  /* HTTP_PROXY is what programs take for the proxy to use. */
  bool proxy = r->name_length == 5 && memcmp(r->name, "proxy", 5) == 0;
  if (!proxy) {
    hako_variable *v = variable_add("HTTP_", 5);
    hako_req.text_size--;
    uint32_t rest = text_add(r->name, r->name_length);
    v->name_length += r->name_length;
    for (char *c = hako_req.text + rest; *c; c++) *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
    v->value = text_add(r->value, r->value_length);
    v->value_length = r->value_length;
  }
  reader more = *following;
  while (next(&more) && more.name_length == r->name_length && memcmp(more.name, r->name, r->name_length) == 0) {
    *following = more;
    if (proxy) continue;
    hako_req.text_size--;
    text_add(cookie ? "; " : ", ", 2);
    hako_req.text_size--;
    text_add(more.value, more.value_length);
    hako_req.variables[hako_req.count - 1].value_length += 2 + more.value_length;
  }
}

/* The host of an authority as nginx's $host has it: without port, in lower
   case. Writes the port, or leaves it. */
static void set_authority(hako_http_string authority, const char *default_port, bool https) {
  const char *s = authority.text ? authority.text : "";
  size_t n = authority.text ? authority.length : 0, host = n;
  for (size_t i = n; i > 0 && s[i - 1] != ']'; i--)
    if (s[i - 1] == ':') {
      host = i - 1;
      break;
    }
  char *name = malloc(host + 1);
  for (size_t i = 0; i < host; i++) name[i] = (char)tolower((unsigned char)s[i]);
  set("SERVER_NAME", host ? name : "localhost", host ? host : 9);
  free(name);
  if (host + 1 < n) set("SERVER_PORT", s + host + 1, n - host - 1);
  else set_string("SERVER_PORT", default_port);
  if (n > 0) set("HTTP_HOST", s, n);
  set_string("REQUEST_SCHEME", https ? "https" : "http");
  if (https) set_string("HTTPS", "on");
}

static void set_remote(hako_http_string remote) {
  const char *s = remote.text ? remote.text : "";
  size_t n = remote.text ? remote.length : 0, host = n;
  while (host > 0 && s[host - 1] != ':') host--;
  const char *port = host ? s + host : "0";
  size_t port_length = host ? n - host : 1;
  host = host ? host - 1 : n;
  if (host > 1 && s[0] == '[' && s[host - 1] == ']') {
    s++;
    host -= 2;
  }
  set("REMOTE_ADDR", host ? s : "127.0.0.1", host ? host : 9);
  set("REMOTE_PORT", port, port_length);
}

static char *joined(const char *a, const char *b) {
  size_t n = strlen(a), m = strlen(b);
  char *s = malloc(n + m + 1);
  memcpy(s, a, n);
  memcpy(s + n, b, m + 1);
  return s;
}

/* The request's head, in block. */
static bool head(void) {
  for (;;) {
    int32_t size = hako_http_head(block, block_room);
    if (size < 4) return false;
    if ((size_t)size <= block_room) return true;
    block = grown(block, &block_room, (size_t)size, 1);
  }
}

bool hako_request_read(void) {
  hako_request *q = &hako_req;
  q->ended = q->gone = false;
  q->body_error = 0;
  q->text_size = q->count = 0;
  free(q->location);
  q->location = NULL;
  text_add("", 0);
  if (!head()) return false;
  q->active = true;

  hako_http_string target = hako_http_field(block, ":target"), prefix = hako_http_field(block, ":prefix");
  if (!target.text) return false;
  const char *mark = memchr(target.text, '?', target.length);
  size_t uri = mark ? (size_t)(mark - target.text) : target.length;
  hako_http_string query = {mark ? mark + 1 : "", mark ? target.length - uri - 1 : 0};

  hako_http_string scheme = hako_http_field(block, ":scheme"), method = hako_http_field(block, ":method");
  hako_http_string protocol = hako_http_field(block, ":protocol");
  hako_http_string type = hako_http_field(block, "content-type"), length = hako_http_field(block, "content-length");
  bool https = scheme.length == 5;
  set_string("GATEWAY_INTERFACE", "CGI/1.1");
  set_string("SERVER_SOFTWARE", "hako");
  set("QUERY_STRING", query.text, query.length);
  set("REQUEST_METHOD", method.text, method.length);
  set("CONTENT_TYPE", type.text ? type.text : "", type.length);
  set("CONTENT_LENGTH", length.text ? length.text : "", length.length);
  set("SERVER_PROTOCOL", protocol.text, protocol.length);
  set_string("DOCUMENT_ROOT", hako_opt.root);
  set_string("REDIRECT_STATUS", "200");
  set_string("SERVER_ADDR", "127.0.0.1"); /* what listens is not the guest's to know */
  set_authority(hako_http_field(block, ":authority"), https ? "443" : "80", https);
  set_remote(hako_http_field(block, ":remote"));
  hako_http_string id = hako_http_field(block, ":id");
  if (id.length) set("REQUEST_ID", id.text, id.length);
  { /* with what led to the app, as the client sees it */
    hako_variable *v = variable_add("REQUEST_URI", 11);
    v->value = text_add(prefix.text ? prefix.text : "", prefix.length);
    q->text_size--;
    text_add(target.text, target.length);
    q->variables[q->count - 1].value_length = (uint32_t)(prefix.length + target.length);
  }

  reader r = {.left = hako_http_count(block)};
  r.lengths = block + 4;
  r.text = r.lengths + 8 * (size_t)r.left;
  while (next(&r)) {
    if (r.name_length == 0 || r.name[0] == ':') continue;
    reader current = r;
    set_header(&current, &r);
  }

  /* Where it leads. */
  char *path = malloc(uri + 2), *script = malloc(uri + strlen(hako_opt.index ? hako_opt.index : "") + 16), *info = malloc(uri + 2);
  char *before = malloc(prefix.length + 2);
  script[0] = info[0] = 0;
  size_t n = prefix.length;
  if (n == 0 || !hako_path_normal(prefix.text, n, before)) before[0] = 0;
  n = strlen(before);
  while (n > 0 && before[n - 1] == '/') before[--n] = 0;
  if (hako_path_normal(target.text, uri, path)) {
    char *raw = malloc(prefix.length + uri + 1);
    memcpy(raw, prefix.text ? prefix.text : "", prefix.length);
    memcpy(raw + prefix.length, target.text, uri);
    raw[prefix.length + uri] = 0;
    char *args = NULL;
    if (mark) {
      args = malloc(query.length + 1);
      memcpy(args, query.text, query.length);
      args[query.length] = 0;
    }
    hako_resolve(path, raw, args, script, info);
    free(raw);
    free(args);
  } else {
    q->answer = HAKO_STATUS;
    q->status = 400;
    strcpy(path, "/");
  }
  if (q->answer == HAKO_SCRIPT) {
    char *name = joined(before, script), *self = joined(name, info);
    set_string("SCRIPT_FILENAME", q->path);
    set_string("SCRIPT_NAME", name);
    set_string("PATH_INFO", info);
    if (*info) {
      char *translated = joined(hako_opt.root, info);
      set_string("PATH_TRANSLATED", translated);
      free(translated);
    }
    set_string("DOCUMENT_URI", self);
    set_string("PHP_SELF", self);
    free(name);
    free(self);
  }
  free(path);
  free(script);
  free(info);
  free(before);

  /* From here on nothing is added, so that these can point into the text. */
  const char *declared = hako_request_variable("CONTENT_LENGTH"), *auth = hako_request_variable("HTTP_AUTHORIZATION");
  SG(server_context) = q;
  SG(request_info).request_method = hako_request_variable("REQUEST_METHOD");
  SG(request_info).query_string = (char *)hako_request_variable("QUERY_STRING");
  SG(request_info).request_uri = (char *)hako_request_variable("SCRIPT_NAME");
  SG(request_info).path_translated = q->path;
  SG(request_info).content_type = hako_request_variable("CONTENT_TYPE");
  SG(request_info).content_length = *declared ? strtoll(declared, NULL, 10) : 0;
  SG(request_info).proto_num = protocol.length == 8 && memcmp(protocol.text, "HTTP/1.0", 8) == 0 ? 1000 : 1001;
  SG(sapi_headers).http_response_code = 200;
  php_handle_auth_data(auth);
  return true;
}
