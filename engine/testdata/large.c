// A guest of the size of a language runtime: 5,000 functions in its table,
// 64 MiB of memory of which 8 MiB are in use.
#define EXPORT(name) __attribute__((export_name(#name)))
#define TEN(m, p) m(p##0) m(p##1) m(p##2) m(p##3) m(p##4) m(p##5) m(p##6) m(p##7) m(p##8) m(p##9)
#define HUNDRED(m, p) TEN(m, p##0) TEN(m, p##1) TEN(m, p##2) TEN(m, p##3) TEN(m, p##4) TEN(m, p##5) TEN(m, p##6) TEN(m, p##7) TEN(m, p##8) TEN(m, p##9)
#define THOUSAND(m, p) HUNDRED(m, p##0) HUNDRED(m, p##1) HUNDRED(m, p##2) HUNDRED(m, p##3) HUNDRED(m, p##4) HUNDRED(m, p##5) HUNDRED(m, p##6) HUNDRED(m, p##7) HUNDRED(m, p##8) HUNDRED(m, p##9)
#define ALL(m) THOUSAND(m, 1) THOUSAND(m, 2) THOUSAND(m, 3) THOUSAND(m, 4) THOUSAND(m, 5)
#define DEFINE(n) static int f##n(int x) { return x + n; }
#define NAME(n) f##n,

ALL(DEFINE)
static int (*const all[])(int) = {ALL(NAME)};
static unsigned heap[8 << 18];

EXPORT(warm) void warm(void) {
	for (unsigned i = 0; i < sizeof heap / sizeof *heap; i++)
		heap[i] = i * 2654435761u + 1;
}
EXPORT(touch) unsigned touch(unsigned pages) {
	unsigned sum = 0;
	for (unsigned i = 0; i < pages; i++)
		sum += heap[i * 1024 % (8 << 18)]++;
	return sum;
}
EXPORT(pick) int pick(unsigned n) { return all[n % 5000](1); }
EXPORT(nothing) void nothing(void) {}
__attribute__((import_module("test"), import_name("twice"))) int host_twice(int n);
EXPORT(host_calls) int host_calls(int n) {
	int sum = 0;
	for (int i = 0; i < n; i++)
		sum += host_twice(i);
	return sum;
}
EXPORT(loops) unsigned loops(unsigned n) {
	unsigned x = n;
	for (unsigned i = 0; i < n; i++) {
		x = x * 1664525 + (x >> 3);
		__asm__ volatile("");
	}
	return x;
}
