// Stacks for PHP's fibers: what boost.context is on other machines, by the names
// that PHP calls it. Each fiber is a call of its own that the host makes; one of
// them runs at any time. Its C stack lies in memory that PHP gives, beside the
// stack that the host keeps for every call.
#include <stdint.h>

#define IMPORT(n) __attribute__((import_module("hako_fiber_v1"), import_name(#n)))

// made is called with what a fiber is to be told, and returns its number, or -1
// if there are too many. It runs when it is first switched to; 0 is the call
// from outside.
IMPORT(make) int host_make(void *);
IMPORT(switch) void host_switch(int fiber);
IMPORT(free) void host_free(int fiber);

// What a fiber is told when it goes on: which one was before it, and what that
// one passes.
struct passed {
	struct fiber *from;
	void *data;
};

// A fiber lies at the top of its own C stack.
struct fiber {
	int number;
	void (*begin)(struct passed);
};

static struct fiber outside, *running = &outside;
static struct passed passed;

__asm__(".globaltype __stack_pointer, i32\n");

static inline void *stack_pointer(void) {
	void *p;
	__asm__ volatile("global.get __stack_pointer\nlocal.set %0" : "=r"(p));
	return p;
}

static inline void set_stack_pointer(void *p) {
	__asm__ volatile("local.get %0\nglobal.set __stack_pointer" ::"r"(p) : "memory");
}

// make_fcontext returns NULL if there are too many fibers.
void *make_fcontext(void *top, unsigned long size, void (*begin)(struct passed)) {
	struct fiber *f = (struct fiber *)(((uintptr_t)top - sizeof *f) & ~(uintptr_t)15);
	f->begin = begin;
	f->number = host_make(f);
	return f->number < 0 ? (void *)0 : f;
}

struct passed jump_fcontext(void *to, void *data) {
	void *stack = stack_pointer();
	passed = (struct passed){running, data};
	running = to;
	host_switch(running->number);
	set_stack_pointer(stack);
	return passed;
}

void hako_fiber_free(void *f) { host_free(((struct fiber *)f)->number); }

static __attribute__((noinline)) void begin(struct fiber *f) { f->begin(passed); }

// The host calls it on the new stack.
__attribute__((export_name("hako_fiber"))) void hako_fiber(struct fiber *f) {
	set_stack_pointer(f);
	begin(f);
}
