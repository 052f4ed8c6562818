/* option.h - the option table (option_list.h) as data, for parsers, help and documentation. */
#ifndef FV_CORE_OPTION_H
#define FV_CORE_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FV_COMMAND_BIT_LIST(X) \
    X(TRAIN, train)            \
    X(EVAL, eval)              \
    X(PREDICT, predict)        \
    X(FEATURES, features)      \
    X(EXPLAIN, explain)        \
    X(FAITHFUL, faithful)      \
    X(ANALYZE, analyze)        \
    X(ABLATE, ablate)          \
    X(BENCH, bench)            \
    X(DATA, data)              \
    X(SYNTH, synth)            \
    X(REPORT, report)          \
    X(CONVERT, convert)        \
    X(MODELS, models)          \
    X(SUMMARY, summary)        \
    X(INFO, info)              \
    X(OPTIONS, options)        \
    X(EXPORT, export)

enum fv_command_index {
#define FV_X(bit, name) FV_CMD_INDEX_##bit,
    FV_COMMAND_BIT_LIST(FV_X)
#undef FV_X
        FV_N_COMMANDS
};

/* Which commands take an option: a set of these bits. */
enum fv_command_bit {
#define FV_X(bit, name) FV_CMD_##bit = 1 << FV_CMD_INDEX_##bit,
    FV_COMMAND_BIT_LIST(FV_X)
#undef FV_X
        FV_CMD_EVERY = (1 << FV_N_COMMANDS) - 1,
    FV_OPTION_FLAG_ONLY = 1 << 29, /* not in a configuration file */
    FV_OPTION_NOT_SAVED = 1 << 30, /* not in the resolved configuration */
};

typedef enum fv_option_type {
    FV_OPTION_INT,
    FV_OPTION_REAL,
    FV_OPTION_BOOL,
    FV_OPTION_STRING,
    FV_OPTION_REALS,
    FV_OPTION_MAP,
} fv_option_type;

typedef struct fv_option {
    const char *name; /* snake case */
    fv_option_type type;
    size_t offset, given;                    /* of the field and of its given flag in fv_settings */
    int64_t int_default, int_min, int_max;   /* INT; BOOL: the default */
    double real_default, real_min, real_max; /* REAL; REALS: the range */
    const char *text_default;                /* STRING; REALS: numbers and spaces, "" = not set */
    const char *choices;                     /* STRING: "a b c", NULL = any */
    int count;                               /* REALS */
    uint32_t commands;
    const char *help;
} fv_option;

extern const fv_option fv_option_table[]; /* in the order of the list */
extern const int fv_n_options;

/* The option with that name; '-' counts as '_'.  NULL when there is none. */
const fv_option *fv_option_find(const char *name);

/* The option behind a short flag ("b", "vb"), NULL when there is none; and the way back. */
const fv_option *fv_option_alias(const char *spelling);
const char *fv_option_short(const fv_option *option);

/* The option of these commands whose name is nearest to a word, NULL when none is near.  A word that is
 * another option's name was probably meant: then only a name one edit away counts. */
const char *fv_option_near(const char *word, uint32_t commands);

/* "batch-size" into text; returns text. */
#define FV_OPTION_TEXT 64
const char *fv_option_kebab(const fv_option *option, char text[FV_OPTION_TEXT]);

/* The names of a set of commands, "train, eval", into text; returns text. */
const char *fv_command_names(uint32_t commands, char text[256]);

#endif
