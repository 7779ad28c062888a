/* Proxy-Wasm, ABI 0.2.1, for plugins in C and C++: every function of the host,
   every callback, and a few helpers. docs/filters.md tells how to build one.

   Link with -mexec-model=reactor, write PROXY_WASM_PLUGIN once, and define the
   callbacks that the plugin wants; those that it does not define are not
   exported, and the host does not call them.

   What the host returns through a pointer to a pointer was allocated in the
   plugin's memory with proxy_on_memory_allocate; the plugin frees it. */
#ifndef PROXY_WASM_H
#define PROXY_WASM_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PROXY_WASM_IMPORT(name) \
  __attribute__((import_module("env"), import_name(#name))) extern
#define PROXY_WASM_EXPORT(name) __attribute__((export_name(#name)))

/* What every plugin exports beside its callbacks. */
#define PROXY_WASM_PLUGIN                                              \
  PROXY_WASM_EXPORT(proxy_abi_version_0_2_1)                           \
  void proxy_abi_version_0_2_1(void) {}                                \
  PROXY_WASM_EXPORT(proxy_on_memory_allocate)                          \
  void *proxy_on_memory_allocate(size_t size) { return malloc(size); }

enum { /* what functions of the host return */
  PROXY_OK = 0,
  PROXY_NOT_FOUND = 1,
  PROXY_BAD_ARGUMENT = 2,
  PROXY_SERIALIZATION_FAILURE = 3,
  PROXY_PARSE_FAILURE = 4,
  PROXY_INVALID_MEMORY_ACCESS = 6,
  PROXY_EMPTY = 7,
  PROXY_CAS_MISMATCH = 8,
  PROXY_INTERNAL_FAILURE = 10,
  PROXY_UNIMPLEMENTED = 12,
};
enum { PROXY_TRACE, PROXY_DEBUG, PROXY_INFO, PROXY_WARN, PROXY_ERROR, PROXY_CRITICAL };
enum { PROXY_CONTINUE = 0, PROXY_PAUSE = 1 };
enum { /* buffers */
  PROXY_REQUEST_BODY,
  PROXY_RESPONSE_BODY,
  PROXY_DOWNSTREAM_DATA,
  PROXY_UPSTREAM_DATA,
  PROXY_CALL_RESPONSE_BODY,
  PROXY_GRPC_MESSAGE,
  PROXY_VM_CONFIGURATION,
  PROXY_PLUGIN_CONFIGURATION,
  PROXY_FOREIGN_ARGUMENTS,
};
enum { /* maps */
  PROXY_REQUEST_HEADERS,
  PROXY_REQUEST_TRAILERS,
  PROXY_RESPONSE_HEADERS,
  PROXY_RESPONSE_TRAILERS,
  PROXY_GRPC_INITIAL_METADATA,
  PROXY_GRPC_TRAILING_METADATA,
  PROXY_CALL_RESPONSE_HEADERS,
  PROXY_CALL_RESPONSE_TRAILERS,
};
enum { PROXY_STREAM_REQUEST, PROXY_STREAM_RESPONSE, PROXY_STREAM_DOWNSTREAM, PROXY_STREAM_UPSTREAM };
enum { PROXY_COUNTER, PROXY_GAUGE, PROXY_HISTOGRAM };
enum { PROXY_PEER_UNKNOWN, PROXY_PEER_LOCAL, PROXY_PEER_REMOTE };

/* ---- functions of the host ---- */

PROXY_WASM_IMPORT(proxy_log) uint32_t proxy_log(uint32_t level, const char *text, size_t size);
PROXY_WASM_IMPORT(proxy_get_log_level) uint32_t proxy_get_log_level(uint32_t *level);
PROXY_WASM_IMPORT(proxy_done) uint32_t proxy_done(void);
PROXY_WASM_IMPORT(proxy_set_effective_context) uint32_t proxy_set_effective_context(uint32_t context);
PROXY_WASM_IMPORT(proxy_get_current_time_nanoseconds) uint32_t proxy_get_current_time_nanoseconds(uint64_t *time);
PROXY_WASM_IMPORT(proxy_set_tick_period_milliseconds) uint32_t proxy_set_tick_period_milliseconds(uint32_t period);

PROXY_WASM_IMPORT(proxy_get_buffer_bytes)
uint32_t proxy_get_buffer_bytes(uint32_t buffer, size_t start, size_t max, char **data, size_t *size);
PROXY_WASM_IMPORT(proxy_set_buffer_bytes)
uint32_t proxy_set_buffer_bytes(uint32_t buffer, size_t start, size_t replaced, const void *data, size_t size);
PROXY_WASM_IMPORT(proxy_get_buffer_status)
uint32_t proxy_get_buffer_status(uint32_t buffer, size_t *size, uint32_t *unused);

PROXY_WASM_IMPORT(proxy_get_header_map_size) uint32_t proxy_get_header_map_size(uint32_t map, size_t *size);
PROXY_WASM_IMPORT(proxy_get_header_map_pairs)
uint32_t proxy_get_header_map_pairs(uint32_t map, char **pairs, size_t *size);
PROXY_WASM_IMPORT(proxy_set_header_map_pairs)
uint32_t proxy_set_header_map_pairs(uint32_t map, const char *pairs, size_t size);
PROXY_WASM_IMPORT(proxy_get_header_map_value)
uint32_t proxy_get_header_map_value(uint32_t map, const char *key, size_t key_size, char **value, size_t *value_size);
PROXY_WASM_IMPORT(proxy_add_header_map_value)
uint32_t proxy_add_header_map_value(uint32_t map, const char *key, size_t key_size, const char *value, size_t value_size);
PROXY_WASM_IMPORT(proxy_replace_header_map_value)
uint32_t proxy_replace_header_map_value(uint32_t map, const char *key, size_t key_size, const char *value,
                                        size_t value_size);
PROXY_WASM_IMPORT(proxy_remove_header_map_value)
uint32_t proxy_remove_header_map_value(uint32_t map, const char *key, size_t key_size);

PROXY_WASM_IMPORT(proxy_continue_stream) uint32_t proxy_continue_stream(uint32_t stream);
PROXY_WASM_IMPORT(proxy_close_stream) uint32_t proxy_close_stream(uint32_t stream);
PROXY_WASM_IMPORT(proxy_get_status) uint32_t proxy_get_status(uint32_t *code, char **text, size_t *size);
PROXY_WASM_IMPORT(proxy_send_local_response)
uint32_t proxy_send_local_response(uint32_t status, const char *details, size_t details_size, const void *body,
                                   size_t body_size, const char *headers, size_t headers_size, int32_t grpc_status);
/* Of ABI 0.1.0, which hosts of 0.2.x have, too. */
PROXY_WASM_IMPORT(proxy_clear_route_cache) uint32_t proxy_clear_route_cache(void);

PROXY_WASM_IMPORT(proxy_http_call)
uint32_t proxy_http_call(const char *upstream, size_t upstream_size, const char *headers, size_t headers_size,
                         const void *body, size_t body_size, const char *trailers, size_t trailers_size,
                         uint32_t timeout_milliseconds, uint32_t *call);
PROXY_WASM_IMPORT(proxy_grpc_call)
uint32_t proxy_grpc_call(const char *upstream, size_t upstream_size, const char *service, size_t service_size,
                         const char *method, size_t method_size, const char *metadata, size_t metadata_size,
                         const void *message, size_t message_size, uint32_t timeout_milliseconds, uint32_t *call);
PROXY_WASM_IMPORT(proxy_grpc_stream)
uint32_t proxy_grpc_stream(const char *upstream, size_t upstream_size, const char *service, size_t service_size,
                           const char *method, size_t method_size, const char *metadata, size_t metadata_size,
                           uint32_t *stream);
PROXY_WASM_IMPORT(proxy_grpc_send)
uint32_t proxy_grpc_send(uint32_t stream, const void *message, size_t size, uint32_t end);
PROXY_WASM_IMPORT(proxy_grpc_cancel) uint32_t proxy_grpc_cancel(uint32_t call);
PROXY_WASM_IMPORT(proxy_grpc_close) uint32_t proxy_grpc_close(uint32_t call);

PROXY_WASM_IMPORT(proxy_get_shared_data)
uint32_t proxy_get_shared_data(const char *key, size_t key_size, char **value, size_t *value_size, uint32_t *cas);
PROXY_WASM_IMPORT(proxy_set_shared_data)
uint32_t proxy_set_shared_data(const char *key, size_t key_size, const void *value, size_t value_size, uint32_t cas);
PROXY_WASM_IMPORT(proxy_register_shared_queue)
uint32_t proxy_register_shared_queue(const char *name, size_t name_size, uint32_t *queue);
PROXY_WASM_IMPORT(proxy_resolve_shared_queue)
uint32_t proxy_resolve_shared_queue(const char *vm, size_t vm_size, const char *name, size_t name_size, uint32_t *queue);
PROXY_WASM_IMPORT(proxy_enqueue_shared_queue)
uint32_t proxy_enqueue_shared_queue(uint32_t queue, const void *value, size_t size);
PROXY_WASM_IMPORT(proxy_dequeue_shared_queue)
uint32_t proxy_dequeue_shared_queue(uint32_t queue, char **value, size_t *size);

PROXY_WASM_IMPORT(proxy_define_metric)
uint32_t proxy_define_metric(uint32_t type, const char *name, size_t name_size, uint32_t *metric);
PROXY_WASM_IMPORT(proxy_increment_metric) uint32_t proxy_increment_metric(uint32_t metric, int64_t delta);
PROXY_WASM_IMPORT(proxy_record_metric) uint32_t proxy_record_metric(uint32_t metric, uint64_t value);
PROXY_WASM_IMPORT(proxy_get_metric) uint32_t proxy_get_metric(uint32_t metric, uint64_t *value);

/* The parts of a property's path are separated by zero bytes: "source\0port". */
PROXY_WASM_IMPORT(proxy_get_property)
uint32_t proxy_get_property(const char *path, size_t path_size, char **value, size_t *value_size);
PROXY_WASM_IMPORT(proxy_set_property)
uint32_t proxy_set_property(const char *path, size_t path_size, const void *value, size_t value_size);
PROXY_WASM_IMPORT(proxy_call_foreign_function)
uint32_t proxy_call_foreign_function(const char *name, size_t name_size, const void *arguments, size_t arguments_size,
                                     char **results, size_t *results_size);

/* ---- callbacks, to be defined by the plugin; bool is 0 or 1 ---- */

PROXY_WASM_EXPORT(proxy_on_context_create) void proxy_on_context_create(uint32_t context, uint32_t parent);
PROXY_WASM_EXPORT(proxy_on_vm_start) uint32_t proxy_on_vm_start(uint32_t unused, size_t configuration_size);
PROXY_WASM_EXPORT(proxy_on_configure) uint32_t proxy_on_configure(uint32_t plugin, size_t configuration_size);
PROXY_WASM_EXPORT(proxy_on_tick) void proxy_on_tick(uint32_t plugin);
PROXY_WASM_EXPORT(proxy_on_done) uint32_t proxy_on_done(uint32_t context);
PROXY_WASM_EXPORT(proxy_on_log) void proxy_on_log(uint32_t context);
PROXY_WASM_EXPORT(proxy_on_delete) void proxy_on_delete(uint32_t context);

PROXY_WASM_EXPORT(proxy_on_request_headers)
uint32_t proxy_on_request_headers(uint32_t context, size_t count, uint32_t end);
PROXY_WASM_EXPORT(proxy_on_request_body) uint32_t proxy_on_request_body(uint32_t context, size_t size, uint32_t end);
PROXY_WASM_EXPORT(proxy_on_request_trailers) uint32_t proxy_on_request_trailers(uint32_t context, size_t count);
PROXY_WASM_EXPORT(proxy_on_response_headers)
uint32_t proxy_on_response_headers(uint32_t context, size_t count, uint32_t end);
PROXY_WASM_EXPORT(proxy_on_response_body) uint32_t proxy_on_response_body(uint32_t context, size_t size, uint32_t end);
PROXY_WASM_EXPORT(proxy_on_response_trailers) uint32_t proxy_on_response_trailers(uint32_t context, size_t count);

PROXY_WASM_EXPORT(proxy_on_new_connection) uint32_t proxy_on_new_connection(uint32_t context);
PROXY_WASM_EXPORT(proxy_on_downstream_data)
uint32_t proxy_on_downstream_data(uint32_t context, size_t size, uint32_t end);
PROXY_WASM_EXPORT(proxy_on_upstream_data) uint32_t proxy_on_upstream_data(uint32_t context, size_t size, uint32_t end);
PROXY_WASM_EXPORT(proxy_on_downstream_connection_close)
void proxy_on_downstream_connection_close(uint32_t context, uint32_t peer);
PROXY_WASM_EXPORT(proxy_on_upstream_connection_close)
void proxy_on_upstream_connection_close(uint32_t context, uint32_t peer);

PROXY_WASM_EXPORT(proxy_on_http_call_response)
void proxy_on_http_call_response(uint32_t plugin, uint32_t call, size_t headers, size_t body_size, size_t trailers);
PROXY_WASM_EXPORT(proxy_on_grpc_receive_initial_metadata)
void proxy_on_grpc_receive_initial_metadata(uint32_t plugin, uint32_t call, size_t count);
PROXY_WASM_EXPORT(proxy_on_grpc_receive)
void proxy_on_grpc_receive(uint32_t plugin, uint32_t call, size_t size);
PROXY_WASM_EXPORT(proxy_on_grpc_receive_trailing_metadata)
void proxy_on_grpc_receive_trailing_metadata(uint32_t plugin, uint32_t call, size_t count);
PROXY_WASM_EXPORT(proxy_on_grpc_close) void proxy_on_grpc_close(uint32_t plugin, uint32_t call, uint32_t status);
PROXY_WASM_EXPORT(proxy_on_queue_ready) void proxy_on_queue_ready(uint32_t plugin, uint32_t queue);
PROXY_WASM_EXPORT(proxy_on_foreign_function)
void proxy_on_foreign_function(uint32_t plugin, uint32_t function, size_t arguments_size);

/* ---- helpers ---- */

/* A string that the plugin owns: it ends with a zero byte that size does not
   count, and text is to be freed; NULL if there is none. */
typedef struct {
  char *text;
  size_t size;
} proxy_string;

/* Takes what the host returned, and ends it with a zero byte. */
static inline proxy_string proxy_own(uint32_t status, char *data, size_t size) {
  proxy_string s = {NULL, 0};
  if (status != PROXY_OK) return s;
  s.text = (char *)realloc(data, size + 1);
  if (s.text) s.text[s.size = size] = 0;
  return s;
}

static inline proxy_string proxy_header(uint32_t map, const char *key) {
  char *data = NULL;
  size_t size = 0;
  uint32_t status = proxy_get_header_map_value(map, key, strlen(key), &data, &size);
  return proxy_own(status, data, size);
}

static inline uint32_t proxy_add_header(uint32_t map, const char *key, const char *value) {
  return proxy_add_header_map_value(map, key, strlen(key), value, strlen(value));
}

static inline uint32_t proxy_replace_header(uint32_t map, const char *key, const char *value) {
  return proxy_replace_header_map_value(map, key, strlen(key), value, strlen(value));
}

static inline uint32_t proxy_remove_header(uint32_t map, const char *key) {
  return proxy_remove_header_map_value(map, key, strlen(key));
}

/* Up to max bytes of a buffer from start. */
static inline proxy_string proxy_buffer(uint32_t buffer, size_t start, size_t max) {
  char *data = NULL;
  size_t size = 0;
  uint32_t status = proxy_get_buffer_bytes(buffer, start, max, &data, &size);
  return proxy_own(status, data, size);
}

/* Puts text in the place of the whole buffer. */
static inline uint32_t proxy_replace_buffer(uint32_t buffer, const void *text, size_t size) {
  return proxy_set_buffer_bytes(buffer, 0, INT32_MAX, text, size);
}

/* A property whose path is a literal: PROXY_PROPERTY("source\0port"). */
#define PROXY_PROPERTY(path) proxy_property(path, sizeof(path) - 1)
static inline proxy_string proxy_property(const char *path, size_t path_size) {
  char *data = NULL;
  size_t size = 0;
  uint32_t status = proxy_get_property(path, path_size, &data, &size);
  return proxy_own(status, data, size);
}

static inline void proxy_log_text(uint32_t level, const char *text) { proxy_log(level, text, strlen(text)); }

/* Headers to be sent, in the form that the host takes. To be zeroed first and
   its data freed last. */
typedef struct {
  char *data;
  size_t size;
} proxy_pairs;

/* Adds a header; 0 if there is no memory for it. */
static inline int proxy_pairs_add(proxy_pairs *p, const char *key, const char *value) {
  uint32_t count = 0, lengths[2] = {(uint32_t)strlen(key), (uint32_t)strlen(value)};
  if (p->size) memcpy(&count, p->data, 4);
  size_t head = 4 + 8 * (size_t)count, old = p->size ? p->size : 4;
  char *data = (char *)realloc(p->data, old + 10 + lengths[0] + lengths[1]);
  if (!data) return 0;
  memmove(data + head + 8, data + head, old - head);
  memcpy(data + head, lengths, 8);
  memcpy(data + old + 8, key, lengths[0] + 1);
  memcpy(data + old + 8 + lengths[0] + 1, value, lengths[1] + 1);
  count++;
  memcpy(data, &count, 4);
  p->data = data;
  p->size = old + 10 + lengths[0] + lengths[1];
  return 1;
}

/* What a plugin keeps for its contexts: a map from their numbers, which are
   never 0, to pointers. To be zeroed first. */
typedef struct {
  uint32_t *keys;
  void **values;
  size_t count, capacity; /* capacity is 0 or a power of two */
} proxy_table;

/* The place of a key, or the free one where it belongs. */
static inline size_t proxy_table_slot(const proxy_table *t, uint32_t key) {
  size_t i = key * 2654435761u & (t->capacity - 1);
  while (t->keys[i] && t->keys[i] != key) i = (i + 1) & (t->capacity - 1);
  return i;
}

/* NULL if there is nothing for the key. */
static inline void *proxy_table_get(const proxy_table *t, uint32_t key) {
  return t->capacity ? t->values[proxy_table_slot(t, key)] : NULL;
}

/* Keeps a value that is not NULL; 0 if there is no memory for it. */
static inline int proxy_table_put(proxy_table *t, uint32_t key, void *value) {
  if (2 * (t->count + 1) > t->capacity) {
    proxy_table wide = {NULL, NULL, 0, t->capacity ? 2 * t->capacity : 16};
    wide.keys = (uint32_t *)calloc(wide.capacity, sizeof *wide.keys);
    wide.values = (void **)calloc(wide.capacity, sizeof *wide.values);
    if (!wide.keys || !wide.values) {
      free(wide.keys);
      free(wide.values);
      return 0;
    }
    for (size_t i = 0; i < t->capacity; i++)
      if (t->keys[i]) proxy_table_put(&wide, t->keys[i], t->values[i]);
    free(t->keys);
    free(t->values);
    *t = wide;
  }
  size_t i = proxy_table_slot(t, key);
  if (!t->keys[i]) t->count++;
  t->keys[i] = key;
  t->values[i] = value;
  return 1;
}

/* Takes a key out and returns what was kept for it, or NULL. */
static inline void *proxy_table_remove(proxy_table *t, uint32_t key) {
  void *value = proxy_table_get(t, key);
  if (!value) return NULL;
  size_t i = proxy_table_slot(t, key);
  t->keys[i] = 0;
  t->values[i] = NULL;
  t->count--;
  /* What was put behind it may belong further to the front now. */
  for (i = (i + 1) & (t->capacity - 1); t->keys[i]; i = (i + 1) & (t->capacity - 1)) {
    uint32_t moved = t->keys[i];
    void *kept = t->values[i];
    t->keys[i] = 0;
    t->values[i] = NULL;
    size_t to = proxy_table_slot(t, moved);
    t->keys[to] = moved;
    t->values[to] = kept;
  }
  return value;
}

/* Answers the client in place of the upstream; headers may be NULL. */
static inline uint32_t proxy_respond(uint32_t status, const proxy_pairs *headers, const char *body) {
  return proxy_send_local_response(status, NULL, 0, body, strlen(body), headers ? headers->data : NULL,
                                   headers ? headers->size : 0, -1);
}

#ifdef __cplusplus
}
#endif

#endif
