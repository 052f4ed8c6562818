/* cmd_options.c - fovea options: the option table as a Markdown table or JSON. */
#include "cli/command.h"
#include "cli/help.h"
#include "cli/print.h"

#include <fnmatch.h>

static const char *const type_names[] = {
    [FV_OPTION_INT] = "integer",   [FV_OPTION_REAL] = "number",   [FV_OPTION_BOOL] = "boolean",
    [FV_OPTION_STRING] = "string", [FV_OPTION_REALS] = "numbers", [FV_OPTION_MAP] = "map",
};

static bool wanted(const fv_args *args, const fv_option *o) {
    return args->n_positional == 0 || fnmatch(args->positional[0], o->name, 0) == 0;
}

static void print_row(const fv_option *o) {
    char text[FV_HELP_TEXT], takers[256];

    fv_print("| `%s` | %s | %s | ", o->name, type_names[o->type], fv_help_default(o, text));
    if ((o->commands & FV_CMD_EVERY) == FV_CMD_EVERY)
        fv_print("all");
    else
        fv_print("%s", fv_command_names(o->commands, takers));
    fv_print(" | %s%s%s%s |\n", o->help, o->choices ? " (`" : "", o->choices ? o->choices : "",
             o->choices ? "`)" : "");
}

static fv_value *as_value(fv_arena *arena, const fv_option *o) {
    fv_value *map = fv_value_new(arena, FV_VALUE_MAP);
    char text[FV_HELP_TEXT], takers[256];

    fv_value_set(arena, map, "name", fv_value_string(arena, o->name));
    fv_value_set(arena, map, "type", fv_value_string(arena, type_names[o->type]));
    fv_value_set(arena, map, "default", fv_value_string(arena, fv_help_default(o, text)));
    fv_value_set(arena, map, "choices", fv_value_string(arena, o->choices));
    fv_value_set(arena, map, "commands",
                 fv_value_string(arena, fv_command_names(o->commands, takers)));
    fv_value_set(arena, map, "help", fv_value_string(arena, o->help));
    return map;
}

static fv_status run(const fv_args *args) {
    fv_arena arena = {0};
    fv_status status = FV_OK;
    fv_value *list = args->settings.json ? fv_value_new(&arena, FV_VALUE_LIST) : NULL;

    if (!args->settings.json)
        fv_print("| option | type | default | commands | meaning |\n|---|---|---|---|---|\n");
    for (int i = 0; i < fv_n_options; i++) {
        const fv_option *o = &fv_option_table[i];
        if (!wanted(args, o)) continue;
        if (args->settings.json)
            fv_value_add(list, as_value(&arena, o));
        else
            print_row(o);
    }
    if (args->settings.json) status = fv_print_json(list);
    fv_arena_destroy(&arena);
    return status;
}

const fv_command fv_command_options = {
    .name = "options",
    .summary = "list every option with its default and commands",
    .usage = "[PATTERN] [options]",
    .example = "fovea options 'lr*'",
    .options = FV_CMD_OPTIONS,
    .max_args = 1,
    .run = run,
};
