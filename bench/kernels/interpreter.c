// A bytecode interpreter that runs a Collatz program. Argument: the number up
// to which it counts, in thousands.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { HALT, LOAD, STORE, PUSH, ADD, SUB, MUL, SHR, AND, LESS, JZ, JMP };

static const int32_t program[] = {
	// for (i = 1; i < limit; i++) for (n = i; n != 1; total++) n = n & 1 ? 3n + 1 : n >> 1
	PUSH, 1, STORE, 0,                     // 0: i = 1
	LOAD, 0, LOAD, 3, LESS, JZ, 53,        // 4: i < limit
	LOAD, 0, STORE, 1,                     // 11: n = i
	PUSH, 1, LOAD, 1, LESS, JZ, 44,        // 15: 1 < n
	LOAD, 2, PUSH, 1, ADD, STORE, 2,       // 22: total++
	LOAD, 1, PUSH, 1, AND, JZ, 53 + 4,     // 29: n & 1
	LOAD, 1, PUSH, 3, MUL, JMP, 53 + 13,   // 36: 3n ...
	0,                                     // 43
	LOAD, 0, PUSH, 1, ADD, STORE, 0, JMP, 4, // 44: i++
	HALT, 0, 0, 0,                         // 53
	LOAD, 1, PUSH, 1, SHR, STORE, 1, JMP, 15, // 57: n >>= 1
	PUSH, 1, ADD, STORE, 1, JMP, 15,       // 66: ... + 1
};

static int32_t run(int32_t limit) {
	int32_t stack[16], vars[4] = {0, 0, 0, limit}, *sp = stack;
	for (const int32_t *pc = program;;) {
		switch (*pc++) {
		case HALT: return vars[2];
		case LOAD: *sp++ = vars[*pc++ & 3]; break;
		case STORE: vars[*pc++ & 3] = *--sp; break;
		case PUSH: *sp++ = *pc++; break;
		case ADD: sp--; sp[-1] += sp[0]; break;
		case SUB: sp--; sp[-1] -= sp[0]; break;
		case MUL: sp--; sp[-1] = (int32_t)((uint32_t)sp[-1] * (uint32_t)sp[0]); break;
		case SHR: sp--; sp[-1] = (int32_t)((uint32_t)sp[-1] >> sp[0]); break;
		case AND: sp--; sp[-1] &= sp[0]; break;
		case LESS: sp--; sp[-1] = (uint32_t)sp[-1] < (uint32_t)sp[0]; break;
		case JZ: pc = *--sp ? pc + 1 : program + *pc; break;
		case JMP: pc = program + *pc; break;
		}
	}
}

int main(int argc, char **argv) {
	printf("%d\n", run((argc > 1 ? atoi(argv[1]) : 10) * 1000));
}
