/* The SAPI: PHP is started once, in _initialize, and answers one request for
   each call of hako_http_v1_serve. In between the instance may be frozen and
   forked (docs/php.md). */
#include "sapi.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wasi/api.h>
#include <wasi/libc-environ.h>

#include "ext/session/php_session.h"
#include "ext/standard/info.h"
#include "main/php_ini.h"
#include "main/php_output.h"
#include "main/php_variables.h"

#include "hako_http.h"
#include "hako_sqlite.h"

/* Programs and libraries take the process's number for something that differs
   between two that run, so each fork has its own. */
static pid_t process = 1;

pid_t getpid(void) { return process; }

static void renumber(void) {
  uint32_t random;
  if (getentropy(&random, sizeof random) == 0) process = (pid_t)(1000 + random % 4000000);
}

/* What opcache has given up, as scripts had changed: what opcache's
   zend_shared_alloc.h begins its globals with. */
typedef struct {
  void *segments;
  int segments_count;
  size_t free, wasted;
} opcache_memory;
extern opcache_memory *smm_shared_globals;

static size_t wasted; /* when the request began */

bool hako_stale(void) { return smm_shared_globals && smm_shared_globals->wasted > wasted; }

static PHP_MINFO_FUNCTION(hako) {
  php_info_print_table_start();
  php_info_print_table_row(2, "Worker protocol", "hako_http_v1");
  php_info_print_table_row(2, "Root", hako_opt.root);
  php_info_print_table_row(2, "Front controller", hako_opt.index ? hako_opt.index : "none");
  php_info_print_table_end();
}

static zend_module_entry hako_module = {
  STANDARD_MODULE_HEADER, "hako", php_hako_functions, NULL, NULL, NULL, NULL, PHP_MINFO(hako), PHP_VERSION, STANDARD_MODULE_PROPERTIES,
};

/* max_execution_time, and notice before a limit of the app ends the guest: the
   host sets vm_interrupt, which PHP looks at in loops and calls. */
__attribute__((import_module("hako_alarm_v1"), import_name("set"))) extern int32_t hako_alarm(uint32_t ms, volatile void *flag);

static bool timed;           /* an alarm is set for the request */
static __wasi_timestamp_t timed_at; /* when, of processor time */

static __wasi_timestamp_t processor_time(void) {
  __wasi_timestamp_t t = 0;
  (void)__wasi_clock_time_get(__WASI_CLOCKID_PROCESS_CPUTIME_ID, 1, &t);
  return t;
}

static void set_alarm(zend_long seconds) {
  timed = hako_req.active;
  timed_at = processor_time();
  if (timed) hako_alarm(seconds > 0 && seconds < 4000000 ? (uint32_t)seconds * 1000 : 0, &EG(vm_interrupt));
}

/* Zend's timers are signals, which there are none of: the linker puts these
   in their place. */
void __wrap_zend_set_timeout(zend_long seconds, bool reset_signals) {
  (void)reset_signals;
  EG(timeout_seconds) = seconds;
  zend_atomic_bool_store_ex(&EG(timed_out), false);
  set_alarm(seconds);
}

void __wrap_zend_unset_timeout(void) {
  zend_atomic_bool_store_ex(&EG(timed_out), false);
  if (timed) hako_alarm(0, NULL);
  timed = false;
}

/* Nothing else sets vm_interrupt, so the alarm went off. What runs at the
   script's end has what is left until the limit. */
static void interrupted(zend_execute_data *execute_data) {
  (void)execute_data;
  if (!timed) return;
  zend_long seconds = EG(timeout_seconds);
  __wasi_timestamp_t passed = processor_time() - timed_at;
  set_alarm(0);
  if (seconds > 0 && passed >= (__wasi_timestamp_t)seconds * ZEND_NANO_IN_SEC) zend_timeout();
  timed = false;
  zend_error_noreturn(E_ERROR, "The time that the app's limits give a request is nearly used up");
}

static int startup(sapi_module_struct *sapi) { return php_module_startup(sapi, &hako_module); }

