#include "hako_pages.h"
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

// A page is free if its bit is set. Pages that were not grown into yet are not.
#define WORDS (65536 / 32)
static uint32_t avail[WORDS];
static uint32_t lowest; // no page below is free

static uint32_t end(void) { return __builtin_wasm_memory_size(0); }

static int is_free(uint32_t page) { return avail[page >> 5] >> (page & 31) & 1; }

static void mark(uint32_t page, uint32_t n, int free) {
	if (free && page < lowest) lowest = page;
	for (; n; n--, page++) {
		if (free) avail[page >> 5] |= 1u << (page & 31);
		else avail[page >> 5] &= ~(1u << (page & 31));
	}
}

// run returns how many free pages begin with a page, at most n.
static uint32_t run(uint32_t page, uint32_t n) {
	uint32_t i = 0, last = end();
	while (i < n && page + i < last && is_free(page + i)) i++;
	return i;
}

static int grow(uint32_t n) {
	uint32_t old = end();
	if (n > 65535 - old || __builtin_wasm_memory_grow(0, n) == (size_t)-1) return 0;
	mark(old, n, 1);
	return 1;
}

// take makes n pages used, the first of them a multiple of align, and returns
// it; 0 if there is no room. The lowest place is taken, so that what alignment
// left free is filled before memory grows.
static uint32_t take(uint32_t n, uint32_t align) {
	uint32_t page, have;
	while (lowest < end() && !is_free(lowest)) lowest++;
	for (page = (lowest + align - 1) / align * align;; page += have ? (have + align - 1) / align * align : align) {
		if (page >= end()) {
			if (!grow(page + n - end())) return 0;
			break;
		}
		have = run(page, n);
		if (have == n) break;
		if (page + have == end()) {
			if (!grow(n - have)) return 0;
			break;
		}
	}
	mark(page, n, 0);
	return page;
}

void *hako_pages(size_t size, size_t align) {
	return (void *)((uintptr_t)take(size / HAKO_PAGE, align / HAKO_PAGE) * HAKO_PAGE);
}

void hako_pages_free(void *p, size_t size) {
	mark((uintptr_t)p / HAKO_PAGE, size / HAKO_PAGE, 1);
}

int hako_pages_extend(void *p, size_t old_size, size_t new_size) {
	uint32_t page = (uintptr_t)p / HAKO_PAGE + old_size / HAKO_PAGE, n = (new_size - old_size) / HAKO_PAGE;
	uint32_t have = run(page, n);
	if (have < n && (page + have != end() || !grow(n - have))) return 0;
	mark(page, n, 0);
	return 1;
}

// sbrk in place of wasi-libc's, for malloc. Where the pages behind the last
// ones are taken, it goes on at the end of memory, never in a hole: malloc may
// ask twice for one block, and takes the second part to lie behind the first.
void *sbrk(intptr_t increment) {
	static uint32_t brk;
	if (increment < 0 || increment % HAKO_PAGE) {
		errno = ENOMEM;
		return (void *)-1;
	}
	if (!brk) brk = end();
	if (increment) {
		uint32_t n = increment / HAKO_PAGE, page = brk;
		if (!hako_pages_extend((void *)((uintptr_t)brk * HAKO_PAGE), 0, increment)) {
			page = end();
			if (!grow(n)) {
				errno = ENOMEM;
				return (void *)-1;
			}
			mark(page, n, 0);
		}
		brk = page + n;
		return (void *)((uintptr_t)page * HAKO_PAGE);
	}
	return (void *)((uintptr_t)brk * HAKO_PAGE);
}
