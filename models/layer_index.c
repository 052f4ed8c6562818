#include "models/layer_index.h"

#include "core/alloc.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* Places of parameters: the blocks' are (first number, second number), all >= 0. */
#define STEM       (-1)
#define LAST       (INT64_MAX - 1)
#define CLASSIFIER INT64_MAX
#define NUMBERS    2
#define BASE       ((int64_t)1 << 30)

/* Does the pattern of n characters begin name, up to a dot or the end?  *place: from its numbers. */
static bool begins(const char *pattern, size_t n, const char *name, int64_t *place) {
    int64_t number[NUMBERS] = {0};
    int numbers = 0;

    for (size_t i = 0; i < n; i++) {
        if (pattern[i] != '#') {
            if (*name++ != pattern[i]) return false;
            continue;
        }
        if (!isdigit((unsigned char)*name) || numbers == NUMBERS) return false;
        for (; isdigit((unsigned char)*name); name++)
            number[numbers] = (number[numbers] * 10 + (*name - '0')) % BASE;
        numbers++;
    }
    *place = number[0] * BASE + number[1];
    return *name == '.' || *name == '\0';
}

/* One of some patterns, separated by spaces? */
static bool begins_any(const char *patterns, const char *name, int64_t *place) {
    while (patterns && *patterns) {
        const size_t n = strcspn(patterns, " ");
        if (begins(patterns, n, name, place)) return true;
        patterns += n;
        patterns += strspn(patterns, " ");
    }
    return false;
}

static int64_t place_of(const fv_layer_names *names, const char *param) {
    int64_t place;

    if (begins_any(names->stem, param, &place)) return STEM;
    if (begins_any(names->blocks, param, &place)) return place;
    return begins_any(names->last, param, &place) ? LAST : CLASSIFIER;
}

static int compare(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Sorts n places and keeps one of each: how many are left. */
static int64_t distinct(int64_t *place, int64_t n) {
    int64_t kept = 0;

    qsort(place, (size_t)n, sizeof *place, compare);
    for (int64_t i = 0; i < n; i++)
        if (!kept || place[i] != place[kept - 1]) place[kept++] = place[i];
    return kept;
}

fv_status fv_model_layer_index(const fv_model *model, int64_t *layer, int64_t *n_layers) {
    const fv_params *params = &model->params;
    int64_t n = 0;

    int64_t *blocks = fv_alloc((size_t)params->count, sizeof *blocks);
    if (!blocks) return FV_ERR_NOMEM;
    for (int64_t i = 0; i < params->count; i++) {
        layer[i] = place_of(&model->family->layers, params->item[i]->name);
        if (layer[i] >= 0 && layer[i] < LAST) blocks[n++] = layer[i];
    }
    n = distinct(blocks, n);
    for (int64_t i = 0; i < params->count; i++) {
        int64_t k = 0;
        while (k < n && blocks[k] < layer[i]) k++; /* blocks before it */
        layer[i] = layer[i] == STEM ? 0 : layer[i] == LAST ? n : k + 1;
    }
    *n_layers = n + 2;
    fv_free(blocks);
    return FV_OK;
}
