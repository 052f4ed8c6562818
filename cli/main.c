/* main.c - the command table: finds the command, parses its line, runs it, makes the exit code. */
#include "cli/command.h"
#include "cli/command_list.h"
#include "cli/help.h"
#include "cli/interrupt.h"
#include "cli/opt.h"
#include "cli/print.h"
#include "core/parallel.h"
#include "core/suggest.h"

#include <stdio.h>
#include <string.h>

#define FV_X(name) extern const fv_command fv_command_##name;
FV_COMMAND_LIST(FV_X)
#undef FV_X

static const fv_command *const commands[] = {
#define FV_X(name) &fv_command_##name,
    FV_COMMAND_LIST(FV_X)
#undef FV_X
        NULL};

static const fv_command *find_command(const char *name) {
    for (int i = 0; commands[i]; i++) {
        if (strcmp(name, commands[i]->name) == 0) return commands[i];
        if (commands[i]->alias && strcmp(name, commands[i]->alias) == 0) return commands[i];
    }
    return NULL;
}

/* 0 done, 1 failed, 2 usage or configuration, 128 + signal after an interruption. */
static int exit_code(fv_status status) {
    if (status == FV_OK) return 0;
    if (status == FV_ERR_INTERRUPTED && fv_interrupt_signal()) return 128 + fv_interrupt_signal();
    return status == FV_ERR_CONFIG ? 2 : 1;
}

static fv_status unknown_command(const char *name) {
    const char *names[sizeof commands / sizeof *commands] = {NULL};
    char hint[FV_SUGGEST_TEXT];

    for (int i = 0; commands[i]; i++) names[i] = commands[i]->name;
    return FV_FAIL(FV_ERR_CONFIG, "unknown command '%.80s'%s (see fovea --help)", name,
                   fv_suggest_text(name, names, hint));
}

static fv_status print_config(const fv_args *args) {
    const fv_command *c = args->command;
    fv_arena arena = {0};
    char *yaml = NULL;

    const fv_status status = fv_settings_write(&args->settings, c->options, &arena, &yaml);
    if (status == FV_OK) fv_print("%s", yaml);
    fv_arena_destroy(&arena);
    return status;
}

static fv_status run_command(const fv_command *command, int argc, char **argv, fv_args *args) {
    fv_opt_action action;

    FV_TRY(fv_opt_parse(command, argc, argv, args, &action));
    if (action == FV_OPT_HELP) return fv_help_command(command, stdout);
    if (action == FV_OPT_PRINT_CONFIG) return print_config(args);
    fv_threads_set((int)args->settings.threads);
    return command->run(args);
}

int main(int argc, char **argv) {
    const char *first = argc > 1 ? argv[1] : "";
    fv_args args = {0};
    fv_status status = FV_OK;

    if (argc < 2) {
        fv_help_program(commands, stderr);
        return 2;
    }
    const bool help = strcmp(first, "help") == 0;
    const fv_command *command = find_command(help && argc > 2 ? argv[2] : first);
    if (help && command)
        status = fv_help_command(command, stdout);
    else if ((help && argc == 2) || strcmp(first, "--help") == 0 || strcmp(first, "-h") == 0)
        status = fv_help_program(commands, stdout);
    else if (strcmp(first, "--version") == 0)
        fv_print("fovea %s\n", FOVEA_VERSION);
    else if (command)
        status = run_command(command, argc - 2, argv + 2, &args);
    else
        status = unknown_command(help ? argv[2] : first);

    if (status == FV_OK) status = fv_print_end();
    if (status != FV_OK)
        fv_print_error(fv_error_message(),
                       fv_print_colored(args.settings.color ? args.settings.color : "auto"));
    fv_args_destroy(&args);
    return exit_code(status);
}
