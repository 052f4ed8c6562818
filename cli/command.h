/* command.h - what a command is: one const descriptor in cmd_<name>.c and one line in
 * command_list.h. */
#ifndef FV_CLI_COMMAND_H
#define FV_CLI_COMMAND_H

#include "core/option.h"
#include "core/settings.h"
#include "core/status.h"
#include "core/text.h"

typedef struct fv_command fv_command;

/* A parsed command line. */
typedef struct fv_args {
    const fv_command *command;
    fv_settings settings;    /* defaults < -c file < flags and --set */
    const char **positional; /* what is not an option, in order; points into argv */
    int n_positional;
} fv_args;

struct fv_command {
    const char *name, *alias; /* alias: another name, may be NULL */
    const char *summary;      /* one line for fovea --help */
    const char *usage;        /* behind "fovea name ": "CKPT IMAGE... [options]" */
    const char *details;      /* more lines for its --help, may be NULL */
    void (*more)(fv_text *t); /* and lines made of a list, may be NULL */
    const char *example;      /* working lines, each a whole command */
    uint32_t options;         /* FV_CMD_* bits: which flags it takes */
    uint32_t file_options;    /* further bits whose options a -c file may hold */
    int min_args, max_args;   /* positional arguments; max -1 = any number */
    /* Results go to stdout, everything else to stderr.  A failure's message is printed by main, its
     * status makes the exit code (fv_exit_code). */
    fv_status (*run)(const fv_args *args);
};

#endif
