#include "models/names.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define MAX_NUMBERS 8
#define MAX_NAME    256

static const fv_naming *const namings[] = {
#define FV_X(name) &fv_naming_##name,
    FV_NAMING_LIST(FV_X)
#undef FV_X
};

#define NAMINGS ((int)(sizeof namings / sizeof *namings))

const fv_naming fv_naming_timm = {.name = "timm",
                                  .whose = "our own names",
                                  .rule = (const fv_name_rule[]){{"*", "*"}, {NULL, NULL}}};

const fv_naming *fv_naming_at(const char *family, int i) {
    for (int k = 0; k < NAMINGS && i >= 0; k++)
        if ((!namings[k]->family || strcmp(namings[k]->family, family) == 0) && i-- == 0)
            return namings[k];
    return NULL;
}

/* ---- one name ---- */

/* What the '#' and the '*' of a pattern stand for. */
typedef struct capture {
    const char *number[MAX_NUMBERS];
    int length[MAX_NUMBERS];
    int n;
    const char *rest;
} capture;

static bool fits(const char *pattern, const char *name, capture *c) {
    *c = (capture){.rest = ""};
    for (; *pattern; pattern++) {
        if (*pattern == '*') {
            c->rest = name;
            return true;
        }
        if (*pattern == '#') {
            const char *start = name;
            while (isdigit((unsigned char)*name)) name++;
            if (name == start || c->n == MAX_NUMBERS) return false;
            c->number[c->n] = start;
            c->length[c->n++] = (int)(name - start);
        } else if (*pattern != *name++) {
            return false;
        }
    }
    return *name == '\0';
}

/* The other side's name; of "{a,b,c}" the part-th, *n_parts is how many there are. */
static fv_status write_name(const char *pattern, const capture *c, const char *prefix, int part,
                            fv_arena *arena, int *n_parts, const char **out) {
    char text[MAX_NAME];
    size_t used = (size_t)snprintf(text, sizeof text, "%s", prefix);
    int number = 0, option = -1; /* option: of a "{", -1 outside */

    *n_parts = 1;
    for (; *pattern; pattern++) {
        char one[2] = {*pattern, '\0'};
        const char *piece = one;
        int length = 1;
        if (*pattern == '{') {
            option = 0;
            continue;
        }
        if (*pattern == '}' || (option >= 0 && *pattern == ',')) {
            option++;
            *n_parts = option;
            if (*pattern == '}') option = -1;
            continue;
        }
        if (option >= 0 && option != part) continue;
        if (*pattern == '#') {
            piece = c->number[number];
            length = c->length[number++];
        } else if (*pattern == '*') {
            piece = c->rest;
            length = (int)strlen(piece);
        }
        if (used + (size_t)length >= sizeof text)
            return FV_FAIL(FV_ERR_CONFIG, "the name of a parameter is longer than %d bytes",
                           MAX_NAME - 1);
        memcpy(text + used, piece, (size_t)length);
        used += (size_t)length;
        text[used] = '\0';
    }
    *out = fv_arena_strdup(arena, text);
    return *out ? FV_OK : FV_ERR_NOMEM;
}

fv_status fv_naming_apply(const fv_naming *naming, const char *prefix, const char *ours,
                          fv_arena *arena, fv_param_source *out) {
    const fv_name_rule *rule = naming->rule;
    capture c;

    *out = (fv_param_source){0};
    while (rule->ours && !fits(rule->ours, ours, &c)) rule++;
    if (!rule->ours) return FV_OK;
    do {
        int n_parts;
        FV_TRY(write_name(rule->theirs, &c, prefix, out->n, arena, &n_parts, &out->part[out->n]));
        if (++out->n == n_parts) break;
    } while (out->n < FV_PARAM_PARTS);
    return FV_OK;
}

/* ---- all of them ---- */

