/* PHP's functions that a SAPI defines: those of php-fpm. */
#include "sapi.h"

#include <ctype.h>
#include <string.h>

#include "Zend/zend_API.h"
#include "ext/standard/head.h"

ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(arginfo_hako_bool, 0, 0, _IS_BOOL, 0)
ZEND_END_ARG_INFO()
ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(arginfo_hako_array, 0, 0, IS_ARRAY, 0)
ZEND_END_ARG_INFO()

/* The client gets its answer; the script goes on. */
PHP_FUNCTION(fastcgi_finish_request) {
  ZEND_PARSE_PARAMETERS_NONE();
  if (!hako_req.active || hako_req.ended) RETURN_FALSE;
  php_output_end_all();
  php_header();
  hako_response_finish();
  RETURN_TRUE;
}

/* HTTP_X_NAME is shown as X-Name. */
PHP_FUNCTION(apache_request_headers) {
  ZEND_PARSE_PARAMETERS_NONE();
  array_init(return_value);
  for (size_t i = 0; i < hako_req.count; i++) {
    const hako_variable *v = &hako_req.variables[i];
    const char *from = hako_variable_name(v);
    if (v->name_length <= 5 || strncmp(from, "HTTP_", 5) != 0) continue;
    zend_string *name = zend_string_init(from + 5, v->name_length - 5, 0);
    bool first = true;
    for (char *c = ZSTR_VAL(name); *c; c++) {
      if (!first) *c = (char)tolower((unsigned char)*c);
      first = *c == '_';
      if (first) *c = '-';
    }
    zval value;
    ZVAL_STRINGL(&value, hako_variable_value(v), v->value_length);
    zend_symtable_update(Z_ARRVAL_P(return_value), name, &value);
    zend_string_release(name);
  }
}

PHP_FUNCTION(apache_response_headers) {
  ZEND_PARSE_PARAMETERS_NONE();
  array_init(return_value);
  zend_llist_position at;
  zend_llist *headers = &SG(sapi_headers).headers;
  for (sapi_header_struct *h = zend_llist_get_first_ex(headers, &at); h; h = zend_llist_get_next_ex(headers, &at)) {
    const char *colon = memchr(h->header, ':', h->header_len), *end = h->header + h->header_len;
    if (!colon || colon == h->header) continue;
    const char *value = colon + 1;
    while (value < end && (*value == ' ' || *value == '\t')) value++;
    add_assoc_stringl_ex(return_value, h->header, (size_t)(colon - h->header), (char *)value, (size_t)(end - value));
  }
}

const zend_function_entry php_hako_functions[] = {
  ZEND_FE(fastcgi_finish_request, arginfo_hako_bool)
  ZEND_FE(apache_request_headers, arginfo_hako_array)
  ZEND_RAW_FENTRY("getallheaders", zif_apache_request_headers, arginfo_hako_array, 0, NULL, NULL)
  ZEND_FE(apache_response_headers, arginfo_hako_array)
  ZEND_FE_END
};
