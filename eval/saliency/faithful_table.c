#include "eval/saliency/faithful_table.h"

#include "core/alloc.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static int64_t row_size(const fv_faithful_table *t) {
    return (int64_t)t->question->n_methods * fv_faithful_count(t->question);
}

static fv_status grow(fv_faithful_table *t) {
    const int64_t wanted = t->capacity ? 2 * t->capacity : 64;
    double *values = fv_realloc(t->values, (size_t)(wanted * row_size(t)) + 1, sizeof *t->values);

    if (values) t->values = values;
    int32_t *label = values ? fv_realloc(t->label, (size_t)wanted, sizeof *t->label) : NULL;
    if (!label) return FV_ERR_NOMEM;
    t->label = label;
    t->capacity = wanted;
    return FV_OK;
}

fv_status fv_faithful_table_add(fv_faithful_table *t, const double *values, int32_t label) {
    const int64_t n = row_size(t);

    if (t->n_images == t->capacity) FV_TRY(grow(t));
    memcpy(t->values + t->n_images * n, values, (size_t)n * sizeof *values);
    t->label[t->n_images++] = label;
    return FV_OK;
}

void fv_faithful_table_free(fv_faithful_table *t) {
    fv_free(t->values);
    fv_free(t->label);
    t->values = NULL;
    t->label = NULL;
    t->n_images = t->capacity = 0;
}

void fv_faithful_table_column(const fv_faithful_table *t, int m, int k, double *out) {
    const int n = fv_faithful_count(t->question);
    for (int64_t i = 0; i < t->n_images; i++) out[i] = t->values[i * row_size(t) + m * n + k];
}

/* ---- means over classes ---- */

typedef struct classes {
    const double *x;
    const int32_t *label;
    int64_t n_classes;
} classes;

/* Mean over the classes that are there of the means of their defined values. */
static double class_mean(void *user, const int64_t *index, int64_t n) {
    const classes *c = user;
    double total = 0.0;
    int64_t present = 0;

    for (int64_t k = -1; k < c->n_classes; k++) {
        double sum = 0.0;
        int64_t count = 0;
        for (int64_t i = 0; i < n; i++) {
            const int64_t at = index ? index[i] : i;
            if (c->label[at] != k || !isfinite(c->x[at])) continue;
            sum += c->x[at];
            count++;
        }
        if (!count) continue;
        total += sum / (double)count;
        present++;
    }
    return present ? total / (double)present : 0.0;
}

static fv_status summarise_classes(const fv_faithful_table *t, double *x,
                                   const fv_resampling *resampling, fv_summary *out) {
    classes c = {.x = x, .label = t->label};

    for (int64_t i = 0; i < t->n_images; i++)
        if (t->label[i] >= c.n_classes) c.n_classes = t->label[i] + 1;
    if (!out->count) return FV_OK;
    out->mean = class_mean(&c, NULL, t->n_images);
    if (out->count < 2) return FV_OK;
    return fv_bootstrap(t->n_images, class_mean, &c, resampling, &out->interval);
}

fv_status fv_faithful_table_summary(const fv_faithful_table *t, int m, int k, fv_summary *out) {
    const fv_metric_value *value = fv_faithful_value(t->question, k);
    const fv_resampling resampling = {.seed = t->question->seed, .name = value->name};
    double *x = fv_alloc((size_t)t->n_images + 1, sizeof *x);

    if (!x) return FV_ERR_NOMEM;
    fv_faithful_table_column(t, m, k, x);
    fv_status status = fv_summarise(x, t->n_images, &resampling, out);
    if (status == FV_OK && fv_faithful_metric(t->question, k)->per_class)
        status = summarise_classes(t, x, &resampling, out);
    fv_free(x);
    return status;
}

/* ---- as values ---- */

static fv_value *pair(fv_arena *arena, fv_interval interval) {
    fv_value *list = fv_value_new(arena, FV_VALUE_LIST);
    if (!list) return NULL;
    fv_value_add(list, fv_value_real(arena, interval.low));
    fv_value_add(list, fv_value_real(arena, interval.high));
    return list;
}

