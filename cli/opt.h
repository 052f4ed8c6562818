/* opt.h - a command line to settings and positional arguments.
 *
 * --kebab-case VALUE or --kebab-case=VALUE for every option of the command; --flag and --no-flag for
 * booleans; --mean X X X for lists; --model-kwargs K=V K=V for maps; -b N, -b32; --set key=value and
 * --set map.key=value; -c FILE; -- ends the options. */
#ifndef FV_CLI_OPT_H
#define FV_CLI_OPT_H

#include "cli/command.h"

typedef enum fv_opt_action {
    FV_OPT_RUN,
    FV_OPT_HELP,         /* -h, --help: nothing else was looked at */
    FV_OPT_PRINT_CONFIG, /* --print-config: settings are complete, the arguments not counted */
} fv_opt_action;

/* argv[0] is the first word behind the command's name.  Strings of argv must outlive *out, which the
 * caller ends with fv_args_destroy, also after a failure.  Errors: FV_ERR_CONFIG, FV_ERR_NOMEM. */
fv_status fv_opt_parse(const fv_command *command, int argc, char **argv, fv_args *out,
                       fv_opt_action *action);

void fv_args_destroy(fv_args *args);

#endif
