// A plugin that the tests work by hand: each callback asks the host function
// test.hook what to do, and exec calls the import of a number with the
// arguments in args. ABI is the version that it shows, as 0_2_1.

#include <stddef.h>
#include <stdint.h>

#define EXPORT(name) __attribute__((export_name(#name), used))
#define IMPORT(module, name) __attribute__((import_module(#module), import_name(#name)))
#define JOIN(a, b) a##b
#define VERSION(v) JOIN(proxy_abi_version_, v)
#define TEXT(x) #x
#define NAME(x) TEXT(x)

IMPORT(test, hook) uint32_t hook(uint32_t callback, uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t e);

__attribute__((export_name(NAME(VERSION(ABI))), used)) void abi(void) {}

static uint64_t args[16];
static char heap[4 << 20];
static uint32_t used;

EXPORT(args_at) uint32_t args_at(void) { return (uint32_t)args; }
EXPORT(heap_at) uint32_t heap_at(void) { return (uint32_t)heap; }
EXPORT(heap_size) uint32_t heap_size(void) { return sizeof heap; }

// The allocator gives out the upper half of the heap, round and round; the
// lower is the tests'.
static void *give(uint32_t size) {
	if (hook(1001, size, 0, 0, 0, 0))
		return 0;
	if (size > sizeof heap / 2)
		return 0;
	if (used + size > sizeof heap / 2)
		used = 0;
	void *at = heap + sizeof heap / 2 + used;
	used += (size + 7) & ~7u;
	return at;
}

#ifdef MALLOC
EXPORT(malloc) void *malloc_(size_t size) { return give(size); }
#else
EXPORT(proxy_on_memory_allocate) void *allocate(size_t size) { return give(size); }
EXPORT(malloc) void *malloc_(size_t size) { __builtin_trap(); }
#endif

#ifdef COMMAND
EXPORT(_start) void start(void) { hook(1000, 0, 0, 0, 0, 0); }
#else
EXPORT(_initialize) void initialize(void) { hook(1000, 0, 0, 0, 0, 0); }
// It exports _start, too, which is not to be called then.
EXPORT(_start) void start(void) { __builtin_trap(); }
EXPORT(main) int main_(int argc, char **argv) { return hook(1002, argc, (uint32_t)argv, 0, 0, 0); }
#endif

EXPORT(trap) void trap(void) { __builtin_trap(); }
EXPORT(spin) void spin(void) {
	for (;;)
		__asm__ volatile("");
}
EXPORT(bomb) uint32_t bomb(void) {
	uint32_t n = 0;
	while (__builtin_wasm_memory_grow(0, 16) != (size_t)-1)
		n++;
	return n;
}
// many calls an import again and again.
EXPORT(many) uint32_t many(uint32_t times);

