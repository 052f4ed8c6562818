/* print.h - what commands write: results to stdout, messages to stderr. */
#ifndef FV_CLI_PRINT_H
#define FV_CLI_PRINT_H

#include "core/report.h"
#include "core/status.h"
#include "core/value.h"

#include <stdbool.h>

/* v as indented JSON and a newline on stdout.  A NULL or incomplete v is FV_ERR_NOMEM. */
fv_status fv_print_json(const fv_value *v);

/* v as CSV (RFC 4180): the names of its keys and a row of their values, for a map that holds a list of maps the keys
 * and rows of that list (the first one).  A NULL or incomplete v is FV_ERR_NOMEM. */
fv_status fv_print_csv(const fv_value *v);

/* A map for people on stdout: a line per key, maps within indented, lists of maps as tables. */
void fv_print_map(const fv_value *map);

/* printf to stdout. */
void fv_print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Flushes stdout; FV_ERR_IO when something could not be written (a full disk). */
fv_status fv_print_end(void);

/* Whether messages are coloured: mode is always, never or auto (stderr is a terminal that can, and
 * NO_COLOR is unset or empty). */
bool fv_print_colored(const char *mode);

/* "fovea: warning: text" on stderr; information without the prefix. */
void fv_print_message(fv_report_level level, const char *text, bool colored);
void fv_print_error(const char *text, bool colored);

#endif
