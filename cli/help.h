/* help.h - help texts, made from the command list and the option table. */
#ifndef FV_CLI_HELP_H
#define FV_CLI_HELP_H

#include "cli/command.h"

#include <stdio.h>

/* commands: NULL-terminated. */
fv_status fv_help_program(const fv_command *const *commands, FILE *stream);
fv_status fv_help_command(const fv_command *command, FILE *stream);

/* How an option's value is written in help: "N", "X", "a|b", "K=V ..."; "" for booleans. */
#define FV_HELP_TEXT 128
const char *fv_help_value(const fv_option *option, char text[FV_HELP_TEXT]);
/* Its default: "128", "0.08 1.0", "" when empty. */
const char *fv_help_default(const fv_option *option, char text[FV_HELP_TEXT]);

#endif
