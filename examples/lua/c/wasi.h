/* What Lua uses of C and WASI does not have. Included before its sources. */
#include <stdio.h>
#include <stdlib.h>

int system(const char *command);
FILE *hako_tmpfile(void);
char *hako_tmpnam(char *name);
#define tmpfile hako_tmpfile
#define tmpnam hako_tmpnam
#define L_tmpnam 32
