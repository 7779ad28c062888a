// A guest with fibers: generators of numbers, and fibers that end in all ways.
#include <stdint.h>

#define IMPORT(m, n) __attribute__((import_module(m), import_name(n)))
#define EXPORT(n) __attribute__((export_name(n)))

IMPORT("hako_fiber_v1", "make") int make(int what);
IMPORT("hako_fiber_v1", "switch") void go_on(int fiber);
IMPORT("hako_fiber_v1", "free") void give_up(int fiber);
IMPORT("test", "twice") int twice(int);
IMPORT("test", "exit") void exit_with(int);
IMPORT("test", "wait") void wait(void);

enum { STACK = 16 << 10, MANY = 5000 };
enum { COUNT, SPIN, TRAP, EXIT, WAIT, RETURN, DEEP, CALL, GROW, INNER, OUTSIDE };

static char stacks[MANY][STACK] __attribute__((aligned(16)));
static int numbers[MANY], made;
static volatile int value, last;
static volatile int running, from; // fibers: the one that runs, the one before it

__asm__(".globaltype __stack_pointer, i32\n");

static void *stack_pointer(void) {
	void *p;
	__asm__ volatile("global.get __stack_pointer\nlocal.set %0" : "=r"(p));
	return p;
}

static void set_stack_pointer(void *p) { __asm__ volatile("local.get %0\nglobal.set __stack_pointer" ::"r"(p) : "memory"); }

// to switches to a fiber and keeps the C stack.
static __attribute__((noinline)) void to(int fiber) {
	void *p = stack_pointer();
	int me = running;
	from = me;
	running = fiber;
	go_on(fiber);
	running = me;
	set_stack_pointer(p);
}


static __attribute__((noinline)) int deep(int n) { return n ? (deep(n - 1) * 3) ^ n : twice(0); }

static __attribute__((noinline)) void run(int what) {
	volatile int on_stack[64];
	for (int i = 0; i < 64; i++) on_stack[i] = what * 64 + i;
	switch (what & 15) {
	case COUNT:
		for (int i = 0;; i++) {
			value = (what >> 4) + on_stack[i & 63] - what * 64 - (i & 63) + i;
			to(from);
		}
	case SPIN: for (;;) last++;
	case TRAP: __builtin_trap();
	case EXIT: exit_with(7);
	case WAIT: wait();
	case RETURN: return;
	case DEEP: last = deep(what >> 4); to(0);
	case CALL: last = twice(what >> 4); to(0);
	case GROW: last = __builtin_wasm_memory_grow(0, 1); to(0);
	case INNER: to(numbers[what >> 4]); to(0);
	case OUTSIDE: last = *(volatile int *)0xf0000000;
	}
	__builtin_trap();
}

EXPORT("hako_fiber") void hako_fiber(int what) {
	set_stack_pointer(stacks[made - 1] + STACK);
	run(what);
}

// start makes a fiber and lets it run for the first time.
EXPORT("start") int start(int what, int n) {
	int f = make(what + (n << 4));
	if (f < 0) return f;
	numbers[made++] = f;
	to(f);
	return f;
}

// count lets n fibers count in turns and returns the sum of what they gave.
EXPORT("count") int count(int n, int rounds) {
	int sum = 0;
	for (int i = 0; i < n; i++) {
		if (start(COUNT, i) < 0) return -1;
		sum += value;
	}
	for (int r = 1; r < rounds; r++) {
		for (int i = 0; i < n; i++) to(numbers[i]), sum += value;
	}
	for (int i = 0; i < n; i++) give_up(numbers[i]);
	made = 0;
	return sum;
}

EXPORT("switch_to") int switch_to(int fiber) { to(fiber); return value; }
EXPORT("give_up") void give(int fiber) { give_up(fiber); }
EXPORT("make_only") int make_only(void) { return make(COUNT); }
EXPORT("last") int get_last(void) { return last; }
EXPORT("pages") int pages(void) { return __builtin_wasm_memory_size(0); }
EXPORT("ping") int ping(int n) {
	int f = start(COUNT, 0);
	for (int i = 0; i < n; i++) to(f);
	give_up(f);
	made--;
	return value;
}
// fill makes fibers until there are too many and returns how many there were.
EXPORT("fill") int fill(void) {
	int n = 0;
	while (make(COUNT) >= 0) n++;
	return n;
}
// nested runs a fiber that lets another one count and comes back.
EXPORT("nested") int nested(void) {
	start(COUNT, 100);
	start(INNER, 0);
	return value;
}
