// wasi-libc's header; masks of signals are not kept, as there are none.
#ifndef HAKO_SETJMP_H
#define HAKO_SETJMP_H
#include_next <setjmp.h>
#undef sigsetjmp
#define sigsetjmp(buf, mask) setjmp(buf)
#define siglongjmp(buf, value) longjmp(buf, value)
#ifndef HAKO_SIGJMP_BUF
#define HAKO_SIGJMP_BUF
#define sigjmp_buf jmp_buf
#endif
#endif
