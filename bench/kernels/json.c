// Parses a JSON text by recursive descent, and sums what is in it.
// Argument: rounds.
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *p;
static uint64_t hash;

static void mix(uint64_t v) { hash = (hash ^ v) * 0x100000001b3u; }
static void space(void) {
	while (*p == ' ' || *p == '\n' || *p == '\t' || *p == ',' || *p == ':')
		p++;
}
static void string(void) {
	for (p++; *p != '"'; p++) {
		if (*p == '\\')
			p++;
		mix((unsigned char)*p);
	}
	p++;
}
static void number(void) {
	double v = 0, scale = 1;
	int negative = *p == '-';
	if (negative)
		p++;
	for (; *p >= '0' && *p <= '9'; p++)
		v = v * 10 + (*p - '0');
	if (*p == '.')
		for (p++; *p >= '0' && *p <= '9'; p++)
			v += (*p - '0') * (scale /= 10);
	mix((uint64_t)(int64_t)((negative ? -v : v) * 1000));
}
static void value(void) {
	space();
	switch (*p) {
	case '{':
	case '[': {
		char close = *p == '{' ? '}' : ']';
		p++;
		for (space(); *p != close; space())
			value();
		p++;
		mix(close);
		break;
	}
	case '"':
		string();
		break;
	case 't':
	case 'n':
		mix(*p);
		p += 4;
		break;
	case 'f':
		mix(*p);
		p += 5;
		break;
	default:
		number();
	}
}

int main(int argc, char **argv) {
	int rounds = argc > 1 ? atoi(argv[1]) : 100;
	size_t size = 1 << 18, n = 0;
	char *text = malloc(size);
	n += snprintf(text + n, size - n, "[");
	for (int i = 0; n < size - 400; i++)
		n += snprintf(text + n, size - n,
			"%s\n {\"id\": %d, \"name\": \"item \\\"%d\\\"\", \"price\": %d.%02d, \"tags\": [\"a\", \"bc\", null, true, false], \"at\": {\"x\": -%d, \"y\": [[1, 2], [3]]}}",
			i ? "," : "", i, i * 7, i * 3, i % 100, i);
	snprintf(text + n, size - n, "]");
	hash = 0xcbf29ce484222325u;
	for (int r = 0; r < rounds; r++) {
		p = text;
		value();
	}
	printf("%016llx\n", (unsigned long long)hash);
}