IMPORT(env, proxy_get_header_map_value) uint32_t proxy_get_header_map_value(uint32_t, uint32_t, uint32_t, uint32_t, uint32_t);
IMPORT(env, proxy_add_header_map_value) uint32_t proxy_add_header_map_value(uint32_t, uint32_t, uint32_t, uint32_t, uint32_t);
IMPORT(env, proxy_replace_header_map_value) uint32_t proxy_replace_header_map_value(uint32_t, uint32_t, uint32_t, uint32_t, uint32_t);
IMPORT(env, proxy_remove_header_map_value) uint32_t proxy_remove_header_map_value(uint32_t, uint32_t, uint32_t);
IMPORT(env, proxy_get_header_map_pairs) uint32_t proxy_get_header_map_pairs(uint32_t, uint32_t, uint32_t);
IMPORT(env, proxy_set_header_map_pairs) uint32_t proxy_set_header_map_pairs(uint32_t, uint32_t, uint32_t);
IMPORT(env, proxy_get_header_map_size) uint32_t proxy_get_header_map_size(uint32_t, uint32_t);
IMPORT(env, proxy_get_buffer_bytes) uint32_t proxy_get_buffer_bytes(uint32_t, uint32_t, uint32_t, uint32_t, uint32_t);
IMPORT(env, proxy_set_buffer_bytes) uint32_t proxy_set_buffer_bytes(uint32_t, uint32_t, uint32_t, uint32_t, uint32_t);
IMPORT(env, proxy_get_buffer_status) uint32_t proxy_get_buffer_status(uint32_t, uint32_t, uint32_t);
IMPORT(env, proxy_get_configuration) uint32_t proxy_get_configuration(uint32_t, uint32_t);
IMPORT(env, proxy_continue_stream) uint32_t proxy_continue_stream(uint32_t);
IMPORT(env, proxy_continue_request) uint32_t proxy_continue_request(void);
IMPORT(env, proxy_continue_response) uint32_t proxy_continue_response(void);
IMPORT(env, proxy_close_stream) uint32_t proxy_close_stream(uint32_t);
IMPORT(env, proxy_send_local_response) uint32_t proxy_send_local_response(uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t);
IMPORT(env, proxy_clear_route_cache) uint32_t proxy_clear_route_cache(void);
IMPORT(env, proxy_set_effective_context) uint32_t proxy_set_effective_context(uint32_t);
IMPORT(env, proxy_done) uint32_t proxy_done(void);
IMPORT(env, proxy_get_property) uint32_t proxy_get_property(uint32_t, uint32_t, uint32_t, uint32_t);
IMPORT(env, proxy_set_property) uint32_t proxy_set_property(uint32_t, uint32_t, uint32_t, uint32_t);
IMPORT(env, proxy_http_call) uint32_t proxy_http_call(uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t);
IMPORT(env, proxy_grpc_call) uint32_t proxy_grpc_call(uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t);
IMPORT(env, proxy_grpc_stream) uint32_t proxy_grpc_stream(uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t);
IMPORT(env, proxy_grpc_send) uint32_t proxy_grpc_send(uint32_t, uint32_t, uint32_t, uint32_t);
IMPORT(env, proxy_grpc_cancel) uint32_t proxy_grpc_cancel(uint32_t);
IMPORT(env, proxy_grpc_close) uint32_t proxy_grpc_close(uint32_t);
IMPORT(env, proxy_redis_init) uint32_t proxy_redis_init(uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t);
IMPORT(env, proxy_redis_call) uint32_t proxy_redis_call(uint32_t, uint32_t, uint32_t, uint32_t, uint32_t);
IMPORT(env, proxy_get_shared_data) uint32_t proxy_get_shared_data(uint32_t, uint32_t, uint32_t, uint32_t, uint32_t);
IMPORT(env, proxy_set_shared_data) uint32_t proxy_set_shared_data(uint32_t, uint32_t, uint32_t, uint32_t, uint32_t);
IMPORT(env, proxy_register_shared_queue) uint32_t proxy_register_shared_queue(uint32_t, uint32_t, uint32_t);
IMPORT(env, proxy_resolve_shared_queue) uint32_t proxy_resolve_shared_queue(uint32_t, uint32_t, uint32_t, uint32_t, uint32_t);
IMPORT(env, proxy_enqueue_shared_queue) uint32_t proxy_enqueue_shared_queue(uint32_t, uint32_t, uint32_t);
IMPORT(env, proxy_dequeue_shared_queue) uint32_t proxy_dequeue_shared_queue(uint32_t, uint32_t, uint32_t);
IMPORT(env, proxy_define_metric) uint32_t proxy_define_metric(uint32_t, uint32_t, uint32_t, uint32_t);
IMPORT(env, proxy_increment_metric) uint32_t proxy_increment_metric(uint32_t, uint64_t);
IMPORT(env, proxy_record_metric) uint32_t proxy_record_metric(uint32_t, uint64_t);
IMPORT(env, proxy_get_metric) uint32_t proxy_get_metric(uint32_t, uint32_t);
IMPORT(env, proxy_log) uint32_t proxy_log(uint32_t, uint32_t, uint32_t);
IMPORT(env, proxy_get_log_level) uint32_t proxy_get_log_level(uint32_t);
IMPORT(env, proxy_get_status) uint32_t proxy_get_status(uint32_t, uint32_t, uint32_t);
IMPORT(env, proxy_get_current_time_nanoseconds) uint32_t proxy_get_current_time_nanoseconds(uint32_t);
IMPORT(env, proxy_set_tick_period_milliseconds) uint32_t proxy_set_tick_period_milliseconds(uint32_t);
IMPORT(env, proxy_call_foreign_function) uint32_t proxy_call_foreign_function(uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t);
IMPORT(env, pthread_equal) uint32_t pthread_equal(uint32_t, uint32_t);
IMPORT(env, proxy_inject_encoded_data_to_filter_chain) uint32_t proxy_inject_encoded_data_to_filter_chain(uint32_t, uint32_t, uint32_t);
IMPORT(env, proxy_get_upstream_hosts) uint32_t proxy_get_upstream_hosts(uint32_t, uint32_t);
IMPORT(env, proxy_set_upstream_override_host) uint32_t proxy_set_upstream_override_host(uint32_t, uint32_t);
IMPORT(wasi_snapshot_preview1, fd_write) uint32_t fd_write(uint32_t, uint32_t, uint32_t, uint32_t);
IMPORT(wasi_snapshot_preview1, poll_oneoff) uint32_t poll_oneoff(uint32_t, uint32_t, uint32_t, uint32_t);
IMPORT(wasi_snapshot_preview1, clock_time_get) uint32_t clock_time_get(uint32_t, uint64_t, uint32_t);
IMPORT(wasi_snapshot_preview1, random_get) uint32_t random_get(uint32_t, uint32_t);
IMPORT(wasi_snapshot_preview1, environ_sizes_get) uint32_t environ_sizes_get(uint32_t, uint32_t);
IMPORT(wasi_snapshot_preview1, environ_get) uint32_t environ_get(uint32_t, uint32_t);
IMPORT(wasi_snapshot_preview1, args_sizes_get) uint32_t args_sizes_get(uint32_t, uint32_t);
IMPORT(wasi_snapshot_preview1, proc_exit) void proc_exit(uint32_t);

