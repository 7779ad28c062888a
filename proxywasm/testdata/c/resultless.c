/* A plugin that imports functions of ABI 0.1.0 without a result, as that
   version's specification has them; with MIXED, one of them with it. */
#include <stddef.h>
#include <stdint.h>

#define EXPORT(name) __attribute__((export_name(#name)))
#define IMPORT(name) __attribute__((import_module("env"), import_name(#name))) extern

IMPORT(proxy_continue_request) void proxy_continue_request(void);
IMPORT(proxy_continue_response) void proxy_continue_response(void);
#ifdef MIXED
IMPORT(proxy_clear_route_cache) uint32_t proxy_clear_route_cache(void);
#else
IMPORT(proxy_clear_route_cache) void proxy_clear_route_cache(void);
#endif

EXPORT(proxy_abi_version_0_1_0) void version(void) {}
EXPORT(malloc) void *allocate(size_t size) { __builtin_trap(); }

EXPORT(proxy_on_request_headers) uint32_t request(uint32_t context, uint32_t count) {
  proxy_clear_route_cache();
  proxy_continue_request();
  return 1;
}

EXPORT(proxy_on_response_headers) uint32_t response(uint32_t context, uint32_t count) {
  proxy_continue_response();
  return 1;
}
