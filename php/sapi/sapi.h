/* php-hako: PHP behind Hako's worker protocol (docs/worker-protocol.md). */
#ifndef HAKO_PHP_SAPI_H
#define HAKO_PHP_SAPI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "main/php.h"
#include "main/SAPI.h"
#include "main/php_main.h"

/* What the app's arguments and variables say. */
typedef struct {
  char *root;       /* the folder that is served, without a slash at its end */
  char *index;      /* the front controller, a path below root beginning with a slash; NULL for none */
  bool files;       /* whether files that are no scripts are sent */
  bool renew;       /* whether the server is told that scripts have changed */
  char **closed;    /* paths below which no scripts run */
  size_t closed_count;
} hako_options;

extern hako_options hako_opt;

/* Reads the arguments and variables, and fills sapi's settings for php.ini.
   false: the error was written to the standard error stream. */
bool hako_options_read(sapi_module_struct *sapi);

/* What a request is answered by. */
typedef enum { HAKO_SCRIPT, HAKO_FILE, HAKO_REDIRECT, HAKO_STATUS } hako_answer;

/* A variable of the request, as CGI names it. Offsets into text. */
typedef struct {
  uint32_t name, name_length, value, value_length;
} hako_variable;

/* The request that is being answered: one at a time. */
typedef struct {
  bool active;      /* between the head's arrival and the return to the host */
  bool ended;       /* the client has the whole answer */
  bool gone;        /* the client has not waited for it */
  int body_error;   /* of the body: an error of the worker protocol, or 0 */

  hako_answer answer;
  int status;             /* of HAKO_STATUS */
  char path[MAXPATHLEN];  /* of the file or script */
  char *location;         /* of HAKO_REDIRECT */

  /* The variables, and the text that they lie in; zero bytes end strings. */
  char *text;
  size_t text_size, text_room;
  hako_variable *variables;
  size_t count, room;
} hako_request;

extern hako_request hako_req;

/* Reads the request's head and decides what answers it. false: the host gave
   none, or it is no request that can be answered. */
bool hako_request_read(void);

/* The request's variable of a name, or NULL. */
const char *hako_request_variable(const char *name);

static inline const char *hako_variable_name(const hako_variable *v) { return hako_req.text + v->name; }
static inline const char *hako_variable_value(const hako_variable *v) { return hako_req.text + v->value; }

/* Finds what a decoded, normalised path leads to (resolve.c). uri is the
   path as the client wrote it, query what follows the question mark or NULL.
   script and info are cut out of path: SCRIPT_NAME and PATH_INFO. */
void hako_resolve(const char *path, const char *uri, const char *query, char *script, char *info);

/* Decodes a path's escapes, and resolves slashes and dot segments. out has
   room for length + 2 bytes. false: it is malformed or leads out of the root. */
bool hako_path_normal(const char *in, size_t length, char *out);

/* The response (response.c). */
void hako_response_begin(void);
int hako_response_headers(sapi_headers_struct *headers); /* SAPI's send_headers */
size_t hako_response_write(const char *text, size_t length);
void hako_response_flush(void *context);
void hako_response_finish(void); /* the client has it all from here on */
/* Sends what is left; failed says that a script ended by a fatal error. */
void hako_response_end(bool failed);
/* The head of an answer that no script makes; pairs are names and values. */
void hako_response_head(int status, const char *const *pairs, uint32_t count);
/* An answer that no script makes: a small page. */
void hako_response_page(int status);
/* The reason phrase of a status, "" if none is known. */
const char *hako_reason(int status);

/* Sends the file hako_req.path, or the part that was asked for (files.c). */
void hako_file_send(void);

/* Writes to the app's log. Levels are those of the worker protocol. */
void hako_log(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));
void hako_log_message(const char *message, int syslog_type);

/* Whether scripts that the template holds compiled have changed since. */
bool hako_stale(void);

extern const zend_function_entry php_hako_functions[];

#endif