// exec calls the import of that number, in the order of the declarations.
EXPORT(exec) uint32_t exec(uint32_t number) {
	switch (number) {
	case 0:
		return proxy_get_header_map_value(args[0], args[1], args[2], args[3], args[4]);
	case 1:
		return proxy_add_header_map_value(args[0], args[1], args[2], args[3], args[4]);
	case 2:
		return proxy_replace_header_map_value(args[0], args[1], args[2], args[3], args[4]);
	case 3:
		return proxy_remove_header_map_value(args[0], args[1], args[2]);
	case 4:
		return proxy_get_header_map_pairs(args[0], args[1], args[2]);
	case 5:
		return proxy_set_header_map_pairs(args[0], args[1], args[2]);
	case 6:
		return proxy_get_header_map_size(args[0], args[1]);
	case 7:
		return proxy_get_buffer_bytes(args[0], args[1], args[2], args[3], args[4]);
	case 8:
		return proxy_set_buffer_bytes(args[0], args[1], args[2], args[3], args[4]);
	case 9:
		return proxy_get_buffer_status(args[0], args[1], args[2]);
	case 10:
		return proxy_get_configuration(args[0], args[1]);
	case 11:
		return proxy_continue_stream(args[0]);
	case 12:
		return proxy_continue_request();
	case 13:
		return proxy_continue_response();
	case 14:
		return proxy_close_stream(args[0]);
	case 15:
		return proxy_send_local_response(args[0], args[1], args[2], args[3], args[4], args[5], args[6], args[7]);
	case 16:
		return proxy_clear_route_cache();
	case 17:
		return proxy_set_effective_context(args[0]);
	case 18:
		return proxy_done();
	case 19:
		return proxy_get_property(args[0], args[1], args[2], args[3]);
	case 20:
		return proxy_set_property(args[0], args[1], args[2], args[3]);
	case 21:
		return proxy_http_call(args[0], args[1], args[2], args[3], args[4], args[5], args[6], args[7], args[8], args[9]);
	case 22:
		return proxy_grpc_call(args[0], args[1], args[2], args[3], args[4], args[5], args[6], args[7], args[8], args[9], args[10], args[11]);
	case 23:
		return proxy_grpc_stream(args[0], args[1], args[2], args[3], args[4], args[5], args[6], args[7], args[8]);
	case 24:
		return proxy_grpc_send(args[0], args[1], args[2], args[3]);
	case 25:
		return proxy_grpc_cancel(args[0]);
	case 26:
		return proxy_grpc_close(args[0]);
	case 27:
		return proxy_redis_init(args[0], args[1], args[2], args[3], args[4], args[5], args[6]);
	case 28:
		return proxy_redis_call(args[0], args[1], args[2], args[3], args[4]);
	case 29:
		return proxy_get_shared_data(args[0], args[1], args[2], args[3], args[4]);
	case 30:
		return proxy_set_shared_data(args[0], args[1], args[2], args[3], args[4]);
	case 31:
		return proxy_register_shared_queue(args[0], args[1], args[2]);
	case 32:
		return proxy_resolve_shared_queue(args[0], args[1], args[2], args[3], args[4]);
	case 33:
		return proxy_enqueue_shared_queue(args[0], args[1], args[2]);
	case 34:
		return proxy_dequeue_shared_queue(args[0], args[1], args[2]);
	case 35:
		return proxy_define_metric(args[0], args[1], args[2], args[3]);
	case 36:
		return proxy_increment_metric(args[0], args[1]);
	case 37:
		return proxy_record_metric(args[0], args[1]);
	case 38:
		return proxy_get_metric(args[0], args[1]);
	case 39:
		return proxy_log(args[0], args[1], args[2]);
	case 40:
		return proxy_get_log_level(args[0]);
	case 41:
		return proxy_get_status(args[0], args[1], args[2]);
	case 42:
		return proxy_get_current_time_nanoseconds(args[0]);
	case 43:
		return proxy_set_tick_period_milliseconds(args[0]);
	case 44:
		return proxy_call_foreign_function(args[0], args[1], args[2], args[3], args[4], args[5]);
	case 45:
		return pthread_equal(args[0], args[1]);
	case 46:
		return fd_write(args[0], args[1], args[2], args[3]);
	case 47:
		return poll_oneoff(args[0], args[1], args[2], args[3]);
	case 48:
		return clock_time_get(args[0], args[1], args[2]);
	case 49:
		return random_get(args[0], args[1]);
	case 50:
		return environ_sizes_get(args[0], args[1]);
	case 51:
		return environ_get(args[0], args[1]);
	case 52:
		return args_sizes_get(args[0], args[1]);
	case 53:
		proc_exit(args[0]);
		return 0;
	case 54:
		return proxy_inject_encoded_data_to_filter_chain(args[0], args[1], args[2]);
	case 55:
		return proxy_get_upstream_hosts(args[0], args[1]);
	case 56:
		return proxy_set_upstream_override_host(args[0], args[1]);
	}
	return 0xffffffff;
}

