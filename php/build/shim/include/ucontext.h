// What zend_fibers.c needs to compile; a guest has one stack only.
#ifndef _UCONTEXT_H
#define _UCONTEXT_H
#include <stddef.h>
typedef struct ucontext_t {
	struct {
		void *ss_sp;
		size_t ss_size;
		int ss_flags;
	} uc_stack;
	struct ucontext_t *uc_link;
} ucontext_t;
int getcontext(ucontext_t *);
void makecontext(ucontext_t *, void (*)(void), int, ...);
int swapcontext(ucontext_t *, const ucontext_t *);
#endif
