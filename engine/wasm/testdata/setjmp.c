// Jumps out of nested calls, in loops: exceptions once compiled.
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

static jmp_buf env;
static int depth;

static void dive(int n) {
	char text[100];
	memset(text, n, sizeof text);
	depth += text[n % 100];
	if (n == 0)
		longjmp(env, 7);
	dive(n - 1);
}

int main(void) {
	volatile int sum = 0;
	for (volatile int i = 0; i < 50; i++) {
		int got = setjmp(env);
		if (got)
			sum += got;
		else
			dive(i);
	}
	printf("%d %d\n", sum, depth);
}