static void ini_default(HashTable *configuration, const char *name, const char *value) {
  zval v;
  ZVAL_NEW_STR(&v, zend_string_init(value, strlen(value), 1));
  zend_hash_str_update(configuration, name, strlen(name), &v);
}

/* What differs from PHP's own defaults; php.ini comes before these. */
static void ini_defaults(HashTable *configuration) {
  static const char *const values[][2] = {
    {"display_errors", "0"}, /* errors go to the log */
    {"log_errors", "1"},
    {"expose_php", "0"},
    {"register_argc_argv", "0"}, /* not from the query */
    {"request_order", "GP"}, /* as the php.ini that PHP brings */
    {"sys_temp_dir", "/tmp"},
    {"opcache.enable", "1"},
    {"opcache.memory_consumption", "48"},
    {"opcache.validate_timestamps", "1"},
    {"opcache.revalidate_freq", "0"}, /* a change is seen by the next request */
    {"opcache.file_update_protection", "0"},
  };
  for (size_t i = 0; i < sizeof values / sizeof *values; i++) ini_default(configuration, values[i][0], values[i][1]);
  /* Sessions outlive a fork only in a folder of the host. */
  struct stat s;
  const char *sessions = stat("/sessions", &s) == 0 && S_ISDIR(s.st_mode) ? "/sessions" : "/tmp";
  ini_default(configuration, "session.save_path", sessions);
}

/* Tells who wonders where sessions are. */
static void check_session(void) {
  if (PS(id) && PS(mod) && strcmp(PS(mod)->s_name, "files") == 0 && PS(save_path) && strcmp(PS(save_path), "/tmp") == 0)
    hako_log(4, "the session is kept in /tmp, where the next request may not find it: grant a writable folder as /sessions");
}

/* Settings of folders: [PATH=...] and [HOST=...] of php.ini, .user.ini. */
static int activate(void) {
  if (!hako_req.active || hako_req.answer != HAKO_SCRIPT) return SUCCESS;
  if (php_ini_has_per_host_config()) {
    char *host = estrdup(hako_request_variable("SERVER_NAME"));
    php_ini_activate_per_host_config(host, strlen(host));
    efree(host);
  }
  bool user = PG(user_ini_filename) && *PG(user_ini_filename);
  if (!user && !php_ini_has_per_dir_config()) return SUCCESS;
  char *path = estrdup(hako_req.path);
  char *end = strrchr(path, '/') + 1;
  *end = 0;
  php_ini_activate_per_dir_config(path, (size_t)(end - path));
  size_t root = strlen(hako_opt.root);
  if (user) {
    HashTable settings;
    zend_hash_init(&settings, 0, NULL, config_zval_dtor, 1);
    for (char *at = path + root; at && at < end; at = strchr(at + 1, '/')) {
      char after = at[1];
      at[1] = 0;
      php_parse_user_ini_file(path, PG(user_ini_filename), &settings);
      at[1] = after;
    }
    php_ini_activate_config(&settings, PHP_INI_PERDIR, PHP_INI_STAGE_HTACCESS);
    zend_hash_destroy(&settings);
  }
  efree(path);
  return SUCCESS;
}

static size_t read_post(char *to, size_t size) {
  size_t n = 0;
  /* PHP takes less than it asked for as the end. */
  while (n < size && hako_req.active && !hako_req.ended) {
    int32_t got = hako_http_read(to + n, size - n);
    if (got < 0) {
      hako_req.body_error = got;
      hako_log(4, "the request's body is not whole: %s",
               got == HAKO_HTTP_LARGE ? "it is larger than the server allows" : got == HAKO_HTTP_TIMEOUT ? "the client was too slow" : "the client has gone");
    }
    if (got <= 0) break;
    n += (size_t)got;
  }
  return n;
}

static char *read_cookies(void) { return (char *)hako_request_variable("HTTP_COOKIE"); }

static char *get_variable(const char *name, size_t length) {
  (void)length;
  const char *value = hako_req.active ? hako_request_variable(name) : NULL;
  return (char *)(value ? value : getenv(name));
}

