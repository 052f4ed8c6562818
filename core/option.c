#include "core/option.h"

#include "core/option_list.h"
#include "core/settings.h"
#include "core/suggest.h"

#include <stdio.h>
#include <string.h>

/* The words of the commands column. */
enum {
#define FV_X(bit, name) bit = FV_CMD_##bit,
    FV_COMMAND_BIT_LIST(FV_X)
#undef FV_X
        FLAG_ONLY = FV_OPTION_FLAG_ONLY | FV_OPTION_NOT_SAVED,
    NOT_SAVED = FV_OPTION_NOT_SAVED,
    WALK = EVAL | FEATURES | EXPLAIN | FAITHFUL | ANALYZE,
    CKPT = WALK | PREDICT,
    INPUT = TRAIN | EXPORT,
    READ = INPUT | WALK | DATA,
    RUN = CKPT | TRAIN | ABLATE | BENCH,
    ALL = FV_CMD_EVERY,
};

#define PLACE(field)                                        \
    .name = #field, .offset = offsetof(fv_settings, field), \
    .given = offsetof(fv_settings, given.field)
#define INT(field, value, min, max, takers, text)                                 \
    {PLACE(field),   .type = FV_OPTION_INT, .int_default = value, .int_min = min, \
     .int_max = max, .commands = takers,    .help = text},
#define REAL(field, value, min, max, takers, text)                                    \
    {PLACE(field),    .type = FV_OPTION_REAL, .real_default = value, .real_min = min, \
     .real_max = max, .commands = takers,     .help = text},
#define BOOL(field, value, takers, text) \
    {PLACE(field), .type = FV_OPTION_BOOL, .int_default = value, .commands = takers, .help = text},
#define STRING(field, value, words, takers, text)                       \
    {PLACE(field),     .type = FV_OPTION_STRING, .text_default = value, \
     .choices = words, .commands = takers,       .help = text},
#define REALS(field, n, value, min, max, takers, text)                            \
    {PLACE(field),    .type = FV_OPTION_REALS, .text_default = value, .count = n, \
     .real_min = min, .real_max = max,         .commands = takers,    .help = text},
#define MAP(field, takers, text) \
    {PLACE(field), .type = FV_OPTION_MAP, .commands = takers, .help = text},

const fv_option fv_option_table[] = {FV_OPTION_LIST(INT, REAL, BOOL, STRING, REALS, MAP)};
const int fv_n_options = (int)(sizeof fv_option_table / sizeof *fv_option_table);

const fv_option *fv_option_find(const char *name) {
    for (int i = 0; i < fv_n_options; i++) {
        const char *a = name, *b = fv_option_table[i].name;
        while (*a && *b && (*a == '-' ? '_' : *a) == *b) a++, b++;
        if (!*a && !*b) return &fv_option_table[i];
    }
    return NULL;
}

static const struct {
    const char *spelling, *name;
} aliases[] = {
#define FV_X(spelling, option) {spelling, #option},
    FV_OPTION_ALIAS_LIST(FV_X)
#undef FV_X
};

const fv_option *fv_option_alias(const char *spelling) {
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++) {
        if (strcmp(aliases[i].spelling, spelling) == 0) return fv_option_find(aliases[i].name);
    }
    return NULL;
}

const char *fv_option_short(const fv_option *option) {
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++) {
        if (strcmp(aliases[i].name, option->name) == 0) return aliases[i].spelling;
    }
    return NULL;
}

const char *fv_option_near(const char *word, uint32_t commands) {
    const char *names[sizeof fv_option_table / sizeof *fv_option_table + 1];
    int n = 0;

    for (int i = 0; i < fv_n_options; i++)
        if (fv_option_table[i].commands & commands) names[n++] = fv_option_table[i].name;
    names[n] = NULL;
    const char *best = fv_suggest(word, names);
    return best && fv_option_find(word) && fv_edit_distance(word, best) > 1 ? NULL : best;
}

const char *fv_option_kebab(const fv_option *option, char text[FV_OPTION_TEXT]) {
    snprintf(text, FV_OPTION_TEXT, "%s", option->name);
    for (char *c = text; *c; c++) {
        if (*c == '_') *c = '-';
    }
    return text;
}

const char *fv_command_names(uint32_t commands, char text[256]) {
    static const char *const names[] = {
#define FV_X(bit, name) #name,
        FV_COMMAND_BIT_LIST(FV_X)
#undef FV_X
    };
    size_t used = 0;

    text[0] = '\0';
    for (int i = 0; i < FV_N_COMMANDS; i++) {
        if (!(commands & 1u << i)) continue;
        const int n = snprintf(text + used, 256 - used, "%s%s", used ? ", " : "", names[i]);
        if (n > 0) used += (size_t)n;
        if (used >= 256) break;
    }
    return text;
}
