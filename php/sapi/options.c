/* Arguments and variables of the app. */
#include "sapi.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wasi/api.h>

#include "main/php_ini_builder.h"

hako_options hako_opt = {.files = true, .renew = true};

static const char usage[] =
    "arguments: [--root DIR] [--index FILE | --no-index] [--no-files] [--no-renew] [--no-php PATH]... [-c FILE|DIR] [-n] [-d NAME=VALUE]...\n"
    "  --root DIR     the folder that is served; or $PHP_ROOT; /srv unless given\n"
    "  --index FILE   the front controller in it, for paths that are no file; or $PHP_INDEX; index.php unless given\n"
    "  --no-index     such paths are not found\n"
    "  --no-files     only scripts are served\n"
    "  --no-renew     the server makes no new template when scripts have changed\n"
    "  --no-php PATH  below this path of the site no script runs\n"
    "  -c, -n, -d     as php has them; $PHP_INI_NAME sets an entry too, with __ for a dot in its name\n";

/* The arguments, which a reactor's C library does not ask for. */
static char **arguments(size_t *count) {
  __wasi_size_t n, size;
  *count = 0;
  if (__wasi_args_sizes_get(&n, &size) != 0 || n == 0) return NULL;
  char **argv = calloc(n + 1, sizeof *argv), *text = malloc(size);
  if (!argv || !text || __wasi_args_get((uint8_t **)argv, (uint8_t *)text) != 0) return NULL;
  *count = n;
  return argv;
}

/* $PHP_INI_MEMORY_LIMIT sets memory_limit, $PHP_INI_OPCACHE__ENABLE opcache.enable. */
static void from_environment(struct php_ini_builder *ini) {
  extern char **environ;
  for (char **e = environ; e && *e; e++) {
    const char *value = strchr(*e, '=');
    if (strncmp(*e, "PHP_INI_", 8) != 0 || !value || strncmp(*e, "PHP_INI_SCAN_DIR=", 17) == 0) continue;
    char name[128];
    size_t n = 0;
    for (const char *c = *e + 8; c < value && n < sizeof name; c++) {
      if (c[0] == '_' && c[1] == '_') {
        name[n++] = '.';
        c++;
      } else {
        name[n++] = (char)tolower((unsigned char)*c);
      }
    }
    if (n == 0 || n == sizeof name) continue;
    char *quoted = malloc(2 * strlen(++value) + 1), *to = quoted;
    for (; *value; value++) {
      if (strchr("\"\\$", *value)) *to++ = '\\';
      *to++ = *value;
    }
    php_ini_builder_quoted(ini, name, n, quoted, (size_t)(to - quoted));
    free(quoted);
  }
}

static char *clean_root(const char *root) {
  char *s = strdup(root);
  size_t n = strlen(s);
  while (n > 0 && s[n - 1] == '/') s[--n] = 0;
  return s;
}

static char *with_slash(const char *path) {
  while (*path == '/') path++;
  char *s = malloc(strlen(path) + 2);
  s[0] = '/';
  strcpy(s + 1, path);
  return s;
}

bool hako_options_read(sapi_module_struct *sapi) {
  const char *root = getenv("PHP_ROOT"), *index = getenv("PHP_INDEX");
  if (!root || !*root) root = "/srv";
  if (!index) index = "index.php";
  struct php_ini_builder ini;
  php_ini_builder_init(&ini);
  from_environment(&ini);
  size_t argc;
  char **argv = arguments(&argc);
  for (size_t i = 1; i < argc; i++) {
    const char *a = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
    bool takes = true;
    if (strcmp(a, "--no-index") == 0) {
      index = "";
      takes = false;
    } else if (strcmp(a, "--no-files") == 0) {
      hako_opt.files = takes = false;
    } else if (strcmp(a, "--no-renew") == 0) {
      hako_opt.renew = takes = false;
    } else if (strcmp(a, "-n") == 0) {
      sapi->php_ini_ignore = 1;
      takes = false;
    } else if (strncmp(a, "-d", 2) == 0 && a[2]) {
      php_ini_builder_define(&ini, a + 2);
      takes = false;
    } else if (strncmp(a, "--root=", 7) == 0 || strncmp(a, "--index=", 8) == 0) {
      if (a[2] == 'r') root = a + 7;
      else index = a + 8;
      takes = false;
    } else if (!value) {
      fprintf(stderr, "php-hako: argument %s is not known, or lacks its value\n%s", a, usage);
      return false;
    } else if (strcmp(a, "--root") == 0) {
      root = value;
    } else if (strcmp(a, "--index") == 0) {
      index = value;
    } else if (strcmp(a, "--no-php") == 0) {
      hako_opt.closed = realloc(hako_opt.closed, (hako_opt.closed_count + 1) * sizeof(char *));
      hako_opt.closed[hako_opt.closed_count++] = clean_root(with_slash(value));
    } else if (strcmp(a, "-c") == 0) {
      sapi->php_ini_path_override = strdup(value);
    } else if (strcmp(a, "-d") == 0) {
      php_ini_builder_define(&ini, value);
    } else {
      fprintf(stderr, "php-hako: argument %s is not known\n%s", a, usage);
      return false;
    }
    i += takes;
  }
  sapi->ini_entries = php_ini_builder_finish(&ini);
  hako_opt.root = clean_root(root);
  hako_opt.index = *index ? with_slash(index) : NULL;
  if (hako_opt.root[0] != '/') {
    fprintf(stderr, "php-hako: the root %s is no absolute path of the guest\n", root);
    return false;
  }
  if (*hako_opt.root && access(hako_opt.root, F_OK) != 0) {
    fprintf(stderr, "php-hako: the root %s is not there: grant a folder as it, or say --root\n", hako_opt.root);
    return false;
  }
  return true;
}
