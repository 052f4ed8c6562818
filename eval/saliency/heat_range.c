#include "eval/saliency/heat_range.h"

#include "core/alloc.h"
#include "core/suggest.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static fv_heat_range symmetric(double s) { return (fv_heat_range){-s, s, true}; }

static void range_max(const float *ascending, int64_t n, double parameter, fv_heat_range *out) {
    (void)parameter;
    *out = symmetric((double)ascending[n - 1]);
}

const fv_heat_norm fv_heat_norm_max = {
    .name = "max", .summary = "largest |R|", .is_signed = true, .range = range_max};

static void range_percentile(const float *ascending, int64_t n, double percent,
                             fv_heat_range *out) {
    const double at = percent / 100.0 * (double)(n - 1);
    const int64_t low = (int64_t)floor(at), high = low + 1 < n ? low + 1 : low;
    const double part = at - (double)low;
    const double s = (1.0 - part) * (double)ascending[low] + part * (double)ascending[high];
    *out = symmetric(s > 0.0 ? s : (double)ascending[n - 1]);
}

const fv_heat_norm fv_heat_norm_percentile = {.name = "percentile",
                                              .summary = "percentile of |R|",
                                              .is_signed = true,
                                              .usual = 99.0,
                                              .most = 100.0,
                                              .range = range_percentile};

static void range_mass(const float *ascending, int64_t n, double fraction, fv_heat_range *out) {
    double total = 0.0, sum = 0.0;
    int64_t i = -1;

    for (int64_t k = 0; k < n; k++) total += (double)ascending[k];
    do sum += (double)ascending[++i];
    while (sum < fraction * total && i < n - 1);
    *out = symmetric((double)ascending[i]);
}

const fv_heat_norm fv_heat_norm_mass = {.name = "mass",
                                        .summary = "|R| below which a fraction of all |R| lies",
                                        .is_signed = true,
                                        .usual = 0.98,
                                        .most = 1.0,
                                        .range = range_mass};

static void range_minmax(const float *ascending, int64_t n, double parameter, fv_heat_range *out) {
    (void)parameter;
    *out = (fv_heat_range){(double)ascending[0], (double)ascending[n - 1], false};
}

const fv_heat_norm fv_heat_norm_minmax = {
    .name = "minmax", .summary = "smallest to largest R", .range = range_minmax};

static void range_positive(const float *ascending, int64_t n, double parameter,
                           fv_heat_range *out) {
    (void)parameter;
    *out = (fv_heat_range){0.0, fmax((double)ascending[n - 1], 0.0), false};
}

const fv_heat_norm fv_heat_norm_positive = {
    .name = "positive", .summary = "zero to largest R", .range = range_positive};

static const fv_heat_norm *const norms[] = {
#define FV_X(name) &fv_heat_norm_##name,
    FV_HEAT_NORM_LIST(FV_X)
#undef FV_X
};

#define NORMS ((int)(sizeof norms / sizeof *norms))

const fv_heat_norm *fv_heat_norm_at(int i) { return i < NORMS ? norms[i] : NULL; }

static fv_status unknown_norm(const char *text) {
    const char *list[NORMS + 1];
    char names[256] = "", hint[FV_SUGGEST_TEXT], name[FV_SUGGEST_TEXT];
    size_t used = 0;

    for (int i = 0; i < NORMS; i++) list[i] = norms[i]->name;
    list[NORMS] = NULL;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(text, ":"), text);
    for (int i = 0; i < NORMS && used < sizeof names; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "",
                                 norms[i]->name);
    return FV_FAIL(FV_ERR_CONFIG, "unknown normalisation '%.80s'%s (known: %s)", text,
                   fv_suggest_text(name, list, hint), names);
}

/* 0 becomes the usual one; NaN fails every comparison. */
static fv_status check_parameter(const fv_heat_norm *norm, double *parameter) {
    const double p = *parameter;

    if (p == 0.0) {
        *parameter = norm->usual;
        return FV_OK;
    }
    if (norm->most == 0.0)
        return FV_FAIL(FV_ERR_CONFIG, "normalisation '%s' has no parameter", norm->name);
    if (!(p > 0.0 && p <= norm->most))
        return FV_FAIL(FV_ERR_CONFIG, "normalisation '%s': %g is not above 0 and at most %g",
                       norm->name, p, norm->most);
    return FV_OK;
}

fv_status fv_heat_norm_find(const char *text, const fv_heat_norm **norm, double *parameter) {
    const char *colon = strchr(text, ':');
    const size_t n = colon ? (size_t)(colon - text) : strlen(text);

    for (int i = 0; i < NORMS; i++) {
        char *end = NULL;
        if (strlen(norms[i]->name) != n || strncmp(norms[i]->name, text, n) != 0) continue;
        *norm = norms[i];
        *parameter = colon ? strtod(colon + 1, &end) : norms[i]->usual;
        if (colon && (end == colon + 1 || *end != '\0' || *parameter == 0.0))
            return FV_FAIL(FV_ERR_CONFIG, "normalisation '%s': no such parameter", text);
        return check_parameter(norms[i], parameter);
    }
    return unknown_norm(text);
}

static int ascending_order(const void *a, const void *b) {
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

fv_status fv_heat_range_of(const float *map, int64_t n, const fv_heat_norm *norm, double parameter,
                           fv_heat_range *out) {
    if (n < 1) return FV_FAIL(FV_ERR_SHAPE, "heat map of %lld values", (long long)n);
    FV_TRY(check_parameter(norm, &parameter));
    float *sorted = fv_alloc((size_t)n, sizeof *sorted);
    if (!sorted) return FV_ERR_NOMEM;
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(map[i])) {
            fv_free(sorted);
            return FV_FAIL(FV_ERR_NONFINITE, "heat map: value %lld is not finite", (long long)i);
        }
        sorted[i] = norm->is_signed ? fabsf(map[i]) : map[i];
    }
    qsort(sorted, (size_t)n, sizeof *sorted, ascending_order);
    norm->range(sorted, n, parameter, out);
    fv_free(sorted);
    return FV_OK;
}

fv_heat_range fv_heat_range_union(fv_heat_range a, fv_heat_range b) {
    return (fv_heat_range){fmin(a.low, b.low), fmax(a.high, b.high), a.is_signed};
}

double fv_heat_value(const fv_heat_range *range, float r) {
    const double from = range->is_signed ? 0.0 : range->low, least = range->is_signed ? -1.0 : 0.0;
    if (range->high <= from) return 0.0;
    return fmin(fmax(((double)r - from) / (range->high - from), least), 1.0);
}
