// A guest that seeds itself anew after each fork.
__attribute__((import_module("test"), import_name("twice"))) int host_seed(int);
static int value = 5;
__attribute__((export_name("hako_forked"))) void hako_forked(void) { value = host_seed(0); }
__attribute__((export_name("seed"))) int seed(void) { return value; }