static void register_variables(zval *array) {
  php_import_environment_variables(array);
  for (size_t i = 0; i < hako_req.count; i++) {
    const hako_variable *v = &hako_req.variables[i];
    char *value = (char *)hako_variable_value(v);
    size_t length = v->value_length;
    if (sapi_module.input_filter(PARSE_SERVER, hako_variable_name(v), &value, length, &length))
      php_register_variable_safe(hako_variable_name(v), value, length, array);
  }
}

static sapi_module_struct hako_sapi = {
  "fpm-fcgi", /* programs and opcache know it, and it behaves as php-fpm */
  "PHP for Hako",
  startup, php_module_shutdown_wrapper,
  activate, NULL,
  hako_response_write, hako_response_flush,
  NULL, get_variable,
  php_error,
  NULL, hako_response_headers, NULL,
  read_post, read_cookies,
  register_variables, hako_log_message,
  NULL, NULL,
  STANDARD_SAPI_MODULE_PROPERTIES
};

/* Runs in _initialize, after the constructors of the C library. */
__attribute__((constructor(60000))) static void start(void) {
  renumber();
  sapi_startup(&hako_sapi);
  hako_sapi.ini_defaults = ini_defaults;
  hako_sapi.php_ini_ignore_cwd = 1;
  if (!hako_options_read(&hako_sapi)) _Exit(2);
  hako_sapi.executable_location = "/php-hako.wasm";
  if (hako_sapi.startup(&hako_sapi) == FAILURE) {
    fprintf(stderr, "php-hako: PHP does not start\n");
    _Exit(1);
  }
  zend_interrupt_function = interrupted;
}

static void run_script(void) {
  volatile bool started = false;
  zend_first_try {
    started = php_request_startup() == SUCCESS;
    if (started && hako_req.body_error) {
      int code = hako_req.body_error == HAKO_HTTP_LARGE ? 413 : hako_req.body_error == HAKO_HTTP_TIMEOUT ? 408 : 400;
      SG(sapi_headers).http_response_code = code;
      php_printf("%d %s\n", code, hako_reason(code));
    } else if (started) {
      zend_file_handle script;
      zend_stream_init_filename(&script, hako_req.path);
      script.primary_script = true;
      EG(exit_status) = 0;
      php_execute_script(&script);
      if (!script.in_list) zend_destroy_file_handle(&script);
    }
  } zend_catch {
  } zend_end_try();
  if (started) check_session();
  bool failed = !started || EG(exit_status) == 255;
  if (!started && !SG(headers_sent)) SG(sapi_headers).http_response_code = 500;
  php_request_shutdown(NULL);
  hako_response_end(failed);
}

int32_t hako_http_v1_serve(void) {
  hako_response_begin();
  if (!hako_request_read() && !hako_req.active) return 1;
  wasted = smm_shared_globals ? smm_shared_globals->wasted : 0;
  hako_http_persist(); /* PHP itself ends what is written for nobody, unless ignore_user_abort() */
  switch (hako_req.answer) {
  case HAKO_SCRIPT:
    run_script();
    break;
  case HAKO_FILE:
    hako_file_send();
    hako_response_end(false);
    break;
  case HAKO_REDIRECT:
    hako_response_page(301);
    hako_response_end(false);
    break;
  case HAKO_STATUS:
    hako_response_page(hako_req.status);
    hako_response_end(false);
    break;
  }
  hako_req.active = false;
  SG(server_context) = NULL;
  SG(request_info).path_translated = NULL;
  return 0;
}

/* Called in each fork, before its request. PHP seeds its own generators in each
   request; SQLite and what watches the process's number are seeded here. */
__attribute__((export_name("hako_forked"))) void hako_forked(void) {
  renumber();
  int code = hako_sqlite_forked();
  if (code != 0) fprintf(stderr, "php-hako: a database that was open in the template cannot be opened: SQLite's code %d\n", code);
  __wasilibc_deinitialize_environ();
  __wasilibc_initialize_environ();
}
