// glob() with {a,b}: wasi-libc's does not know braces.
#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>

enum { BRACE = 0x400 }; // GLOB_BRACE of the patched PHP, as in glibc

// skip returns the end of a character, which may be a set or escaped.
static const char *skip(const char *p, int flags) {
	if (*p == '\\' && !(flags & GLOB_NOESCAPE) && p[1]) return p + 2;
	if (*p == '[') {
		const char *end = p + 1;
		if (*end == '!' || *end == '^') end++;
		if (*end == ']') end++;
		while (*end && *end != ']') end++;
		if (*end) return end + 1;
	}
	return p + 1;
}

// next returns the end of an alternative: a comma or the closing brace, or NULL.
static const char *next(const char *p, int flags) {
	for (int depth = 0; *p; p = skip(p, flags)) {
		if (*p == '{') depth++;
		else if (*p == '}' && !depth--) return p;
		else if (*p == ',' && !depth) return p;
	}
	return NULL;
}

// expand globs each of the patterns that braces stand for.
static int expand(const char *pattern, int flags, int (*failed)(const char *, int), glob_t *g) {
	const char *open = pattern, *close, *end;
	while (*open && (*open != '{' || !strncmp(open, "{}", 2))) open = *open == '{' ? open + 2 : skip(open, flags);
	for (close = *open ? open + 1 : NULL; close && (close = next(close, flags)) && *close != '}';) close++;
	if (!close) { // none, or one that nothing closes
		int e = glob(pattern, flags, failed, g);
		return e == GLOB_NOMATCH ? 0 : e;
	}
	char *one = malloc(strlen(pattern) + 1);
	if (!one) return GLOB_NOSPACE;
	memcpy(one, pattern, open - pattern);
	int e = 0;
	for (const char *from = open + 1; !e && from <= close; from = end + 1) {
		end = next(from, flags);
		memcpy(one + (open - pattern), from, end - from);
		strcpy(one + (open - pattern) + (end - from), close + 1);
		e = expand(one, flags, failed, g);
	}
	free(one);
	return e;
}

int hako_glob(const char *restrict pattern, int flags, int (*failed)(const char *, int), glob_t *restrict g) {
	if (!(flags & BRACE)) return glob(pattern, flags, failed, g);
	flags &= ~BRACE;
	if (!(flags & GLOB_APPEND)) {
		// Nothing yet, for all of them to be appended to.
		if (!(flags & GLOB_DOOFFS)) g->gl_offs = 0;
		g->gl_pathc = 0;
		g->gl_pathv = NULL;
	}
	size_t had = g->gl_pathc;
	int e = expand(pattern, (flags & ~GLOB_NOCHECK) | GLOB_APPEND, failed, g);
	if (e || g->gl_pathc > had) return e;
	// Nothing matches the pattern as it is either.
	return flags & GLOB_NOCHECK ? glob(pattern, flags, failed, g) : GLOB_NOMATCH;
}
