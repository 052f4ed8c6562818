#include "cli/opt.h"

#include "core/alloc.h"
#include "core/suggest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Flags win over the file wherever -c stands, so they are collected first and applied last. */
typedef struct assignment {
    const char *key, *text, *where;
} assignment;

typedef struct scanner {
    fv_args *args;
    char **argv;
    int argc, at; /* at: the next word */
    assignment *list;
    int count, capacity;
    const char *config; /* the last -c */
    fv_opt_action action;
    fv_arena arena; /* texts of assignments */
} scanner;

static fv_status add(scanner *s, const char *key, const char *text, const char *where) {
    if (!key || !text || !where) return FV_ERR_NOMEM;
    if (s->count == s->capacity) {
        const int capacity = s->capacity ? 2 * s->capacity : 16;
        assignment *list = fv_realloc(s->list, (size_t)capacity, sizeof *list);
        if (!list) return FV_ERR_NOMEM;
        s->list = list;
        s->capacity = capacity;
    }
    s->list[s->count++] = (assignment){key, text, where};
    return FV_OK;
}

/* A word that can only be a flag; "-1" and "-" are values. */
static bool is_flag(const char *word) {
    return word[0] == '-' && word[1] != '\0' && !strchr(".0123456789", word[1]);
}

static bool is_number(const char *word) {
    char *end = NULL;

    strtod(word, &end);
    return *word != '\0' && *end == '\0';
}

static fv_status next_value(scanner *s, const char *flag, const char **out) {
    if (s->at == s->argc || is_flag(s->argv[s->at]))
        return FV_FAIL(FV_ERR_CONFIG, "%s needs a value", flag);
    *out = s->argv[s->at++];
    return FV_OK;
}

/* --mean X X X: the words that follow and are numbers, as "X,X,X". */
static fv_status take_reals(scanner *s, const fv_option *o, const char *flag) {
    const char *text = "";
    int n = 0;

    while (n < o->count && s->at < s->argc && is_number(s->argv[s->at])) {
        text = fv_arena_printf(&s->arena, "%s%s%s", text, n++ ? "," : "", s->argv[s->at++]);
        if (!text) return FV_ERR_NOMEM;
    }
    if (n == 0) { /* one word such as 0.9,0.999 */
        FV_TRY(next_value(s, flag, &text));
    }
    return add(s, o->name, text, flag);
}

/* Splits "key=value" at the first '='. */
static fv_status add_pair(scanner *s, const char *group, const char *pair, const char *flag) {
    const char *equals = strchr(pair, '=');
    if (!equals || equals == pair)
        return FV_FAIL(FV_ERR_CONFIG, "%s: expected KEY=VALUE, got '%.80s'", flag, pair);
    const char *key = fv_arena_printf(&s->arena, "%s%s%.*s", group ? group : "", group ? "." : "",
                                      (int)(equals - pair), pair);
    const char *where = fv_arena_printf(&s->arena, "%s %s", flag, pair);
    return add(s, key, equals + 1, where);
}

/* --model-kwargs K=V K=V */
static fv_status take_pairs(scanner *s, const fv_option *o, const char *flag) {
    int n = 0;

    while (s->at < s->argc && !is_flag(s->argv[s->at]) && strchr(s->argv[s->at], '=')) {
        FV_TRY(add_pair(s, o->name, s->argv[s->at++], flag));
        n++;
    }
    return n ? FV_OK : FV_FAIL(FV_ERR_CONFIG, "%s needs KEY=VALUE", flag);
}

/* "; did you mean '--epochs'?", or "" for NULL. */
static const char *suggestion(const char *best, char text[FV_SUGGEST_TEXT]) {
    text[0] = 0;
    if (!best) return text;
    snprintf(text, FV_SUGGEST_TEXT, "; did you mean '--%s'?", best);
    for (char *c = text; *c; c++)
        if (*c == '_') *c = '-';
    return text;
}

static fv_status unknown_option(const scanner *s, const char *flag) {
    static const char *const common[] = {"help", "set", "print_config", NULL};
    const char *word = flag + strspn(flag, "-");
    const char *best = fv_option_near(word, s->args->command->options);
    char hint[FV_SUGGEST_TEXT];

    if (!best) best = fv_suggest(word, common);
    return FV_FAIL(FV_ERR_CONFIG, "unknown option '%.80s'%s", flag, suggestion(best, hint));
}

/* An option that was found: its value is behind '=' or in the words that follow. */
static fv_status take_option(scanner *s, const fv_option *o, const char *flag, const char *value) {
    const uint32_t own = s->args->command->options;
    char takers[256], hint[FV_SUGGEST_TEXT];

    if (!(o->commands & own))
        return FV_FAIL(FV_ERR_CONFIG, "%s is not an option of %s; it belongs to %s%s", flag,
                       s->args->command->name, fv_command_names(o->commands, takers),
                       suggestion(fv_option_near(o->name, own), hint));
    if (!value) {
        switch (o->type) {
        case FV_OPTION_BOOL:
            value = "true";
            break;
        case FV_OPTION_REALS:
            return take_reals(s, o, flag);
        case FV_OPTION_MAP:
            return take_pairs(s, o, flag);
        case FV_OPTION_INT:
        case FV_OPTION_REAL:
        case FV_OPTION_STRING:
            FV_TRY(next_value(s, flag, &value));
            break;
        }
    } else if (o->type == FV_OPTION_MAP && value[0] != '{') {
        return add_pair(s, o->name, value, flag);
    }
    if (strcmp(o->name, "config") == 0) s->config = value;
    return add(s, o->name, value, flag);
}

