// A guest that waits for its alarm in a loop without a host call.
#include <stdint.h>

__attribute__((import_module("hako_alarm_v1"), import_name("set"))) int32_t set_alarm(uint32_t ms, uint32_t flag);

static volatile uint8_t flag;

__attribute__((export_name("spin"))) int32_t spin(uint32_t ms) {
  flag = 0;
  if (set_alarm(ms, (uint32_t)(uintptr_t)&flag) != 0) return -1;
  while (!flag) {}
  return 1;
}

__attribute__((export_name("taken_back"))) int32_t taken_back(uint32_t ms) {
  flag = 0;
  set_alarm(ms, (uint32_t)(uintptr_t)&flag);
  set_alarm(0, 0);
  while (!flag) {}
  return 1;
}

__attribute__((export_name("set"))) int32_t set(uint32_t ms, uint32_t at) { return set_alarm(ms, at); }
