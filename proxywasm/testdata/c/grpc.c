/* Asks a gRPC service about each request: by one call for paths under /call, by
   a stream of two messages for others. The request waits for the answer, which
   becomes the header x-grpc. A call that succeeds ends with its message; only
   one that fails is closed. */
#include <stdio.h>

#include "proxy_wasm.h"

PROXY_WASM_PLUGIN

/* The requests that wait, by the number of their call. */
enum { MANY = 64 };
static struct {
  uint32_t call, context;
  int one;
  char text[200];
} waiting[MANY];

static int find(uint32_t call) {
  for (int i = 0; i < MANY; i++)
    if (waiting[i].call == call) return i;
  abort();
}

static void note(uint32_t call, const char *what, const char *text) {
  char *at = waiting[find(call)].text;
  size_t used = strlen(at);
  snprintf(at + used, sizeof waiting[0].text - used, "%s%s", what, text);
}

static void finish(int i) {
  uint32_t context = waiting[i].context;
  waiting[i].call = 0;
  proxy_set_effective_context(context);
  proxy_add_header(PROXY_REQUEST_HEADERS, "x-grpc", waiting[i].text);
  proxy_continue_stream(PROXY_STREAM_REQUEST);
}

uint32_t proxy_on_request_headers(uint32_t context, size_t count, uint32_t end) {
  proxy_string path = proxy_header(PROXY_REQUEST_HEADERS, ":path");
  int one = path.text && !strncmp(path.text, "/call", 5);
  free(path.text);
  proxy_pairs metadata = {0};
  proxy_pairs_add(&metadata, "x-plugin", "grpc.c");
  uint32_t call, status;
  if (one) {
    status = proxy_grpc_call("oracle", 6, "test.Oracle", 11, "Ask", 3, metadata.data, metadata.size, "ping", 4, 1000, &call);
  } else {
    status = proxy_grpc_stream("oracle", 6, "test.Oracle", 11, "Talk", 4, metadata.data, metadata.size, &call);
    if (status == PROXY_OK) {
      proxy_grpc_send(call, "one", 3, 0);
      proxy_grpc_send(call, "two", 3, 1);
    }
  }
  free(metadata.data);
  if (status != PROXY_OK) {
    proxy_respond(503, NULL, "no call");
    return PROXY_PAUSE;
  }
  int i = find(0);
  waiting[i].call = call;
  waiting[i].context = context;
  waiting[i].one = one;
  waiting[i].text[0] = 0;
  return PROXY_PAUSE;
}

void proxy_on_grpc_receive_initial_metadata(uint32_t plugin, uint32_t call, size_t count) {
  proxy_string s = proxy_header(PROXY_GRPC_INITIAL_METADATA, "x-greeting");
  note(call, "initial ", s.text ? s.text : "none");
  free(s.text);
}

void proxy_on_grpc_receive(uint32_t plugin, uint32_t call, size_t size) {
  proxy_string s = proxy_buffer(PROXY_GRPC_MESSAGE, 0, size);
  note(call, ", message ", s.text ? s.text : "none");
  free(s.text);
  int i = find(call);
  if (waiting[i].one) finish(i);
}

void proxy_on_grpc_receive_trailing_metadata(uint32_t plugin, uint32_t call, size_t count) {
  proxy_string s = proxy_header(PROXY_GRPC_TRAILING_METADATA, "x-farewell");
  note(call, ", trailing ", s.text ? s.text : "none");
  free(s.text);
}

void proxy_on_grpc_close(uint32_t plugin, uint32_t call, uint32_t status) {
  char text[40];
  uint32_t code = 0;
  char *message = NULL;
  size_t size = 0;
  proxy_get_status(&code, &message, &size);
  snprintf(text, sizeof text, "%u/%u %.*s", status, code, (int)size, message ? message : "");
  free(message);
  note(call, ", closed ", text);
  finish(find(call));
}
