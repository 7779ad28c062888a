/* Part of PHP where it counts how often its code runs (scripts/php-profile.sh):
   each request leaves its counts as a file in /profile, in the raw format of
   LLVM's profiles (profile/InstrProfData.inc, as clang has it). What clang has
   for this itself, compiler-rt's profile library, is not there for wasm32. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
#define VALUE_PROF_KIND(Enumerator, Value, Descr) Enumerator = Value,
#include "profile/InstrProfData.inc"
};
typedef void *IntPtrT;
typedef struct {
#define INSTR_PROF_DATA(Type, LLVMType, Name, Initializer) Type Name;
#include "profile/InstrProfData.inc"
} function;
typedef struct {
#define INSTR_PROF_RAW_HEADER(Type, Name, Initializer) Type Name;
#include "profile/InstrProfData.inc"
} header;

extern const function __start___llvm_prf_data[], __stop___llvm_prf_data[];
extern char __start___llvm_prf_cnts[], __stop___llvm_prf_cnts[];
extern const char __start___llvm_prf_names[], __stop___llvm_prf_names[];
extern const uint64_t __llvm_profile_raw_version;
int __llvm_profile_runtime; /* what is compiled with counters asks for it */

static void out(FILE *f, const void *p, size_t n) {
  if (fwrite(p, 1, n, f) != n) abort();
}

static void leave(void) {
  size_t counters = __stop___llvm_prf_cnts - __start___llvm_prf_cnts;
  size_t names = __stop___llvm_prf_names - __start___llvm_prf_names;
  header h = {
    .Magic = 0xff6c70726f665281, /* \377lprofR\201: addresses have 32 bits */
    .Version = __llvm_profile_raw_version,
    .NumData = __stop___llvm_prf_data - __start___llvm_prf_data,
    .NumCounters = counters / 8,
    .NamesSize = names,
    .CountersDelta = (uintptr_t)__start___llvm_prf_cnts - (uintptr_t)__start___llvm_prf_data,
    .NamesDelta = (uintptr_t)__start___llvm_prf_names,
    .ValueKindLast = IPVK_Last,
  };
  uint64_t random;
  char path[64];
  if (getentropy(&random, sizeof random)) abort();
  snprintf(path, sizeof path, "/profile/%016llx", (unsigned long long)random);
  FILE *f = fopen(path, "w");
  if (!f) return; /* nobody asked */
  out(f, &h, sizeof h);
  out(f, __start___llvm_prf_data, h.NumData * sizeof(function));
  out(f, __start___llvm_prf_cnts, counters);
  out(f, __start___llvm_prf_names, names);
  out(f, "\0\0\0\0\0\0\0", -names & 7);
  if (fclose(f)) abort();
}

int __real_php_request_startup(void);
void __real_php_request_shutdown(void *);

int __wrap_php_request_startup(void) {
  memset(__start___llvm_prf_cnts, 0, __stop___llvm_prf_cnts - __start___llvm_prf_cnts);
  return __real_php_request_startup();
}

void __wrap_php_request_shutdown(void *p) {
  __real_php_request_shutdown(p);
  leave();
}