/* --name, --name=value, --no-name, --map.key=value */
static fv_status take_long(scanner *s, const char *word) {
    const size_t n = strcspn(word + 2, "=");
    const char *value = word[2 + n] ? word + 2 + n + 1 : NULL;
    const char *flag = fv_arena_printf(&s->arena, "%.*s", (int)n + 2, word);

    if (!flag) return FV_ERR_NOMEM;
    const char *name = flag + 2;
    if (strcmp(name, "set") == 0) {
        if (!value) FV_TRY(next_value(s, flag, &value));
        return add_pair(s, NULL, value, flag);
    }
    if (strcmp(name, "help") == 0 || strcmp(name, "print-config") == 0) {
        if (value) return FV_FAIL(FV_ERR_CONFIG, "%s takes no value", flag);
        if (s->action != FV_OPT_HELP)
            s->action = name[0] == 'h' ? FV_OPT_HELP : FV_OPT_PRINT_CONFIG;
        return FV_OK;
    }
    const fv_option *o = fv_option_find(name);
    if (o) return take_option(s, o, flag, value);
    const fv_option *negated = strncmp(name, "no-", 3) == 0 ? fv_option_find(name + 3) : NULL;
    if (negated && negated->type == FV_OPTION_BOOL) {
        if (value) return FV_FAIL(FV_ERR_CONFIG, "%s takes no value", flag);
        return take_option(s, negated, flag, "false");
    }
    if (strchr(name, '.')) {
        if (!value) FV_TRY(next_value(s, flag, &value));
        return add(s, name, value, flag);
    }
    return unknown_option(s, flag);
}

/* -b 32, -b=32, -b32, -vb 32 */
static fv_status take_short(scanner *s, const char *word) {
    const size_t n = strcspn(word + 1, "=");
    const char *value = word[1 + n] ? word + 1 + n + 1 : NULL;
    const char *flag = fv_arena_printf(&s->arena, "%.*s", (int)n + 1, word);

    if (!flag) return FV_ERR_NOMEM;
    const fv_option *o = fv_option_alias(flag + 1);
    if (!o && !value && strchr("-0123456789", word[2])) { /* the value is joined to the letter */
        flag = fv_arena_printf(&s->arena, "-%c", word[1]);
        if (!flag) return FV_ERR_NOMEM;
        o = fv_option_alias(flag + 1);
        value = word + 2;
    }
    if (strcmp(word, "-h") == 0) {
        s->action = FV_OPT_HELP;
        return FV_OK;
    }
    return o ? take_option(s, o, flag, value) : unknown_option(s, word);
}

static fv_status scan(scanner *s) {
    bool ended = false;

    while (s->at < s->argc) {
        const char *word = s->argv[s->at++];
        if (!ended && strcmp(word, "--") == 0)
            ended = true;
        else if (!ended && strncmp(word, "--", 2) == 0)
            FV_TRY(take_long(s, word));
        else if (!ended && is_flag(word))
            FV_TRY(take_short(s, word));
        else
            s->args->positional[s->args->n_positional++] = word;
        if (s->action == FV_OPT_HELP) return FV_OK;
    }
    return FV_OK;
}

static fv_status apply(const scanner *s) {
    const fv_command *c = s->args->command;
    fv_settings *settings = &s->args->settings;

    if (s->config) FV_TRY(fv_settings_load(settings, s->config, c->options | c->file_options));
    for (int i = 0; i < s->count; i++) {
        const assignment *a = &s->list[i];
        FV_TRY(fv_settings_set(settings, a->key, a->text, a->where, c->options));
    }
    return FV_OK;
}

static fv_status check_count(const fv_args *args) {
    const fv_command *c = args->command;

    if (args->n_positional < c->min_args)
        return FV_FAIL(FV_ERR_CONFIG, "%s: too few arguments; usage: fovea %s %s", c->name, c->name,
                       c->usage);
    if (c->max_args >= 0 && args->n_positional > c->max_args)
        return FV_FAIL(FV_ERR_CONFIG, "%s: unexpected argument '%.80s'; usage: fovea %s %s",
                       c->name, args->positional[c->max_args], c->name, c->usage);
    return FV_OK;
}

fv_status fv_opt_parse(const fv_command *command, int argc, char **argv, fv_args *out,
                       fv_opt_action *action) {
    scanner s = {.args = out, .argv = argv, .argc = argc};

    *action = FV_OPT_RUN;
    *out = (fv_args){.command = command};
    fv_settings_init(&out->settings);
    out->positional = fv_calloc((size_t)argc + 1, sizeof *out->positional);
    if (!out->positional) return FV_ERR_NOMEM;
    fv_status status = scan(&s);
    if (status == FV_OK && s.action != FV_OPT_HELP) status = apply(&s);
    if (status == FV_OK && s.action == FV_OPT_RUN) status = check_count(out);
    *action = s.action;
    fv_free(s.list);
    fv_arena_destroy(&s.arena);
    return status;
}

void fv_args_destroy(fv_args *args) {
    fv_settings_destroy(&args->settings);
    fv_free(args->positional);
    *args = (fv_args){0};
}
