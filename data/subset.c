#include "data/subset.h"

#include "core/alloc.h"
#include "core/rng.h"
#include "data/dataset_list.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool fv_subset_is_number(const char *subset) {
    char *end = NULL;

    strtod(subset, &end);
    return end != subset && *end == 0;
}

static void keep_marked(fv_dataset *ds, const bool *keep) {
    int64_t n = 0;

    for (int64_t i = 0; i < ds->n_samples; i++)
        if (keep[i]) ds->samples[n++] = ds->samples[i];
    ds->n_samples = n;
}

/* ---- by number ---- */

typedef struct amount {
    int64_t count; /* of every class, or */
    double share;  /* when above 0 */
} amount;

static fv_status parse_amount(const char *text, amount *out) {
    const bool whole = text[strspn(text, "0123456789")] == 0;

    *out = (amount){0};
    if (whole)
        out->count = strtoll(text, NULL, 10);
    else
        out->share = strtod(text, NULL);
    if (whole ? out->count > 0 : out->share > 0.0 && out->share <= 1.0) return FV_OK;
    return FV_FAIL(FV_ERR_CONFIG,
                   "subset '%.80s': expected a number of images per class, a share above 0 and up "
                   "to 1.0, or a file of names",
                   text);
}

static int64_t wanted(const amount *a, int64_t n) {
    if (a->share > 0.0) {
        const int64_t part = (int64_t)floor(a->share * (double)n + 0.5);
        return part < 1 ? 1 : part;
    }
    return a->count < n ? a->count : n;
}

/* The first places of a shuffle of the class's samples; draw i decides what stands at place i. */
static void draw(uint64_t seed, const char *class_name, int64_t *members, int64_t n, int64_t k,
                 bool *keep) {
    const fv_rng_key key = {
        .seed = seed, .purpose = FV_RNG_SUBSET, .layer = fv_rng_name(class_name)};

    for (int64_t i = 0; i < k; i++) {
        const int64_t j = i + fv_rng_below(&key, (uint64_t)i, (uint32_t)(n - i));
        const int64_t other = members[j];
        members[j] = members[i];
        members[i] = other;
        keep[other] = true;
    }
}

static fv_status choose(fv_dataset *ds, const amount *a, uint64_t seed) {
    int64_t *first = fv_calloc((size_t)ds->n_classes + 1, sizeof *first);
    int64_t *members = fv_alloc((size_t)ds->n_samples, sizeof *members);
    bool *keep = fv_calloc((size_t)ds->n_samples, sizeof *keep);
    fv_status status = FV_ERR_NOMEM;

    if (!first || !members || !keep) goto cleanup;
    for (int64_t i = 0; i < ds->n_samples; i++) first[ds->samples[i].label + 1]++;
    for (int64_t c = 0; c < ds->n_classes; c++) first[c + 1] += first[c];
    for (int64_t i = 0; i < ds->n_samples; i++) members[first[ds->samples[i].label]++] = i;
    for (int64_t c = 0; c < ds->n_classes; c++) { /* first[c] is now the end of class c */
        const int64_t begin = c ? first[c - 1] : 0, n = first[c] - begin;
        if (n > 0) draw(seed, ds->class_names[c], members + begin, n, wanted(a, n), keep);
    }
    keep_marked(ds, keep);
    status = FV_OK;
cleanup:
    fv_free(first);
    fv_free(members);
    fv_free(keep);
    return status;
}

/* ---- by name ---- */

static const char *base_name(const char *name) {
    const char *slash = strrchr(name, '/');
    return slash ? slash + 1 : name;
}

static int compare_base(const void *a, const void *b, void *samples) {
    const fv_sample *s = samples;
    return strcmp(base_name(s[*(const int64_t *)a].name), base_name(s[*(const int64_t *)b].name));
}

/* How many samples are called so without their folders; *sample is one of them. */
static int64_t find_base(const fv_dataset *ds, const int64_t *order, const char *name,
                         int64_t *sample) {
    int64_t lo = 0, hi = ds->n_samples;

    while (lo < hi) { /* the first that is not before it */
        const int64_t mid = (lo + hi) / 2;
        if (strcmp(base_name(ds->samples[order[mid]].name), name) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    int64_t n = 0;
    while (lo + n < ds->n_samples && strcmp(base_name(ds->samples[order[lo + n]].name), name) == 0)
        n++;
    if (n > 0) *sample = order[lo];
    return n;
}

static fv_status mark_line(const fv_dataset *ds, const fv_dataset_index *index,
                           const int64_t *by_base, const char *where, int line, const char *name,
                           bool *keep) {
    int64_t sample = fv_dataset_index_find(ds, index, name);

    if (sample < 0 && !strchr(name, '/')) {
        const int64_t n = find_base(ds, by_base, name, &sample);
        if (n > 1)
            return FV_FAIL(FV_ERR_FORMAT, "%s:%d: %lld samples are called '%s': add the folder",
                           where, line, (long long)n, name);
    }
    if (sample < 0)
        return FV_FAIL(FV_ERR_FORMAT, "%s:%d: no sample '%s' in the %s split of %s", where, line,
                       name, ds->split, ds->root);
    if (keep[sample]) return FV_FAIL(FV_ERR_FORMAT, "%s:%d: sample '%s' twice", where, line, name);
    keep[sample] = true;
    return FV_OK;
}

static fv_status choose_named(fv_dataset *ds, const char *path) {
    fv_dataset_index index = {0};
    int64_t *by_base = NULL;
    bool *keep = NULL;
    char *whole = NULL;
    int line_number = 0;

    fv_status status = fv_dataset_read_text(path, &whole);
    if (status == FV_OK) status = fv_dataset_index_make(ds, 0, &index);
    if (status != FV_OK) goto cleanup;
    keep = fv_calloc((size_t)ds->n_samples, sizeof *keep);
    by_base = fv_alloc((size_t)ds->n_samples, sizeof *by_base);
    if (!keep || !by_base) {
        status = FV_ERR_NOMEM;
        goto cleanup;
    }
    for (int64_t i = 0; i < ds->n_samples; i++) by_base[i] = i;
    qsort_r(by_base, (size_t)ds->n_samples, sizeof *by_base, compare_base, ds->samples);
    char *text = whole;
    for (char *line; status == FV_OK && (line = fv_dataset_next_line(&text));) {
        line_number++;
        if (*line) status = mark_line(ds, &index, by_base, path, line_number, line, keep);
    }
    if (status != FV_OK) goto cleanup;
    keep_marked(ds, keep);
    if (ds->n_samples == 0) status = FV_FAIL(FV_ERR_FORMAT, "%s: no names of samples", path);
cleanup:
    fv_free(index.order);
    fv_free(by_base);
    fv_free(keep);
    fv_free(whole);
    return status;
}

fv_status fv_subset_apply(fv_dataset *ds, const char *subset, uint64_t seed) {
    amount a;

    if (!fv_subset_is_number(subset)) return choose_named(ds, subset);
    FV_TRY(parse_amount(subset, &a));
    return choose(ds, &a, seed);
}
