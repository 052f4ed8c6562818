#include "cli/help.h"

#include "core/text.h"

#include <string.h>

#define HELP_COLUMN 34

const char *fv_help_value(const fv_option *option, char text[FV_HELP_TEXT]) {
    text[0] = '\0';
    switch (option->type) {
    case FV_OPTION_INT:
        snprintf(text, FV_HELP_TEXT, "N");
        break;
    case FV_OPTION_REAL:
        snprintf(text, FV_HELP_TEXT, "X");
        break;
    case FV_OPTION_BOOL:
        break;
    case FV_OPTION_MAP:
        snprintf(text, FV_HELP_TEXT, "K=V ...");
        break;
    case FV_OPTION_STRING:
        snprintf(text, FV_HELP_TEXT, "%s", option->choices ? option->choices : "TEXT");
        for (char *c = text; *c; c++) {
            if (*c == ' ') *c = '|';
        }
        break;
    case FV_OPTION_REALS:
        for (int i = 0; i < option->count; i++) strcat(text, i ? " X" : "X");
        break;
    }
    return text;
}

const char *fv_help_default(const fv_option *option, char text[FV_HELP_TEXT]) {
    text[0] = '\0';
    switch (option->type) {
    case FV_OPTION_INT:
        snprintf(text, FV_HELP_TEXT, "%lld", (long long)option->int_default);
        break;
    case FV_OPTION_REAL:
        snprintf(text, FV_HELP_TEXT, "%g", option->real_default);
        break;
    case FV_OPTION_BOOL:
        snprintf(text, FV_HELP_TEXT, option->int_default ? "on" : "off");
        break;
    case FV_OPTION_STRING:
    case FV_OPTION_REALS:
        snprintf(text, FV_HELP_TEXT, "%s", option->text_default);
        break;
    case FV_OPTION_MAP:
        break;
    }
    return text;
}

/* "  -b, --batch-size N            images per step [128]" */
static void write_option(fv_text *t, const fv_option *o) {
    char kebab[FV_OPTION_TEXT], value[FV_HELP_TEXT], fallback[FV_HELP_TEXT];
    const char *alias = fv_option_short(o);
    const size_t start = t->bytes;

    if (alias)
        fv_text_printf(t, "%*s-%s, ", alias[1] ? 1 : 2, "", alias);
    else
        fv_text_append(t, "      ");
    fv_text_printf(t, "--%s%s", o->type == FV_OPTION_BOOL ? "[no-]" : "",
                   fv_option_kebab(o, kebab));
    fv_help_value(o, value);
    if (*value) fv_text_printf(t, " %s", value);
    if (t->bytes - start + 2 > HELP_COLUMN) fv_text_append(t, "\n");
    const size_t line = t->bytes - start + 2 > HELP_COLUMN ? 0 : t->bytes - start;
    fv_text_repeat(t, ' ', HELP_COLUMN - (int64_t)line);
    fv_text_append(t, o->help);
    fv_help_default(o, fallback);
    if (*fallback && o->type != FV_OPTION_BOOL) fv_text_printf(t, " [%s]", fallback);
    fv_text_append(t, "\n");
}

/* Writes the text out and frees it. */
static fv_status flush(fv_text *t, FILE *stream) {
    const bool failed = t->failed;
    if (!failed && t->data) fputs(t->data, stream);
    fv_text_free(t);
    return failed ? FV_ERR_NOMEM : FV_OK;
}

static void write_lines(fv_text *t, const char *lines) {
    while (lines && *lines) {
        const size_t n = strcspn(lines, "\n");
        fv_text_append(t, "  ");
        fv_text_append_bytes(t, lines, n);
        fv_text_append(t, "\n");
        lines += n + (lines[n] == '\n');
    }
}

fv_status fv_help_command(const fv_command *command, FILE *stream) {
    fv_text t = {0};

    fv_text_printf(&t, "fovea %s: %s\n\nUsage: fovea %s %s\n", command->name, command->summary,
                   command->name, command->usage);
    if (command->alias) fv_text_printf(&t, "Also:  fovea %s\n", command->alias);
    if (command->details) {
        fv_text_append(&t, "\n");
        fv_text_printf(&t, "%s\n", command->details);
    }
    if (command->more) command->more(&t);
    fv_text_append(&t, "\nExample:\n");
    write_lines(&t, command->example);
    fv_text_append(&t, "\nOptions:\n");
    for (int i = 0; i < fv_n_options; i++) {
        if (fv_option_table[i].commands & command->options & FV_CMD_EVERY)
            write_option(&t, &fv_option_table[i]);
    }
    fv_text_append(&t,
                   "      --set KEY=VALUE             any option by its name in files; parts of\n"
                   "                                  maps with dots: --set model_kwargs.depth=3\n"
                   "      --print-config              print the resolved options as YAML, stop\n"
                   "  -h, --help                      print this help, stop\n");
    return flush(&t, stream);
}

fv_status fv_help_program(const fv_command *const *commands, FILE *stream) {
    fv_text t = {0};

    fv_text_append(&t,
                   "fovea " FOVEA_VERSION ": train, evaluate and explain vision transformers on "
                   "CPUs\n\nUsage: fovea COMMAND [arguments] [options]\n\nCommands:\n");
    for (; *commands; commands++)
        fv_text_printf(&t, "  %-10s  %s\n", (*commands)->name, (*commands)->summary);
    fv_text_append(&t, "\n  fovea COMMAND --help  its options and a working example\n"
                       "  fovea --version       the version\n\n"
                       "Results go to stdout, messages to stderr. Exit status: 0 done, 1 failed, "
                       "2 usage or\nconfiguration error, 130 or 143 after SIGINT or SIGTERM.\n");
    return flush(&t, stream);
}
