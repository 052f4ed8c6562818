#include "eval/saliency/method.h"

#include "core/suggest.h"
#include "eval/saliency/saliency_list.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_NAMES 64 /* that "did you mean" looks at */

#define FV_X(name) extern const fv_saliency_method fv_saliency_##name;
FV_SALIENCY_LIST(FV_X)
#undef FV_X

static const fv_saliency_method *const methods[] = {
#define FV_X(name) &fv_saliency_##name,
    FV_SALIENCY_LIST(FV_X)
#undef FV_X
};

#define METHODS ((int)(sizeof methods / sizeof *methods))

const fv_saliency_method *fv_saliency_at(int i) { return i < METHODS ? methods[i] : NULL; }

static int count_params(const fv_saliency_method *m) {
    int n = 0;
    while (m->params && n < FV_SALIENCY_MAX_PARAMS && m->params[n].name) n++;
    return n;
}

/* ---- parsing ---- */

static fv_status unknown_method(const char *name) {
    const char *names[MAX_NAMES + 1];
    char hint[FV_SUGGEST_TEXT];
    int n = 0;

    for (; n < METHODS && n < MAX_NAMES; n++) names[n] = methods[n]->name;
    names[n] = NULL;
    return FV_FAIL(FV_ERR_CONFIG, "unknown method '%.80s'%s (fovea explain --help lists them)",
                   name, fv_suggest_text(name, names, hint));
}

static fv_status set_variant(fv_saliency_choice *c, const char *token) {
    const fv_saliency_method *m = c->method;
    static const char *const none[] = {NULL};
    const char *const *variants = m->variants ? m->variants : none;
    char hint[FV_SUGGEST_TEXT];

    for (const char *const *v = variants; *v; v++) {
        if (strcmp(*v, token) != 0) continue;
        c->variant = *v;
        return FV_OK;
    }
    return FV_FAIL(FV_ERR_CONFIG, "method '%s' has no variant '%.80s'%s", m->name, token,
                   fv_suggest_text(token, variants, hint));
}

static fv_status set_number(fv_saliency_choice *c, const fv_saliency_param *p, double *to,
                            const char *text) {
    char *end = NULL;

    errno = 0;
    const double v = strtod(text, &end);
    if (end == text || *end || errno || !isfinite(v))
        return FV_FAIL(FV_ERR_CONFIG, "%s: %s: '%.80s' is not a number", c->method->name, p->name,
                       text);
    if (v < p->min || v > p->max || (p->integer && floor(v) != v))
        return FV_FAIL(FV_ERR_CONFIG, "%s: %s: %s is not %s in %g to %g", c->method->name, p->name,
                       text, p->integer ? "a whole number" : "a number", p->min, p->max);
    *to = v;
    return FV_OK;
}

/* A name is a file's name too. */
static fv_status set_layer(fv_saliency_choice *c, const char *text) {
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+@";

    if (!c->method->takes_layer)
        return FV_FAIL(FV_ERR_CONFIG, "method '%s' does not look at a layer", c->method->name);
    if (!text[0] || text[strspn(text, allowed)])
        return FV_FAIL(FV_ERR_CONFIG, "%s: '%.80s' is not a layer's name", c->method->name, text);
    c->layer = text;
    return FV_OK;
}

static fv_status set_param(fv_saliency_choice *c, const char *name, const char *value) {
    const fv_saliency_method *m = c->method;
    const char *names[FV_SALIENCY_MAX_PARAMS + 1];
    const int n = count_params(m);
    char hint[FV_SUGGEST_TEXT];

    if (strcmp(name, "layer") == 0) return set_layer(c, value);
    for (int i = 0; i < n; i++)
        if (strcmp(m->params[i].name, name) == 0)
            return set_number(c, &m->params[i], &c->param[i], value);
    for (int i = 0; i < n; i++) names[i] = m->params[i].name;
    names[n] = NULL;
    return FV_FAIL(FV_ERR_CONFIG, "method '%s' has no parameter '%.80s'%s", m->name, name,
                   fv_suggest_text(name, names, hint));
}