uint32_t many(uint32_t times) {
	uint32_t status = 0;
	for (uint32_t i = 0; i < times; i++)
		status |= proxy_get_header_map_value(args[0], args[1], args[2], args[3], args[4]);
	return status;
}

#define ON0(number, name) EXPORT(name) void name(uint32_t a) { hook(number, a, 0, 0, 0, 0); }
#define ON1(number, name) EXPORT(name) uint32_t name(uint32_t a) { return hook(number, a, 0, 0, 0, 0); }
#define ON2(number, name) EXPORT(name) uint32_t name(uint32_t a, uint32_t b) { return hook(number, a, b, 0, 0, 0); }
#define ON2V(number, name) EXPORT(name) void name(uint32_t a, uint32_t b) { hook(number, a, b, 0, 0, 0); }
#define ON3(number, name) EXPORT(name) uint32_t name(uint32_t a, uint32_t b, uint32_t c) { return hook(number, a, b, c, 0, 0); }
#define ON3V(number, name) EXPORT(name) void name(uint32_t a, uint32_t b, uint32_t c) { hook(number, a, b, c, 0, 0); }

#ifdef VOID // no callback has a result
#undef ON1
#undef ON2
#undef ON3
#define ON1 ON0
#define ON2 ON2V
#define ON3 ON3V
#endif

ON2V(0, proxy_on_context_create)
ON2(1, proxy_on_vm_start)
ON2(2, proxy_on_configure)
ON0(3, proxy_on_tick)
ON2V(4, proxy_on_queue_ready)
ON1(5, proxy_on_new_connection)
ON3(6, proxy_on_downstream_data)
ON2V(7, proxy_on_downstream_connection_close)
ON3(8, proxy_on_upstream_data)
ON2V(9, proxy_on_upstream_connection_close)
#ifdef TWO // ABI 0.1.0
ON2(10, proxy_on_request_headers)
ON2(14, proxy_on_response_headers)
ON3V(21, proxy_on_grpc_trailing_metadata)
#else
ON3(10, proxy_on_request_headers)
ON3(14, proxy_on_response_headers)
ON3V(21, proxy_on_grpc_receive_trailing_metadata)
#endif
ON3(11, proxy_on_request_body)
ON2(12, proxy_on_request_trailers)
ON2(13, proxy_on_request_metadata)
ON3(15, proxy_on_response_body)
ON2(16, proxy_on_response_trailers)
ON2(17, proxy_on_response_metadata)
EXPORT(proxy_on_http_call_response) void on_http(uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t e) { hook(18, a, b, c, d, e); }
ON3V(19, proxy_on_grpc_receive_initial_metadata)
ON3V(20, proxy_on_grpc_receive)
ON3V(22, proxy_on_grpc_close)
EXPORT(proxy_on_redis_call_response) void on_redis(uint32_t a, uint32_t b, uint32_t c, uint32_t d) { hook(23, a, b, c, d, 0); }
ON3V(24, proxy_on_foreign_function)
ON1(25, proxy_on_done)
ON0(26, proxy_on_log)
ON0(27, proxy_on_delete)
