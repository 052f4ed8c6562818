/* run_cli.h - runs the built program in a folder of its own and looks at what it says.
 *
 *     TestSuite(cli_eval, .init = cli_enter, .fini = cli_leave);
 *     cr_assert_eq(cli_run("eval %s --json", cli_path("model")), 0, "%s", cli_err);
 */
#ifndef FV_TESTS_RUN_CLI_H
#define FV_TESTS_RUN_CLI_H

#include "core/value.h"

#include <stdbool.h>
#include <stddef.h>

#define CLI_TEXT (1 << 20)
extern char cli_out[CLI_TEXT], cli_err[CLI_TEXT]; /* of the last run */

/* A new folder below /tmp, and its removal. */
void cli_enter(void);
void cli_leave(void);

/* A path in the folder; valid for the next eight calls. */
const char *cli_path(const char *name);

/* Runs "fovea <arguments>" by the shell; returns the exit status, -1 after a signal. */
#define cli_run(...) cli_run_program(FOVEA_BINARY_DIR "/fovea", __VA_ARGS__)
int cli_run_program(const char *program, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Did the last run fail well: nothing on stdout, one line on stderr that starts with
 * "fovea: error: " and holds part? */
bool cli_one_error(const char *part);

/* The last stdout as JSON, NULL when it is none; valid until the next call or cli_leave. */
const fv_value *cli_json(void);

/* Writes a file into the folder; returns its path. */
const char *cli_write(const char *name, const void *bytes, size_t n_bytes);

#endif