/* *known: parameters that the naming has a name for. */
static fv_status sources(const fv_model *model, const fv_naming *naming, const char *prefix,
                         fv_arena *arena, const fv_param_source **out, int64_t *known) {
    const fv_params *params = &model->params;
    fv_param_source *source = fv_arena_calloc(arena, (size_t)params->count, sizeof *source);

    *known = 0;
    if (!source) return FV_ERR_NOMEM;
    for (int64_t i = 0; i < params->count; i++) {
        FV_TRY(fv_naming_apply(naming, prefix, params->item[i]->name, arena, &source[i]));
        *known += source[i].n > 0;
    }
    *out = source;
    return FV_OK;
}

/* The wrappers in front of all names of a file: "model.module." */
static fv_status common_prefix(const fv_safetensors *st, fv_arena *arena, const char **out) {
    static const char *const wrappers[] = {"module.", "model.", "state_dict."};
    const int64_t n = fv_safetensors_count(st);
    char prefix[64] = "";

    for (size_t w = 0; n > 0 && w < sizeof wrappers / sizeof *wrappers;) {
        char longer[sizeof prefix];
        const int length = snprintf(longer, sizeof longer, "%s%s", prefix, wrappers[w++]);
        int64_t i = 0;
        if (length >= (int)sizeof longer) break;
        while (i < n && strncmp(fv_safetensors_at(st, i)->name, longer, (size_t)length) == 0) i++;
        if (i < n) continue;
        memcpy(prefix, longer, sizeof prefix);
        w = 0;
    }
    *out = fv_arena_strdup(arena, prefix);
    return *out ? FV_OK : FV_ERR_NOMEM;
}

static int64_t count_found(const fv_params *params, const fv_param_source *source,
                           const fv_safetensors *st) {
    int64_t found = 0;

    for (int64_t i = 0; i < params->count; i++)
        found += source[i].n > 0 && fv_safetensors_find(st, source[i].part[0]) != NULL;
    return found;
}

fv_status fv_tensor_names_choose(const fv_model *model, const fv_safetensors *st, fv_arena *arena,
                                 fv_tensor_names *out) {
    const fv_naming *naming;
    const char *prefix = NULL;
    int64_t best = -1;

    *out = (fv_tensor_names){0};
    FV_TRY(common_prefix(st, arena, &prefix));
    for (int i = 0;
         best < model->params.count && (naming = fv_naming_at(model->family->name, i)) != NULL;
         i++) {
        const fv_param_source *source = NULL;
        int64_t known;
        FV_TRY(sources(model, naming, prefix, arena, &source, &known));
        const int64_t found = count_found(&model->params, source, st);
        if (found <= best) continue;
        best = found;
        *out = (fv_tensor_names){.naming = naming, .prefix = prefix, .source = source};
    }
    return FV_OK;
}

static fv_status not_known(const fv_model *model, const char *name) {
    char list[128] = "";
    size_t used = 0;
    const fv_naming *naming;

    for (int i = 0; (naming = fv_naming_at(model->family->name, i)); i++)
        if (!strstr(list, naming->name) && used < sizeof list)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "",
                                     naming->name);
    return FV_FAIL(FV_ERR_CONFIG, "there are no names called '%.80s' for %s; known: %s", name,
                   model->name, list);
}

fv_status fv_tensor_names_called(const fv_model *model, const char *name, fv_arena *arena,
                                 fv_tensor_names *out) {
    const fv_naming *naming;

    *out = (fv_tensor_names){0};
    for (int i = 0; (naming = fv_naming_at(model->family->name, i)); i++) {
        const fv_param_source *source = NULL;
        int64_t known;
        if (strcmp(naming->name, name) != 0) continue;
        FV_TRY(sources(model, naming, "", arena, &source, &known));
        if (known < model->params.count) continue;
        *out = (fv_tensor_names){.naming = naming, .prefix = "", .source = source};
        return FV_OK;
    }
    return not_known(model, name);
}

const fv_safetensors_entry *fv_tensor_names_find(const fv_tensor_names *names,
                                                 const fv_model *model, const fv_safetensors *st,
                                                 const char *name) {
    const fv_param *p = fv_params_find(&model->params, name);

    if (!p || names->source[p->index].n != 1) return NULL;
    return fv_safetensors_find(st, names->source[p->index].part[0]);
}
