// Small functions, each of which does one thing a guest may do.
#define EXPORT(name) __attribute__((export_name(#name)))
#define IMPORT(name) __attribute__((import_module("test"), import_name(#name)))

IMPORT(twice) int host_twice(int n);
IMPORT(fail) void host_fail(void);
IMPORT(exit) void host_exit(int code);
IMPORT(wait) void host_wait(void);

static int counter = 100;
static char buffer[1 << 20];
static int (*pointers[])(int);

EXPORT(add) int add(int a, int b) { return a + b; }
EXPORT(half) double half(double x) { return x / 2; }
EXPORT(next) int next(void) { return counter++; }
EXPORT(call_host) int call_host(int n) { return host_twice(n) + 1; }
EXPORT(call_fail) void call_fail(void) { host_fail(); }
EXPORT(leave) void leave(int code) { host_exit(code); }
EXPORT(wait) void wait(void) { host_wait(); }

EXPORT(spin) void spin(void) {
	for (;;)
		__asm__ volatile("");
}

EXPORT(work) unsigned work(unsigned n) {
	unsigned x = 1;
	for (unsigned i = 0; i < n; i++)
		x = x * 1664525 + (x >> 3);
	return x;
}

static __attribute__((noinline)) int deeper(int n) {
	volatile int here = n;
	return deeper(n + 1) + here;
}
EXPORT(recurse) int recurse(void) { return deeper(0); }

EXPORT(fill) void fill(int from, int len, int value) {
	for (int i = 0; i < len; i++)
		((volatile char *)from)[i] = value;
}

EXPORT(buffer_at) char *buffer_at(void) { return buffer; }
EXPORT(peek) int peek(int at) { return *(volatile unsigned char *)at; }
EXPORT(poke) void poke(int at, int value) { *(volatile char *)at = value; }
EXPORT(grow) int grow(int pages) { return __builtin_wasm_memory_grow(0, pages); }
EXPORT(pages) int pages(void) { return __builtin_wasm_memory_size(0); }
EXPORT(grow_or_die) void grow_or_die(int pages) {
	if (__builtin_wasm_memory_grow(0, pages) == (unsigned long)-1)
		__builtin_trap();
}
EXPORT(die) void die(void) { __builtin_trap(); }
EXPORT(divide) int divide(int a, int b) { return a / b; }
EXPORT(truncate) int truncate(double x) { return __builtin_wasm_trunc_s_i32_f64(x); }

static int one(int n) { return n + 1; }
static int two(int n) { return n + 2; }
static int (*pointers[])(int) = {one, two};
EXPORT(indirect) int indirect(int which, int n) {
	int (*volatile f)(int) = pointers[which & 1];
	return f(n);
}
EXPORT(bad_pointer) int bad_pointer(int index) { return ((int (*)(int))index)(1); }
EXPORT(wrong_type) double wrong_type(void) {
	void *volatile p = (void *)one;
	return ((double (*)(double))p)(1);
}
EXPORT(stack_pointer) unsigned stack_pointer(void) {
	volatile int here = 0;
	return (unsigned)&here;
}
EXPORT(lose_stack) void lose_stack(int bytes) {
	__asm__ volatile("global.get __stack_pointer\n local.get %0\n i32.sub\n global.set __stack_pointer" : : "r"(bytes));
}