static fv_status parse_tokens(fv_saliency_choice *c, char *text) {
    bool has_variant = false;
    char *rest = NULL;

    for (char *token = strtok_r(text, ":", &rest); token; token = strtok_r(NULL, ":", &rest)) {
        char *equals = strchr(token, '=');
        if (equals) {
            *equals = '\0';
            FV_TRY(set_param(c, token, equals + 1));
            continue;
        }
        if (has_variant)
            return FV_FAIL(FV_ERR_CONFIG, "method '%s' with two variants, '%s' and '%.80s'",
                           c->method->name, c->variant, token);
        FV_TRY(set_variant(c, token));
        has_variant = true;
    }
    return FV_OK;
}

fv_status fv_saliency_parse(const char *text, fv_arena *arena, fv_saliency_choice *out) {
    char *copy = fv_arena_strdup(arena, text);

    *out = (fv_saliency_choice){.text = fv_arena_strdup(arena, text)};
    if (!copy || !out->text) return FV_ERR_NOMEM;
    char *colon = strchr(copy, ':');
    if (colon) *colon = '\0';
    for (int i = 0; i < METHODS && !out->method; i++)
        if (strcmp(methods[i]->name, copy) == 0) out->method = methods[i];
    if (!out->method) return unknown_method(copy);
    if (out->method->variants) out->variant = out->method->variants[0];
    for (int i = 0; i < count_params(out->method); i++)
        out->param[i] = out->method->params[i].initial;
    return colon ? parse_tokens(out, colon + 1) : FV_OK;
}

fv_status fv_saliency_parse_list(const char *text, fv_arena *arena, int max,
                                 fv_saliency_choice *out, int *n) {
    char *copy = fv_arena_strdup(arena, text), *rest = NULL;

    *n = 0;
    if (!copy) return FV_ERR_NOMEM;
    for (char *name = strtok_r(copy, ", ", &rest); name; name = strtok_r(NULL, ", ", &rest)) {
        for (int i = 0; i < *n; i++)
            if (strcmp(out[i].text, name) == 0)
                return FV_FAIL(FV_ERR_CONFIG, "'%.80s' is there twice", name);
        if (*n == max) return FV_FAIL(FV_ERR_CONFIG, "more than %d methods", max);
        FV_TRY(fv_saliency_parse(name, arena, &out[*n]));
        (*n)++;
    }
    return *n ? FV_OK : FV_FAIL(FV_ERR_CONFIG, "no method given");
}

fv_status fv_saliency_use_layer(const char *layer, fv_saliency_choice *choices, int n) {
    bool taken = false;

    for (int i = 0; i < n; i++) {
        if (!choices[i].method->takes_layer || choices[i].layer) continue;
        choices[i].layer = layer;
        taken = true;
    }
    return taken ? FV_OK : FV_FAIL(FV_ERR_CONFIG, "none of the methods looks at a layer");
}

/* ---- what was chosen ---- */

double fv_saliency_number(const fv_saliency_choice *choice, const char *name) {
    for (int i = 0; i < count_params(choice->method); i++)
        if (strcmp(choice->method->params[i].name, name) == 0) return choice->param[i];
    return (double)NAN;
}

bool fv_saliency_has_sign(const fv_saliency_choice *choice) {
    const fv_saliency_method *m = choice->method;
    return m->variant_has_sign ? m->variant_has_sign(choice) : m->has_sign;
}

bool fv_saliency_trains(const fv_saliency_choice *choice) {
    return choice->method->trains && choice->method->trains(choice);
}

fv_value *fv_saliency_settings(const fv_saliency_choice *choice, fv_arena *arena) {
    const fv_saliency_method *m = choice->method;
    fv_value *map = fv_value_new(arena, FV_VALUE_MAP);

    if (!map) return NULL;
    if (choice->variant)
        fv_value_set(arena, map, "variant", fv_value_string(arena, choice->variant));
    for (int i = 0; i < count_params(m); i++) {
        const double v = choice->param[i];
        fv_value_set(arena, map, m->params[i].name,
                     m->params[i].integer ? fv_value_int(arena, (int64_t)v)
                                          : fv_value_real(arena, v));
    }
    if (choice->layer) fv_value_set(arena, map, "layer", fv_value_string(arena, choice->layer));
    if (m->describe) m->describe(choice, arena, map);
    return map;
}