static fv_status method_value(const fv_faithful_table *t, int m, fv_arena *arena, fv_value **out) {
    fv_value *map = fv_value_new(arena, FV_VALUE_MAP);
    fv_value *intervals = fv_value_new(arena, FV_VALUE_MAP);
    fv_value *undefined = fv_value_new(arena, FV_VALUE_MAP);

    if (!map || !intervals || !undefined) return FV_ERR_NOMEM;
    fv_value_set(arena, map, "method", fv_value_string(arena, t->question->methods[m].text));
    fv_value_set(arena, map, "count", fv_value_int(arena, t->n_images));
    for (int k = 0; k < fv_faithful_count(t->question); k++) {
        const char *name = fv_faithful_value(t->question, k)->name;
        fv_summary s;
        FV_TRY(fv_faithful_table_summary(t, m, k, &s));
        fv_value_set(arena, map, name,
                     s.count ? fv_value_real(arena, s.mean) : fv_value_new(arena, FV_VALUE_NULL));
        fv_value_set(arena, intervals, name, pair(arena, s.interval));
        if (s.undefined) fv_value_set(arena, undefined, name, fv_value_int(arena, s.undefined));
    }
    fv_value_set(arena, map, "intervals", intervals);
    fv_value_set(arena, map, "undefined", undefined);
    *out = map;
    return map->incomplete ? FV_ERR_NOMEM : FV_OK;
}

fv_status fv_faithful_table_methods(const fv_faithful_table *t, fv_arena *arena, fv_value **out) {
    fv_value *list = fv_value_new(arena, FV_VALUE_LIST);

    if (!list) return FV_ERR_NOMEM;
    for (int m = 0; m < t->question->n_methods; m++) {
        fv_value *map;
        FV_TRY(method_value(t, m, arena, &map));
        fv_value_add(list, map);
    }
    *out = list;
    return FV_OK;
}

/* One comparison's numbers; its corrected p is set when all are there. */
static fv_status compare(const fv_faithful_table *t, int m, int against, int k, double *a,
                         double *b, fv_comparison *out) {
    char name[160];

    fv_faithful_table_column(t, m, k, a);
    fv_faithful_table_column(t, against, k, b);
    snprintf(name, sizeof name, "%s/%s", t->question->methods[m].text,
             fv_faithful_value(t->question, k)->name);
    return fv_compare_paired(a, b, t->n_images,
                             &(fv_resampling){.seed = t->question->seed, .name = name}, out);
}

static fv_value *comparison_value(const fv_faithful_table *t, int m, int against, int k,
                                  const fv_comparison *c, double p_holm, fv_arena *arena) {
    fv_value *map = fv_value_new(arena, FV_VALUE_MAP);

    if (!map) return NULL;
    fv_value_set(arena, map, "method", fv_value_string(arena, t->question->methods[m].text));
    fv_value_set(arena, map, "against", fv_value_string(arena, t->question->methods[against].text));
    fv_value_set(arena, map, "value",
                 fv_value_string(arena, fv_faithful_value(t->question, k)->name));
    fv_value_set(arena, map, "difference", fv_value_real(arena, c->difference.mean));
    fv_value_set(arena, map, "low", fv_value_real(arena, c->difference.interval.low));
    fv_value_set(arena, map, "high", fv_value_real(arena, c->difference.interval.high));
    fv_value_set(arena, map, "p", fv_value_real(arena, c->p_value));
    fv_value_set(arena, map, "p_holm", fv_value_real(arena, p_holm));
    return map;
}

static fv_status compare_all(const fv_faithful_table *t, int against, double *a, double *b,
                             fv_comparison *c, double *p, fv_value *list, fv_arena *arena) {
    const int n_values = fv_faithful_count(t->question), n_methods = t->question->n_methods;
    int64_t n = 0;

    for (int m = 0; m < n_methods; m++)
        for (int k = 0; m != against && k < n_values; k++, n++) {
            FV_TRY(compare(t, m, against, k, a, b, &c[n]));
            p[n] = c[n].p_value;
        }
    FV_TRY(fv_holm(p, n, p));
    n = 0;
    for (int m = 0; m < n_methods; m++)
        for (int k = 0; m != against && k < n_values; k++, n++)
            if (!fv_value_add(list, comparison_value(t, m, against, k, &c[n], p[n], arena)))
                return FV_ERR_NOMEM;
    return FV_OK;
}

fv_status fv_faithful_table_compare(const fv_faithful_table *t, int against, fv_arena *arena,
                                    fv_value **out) {
    const size_t n = (size_t)row_size(t) + 1, images = (size_t)t->n_images + 1;
    double *a = fv_alloc(images, sizeof *a), *b = fv_alloc(images, sizeof *b);
    double *p = fv_alloc(n, sizeof *p);
    fv_comparison *c = fv_alloc(n, sizeof *c);
    fv_value *list = fv_value_new(arena, FV_VALUE_LIST);

    fv_status status = FV_ERR_NOMEM;
    if (a && b && p && c && list) status = compare_all(t, against, a, b, c, p, list, arena);
    fv_free(a);
    fv_free(b);
    fv_free(p);
    fv_free(c);
    if (status == FV_OK) *out = list;
    return status;
}
