#include "eval/ranking.h"

#include "core/alloc.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

typedef struct item {
    double value;
    int64_t index;
} item;

/* A total order, so that qsort has one possible result. */
static int by_value_and_index(const void *a, const void *b) {
    const item *x = a, *y = b;
    const int order = (x->value > y->value) - (x->value < y->value);
    return order ? order : (x->index > y->index) - (x->index < y->index);
}

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts sign * x; the caller frees *out.  NULL on error. */
static fv_status sorted(const float *f, const double *d, double sign, int64_t n, item **out) {
    *out = NULL;
    item *items = fv_alloc((size_t)n, sizeof *items);
    if (!items) return FV_ERR_NOMEM;
    for (int64_t i = 0; i < n; i++) {
        const double value = f ? (double)f[i] : d[i];
        if (isnan(value)) {
            fv_free(items);
            return FV_FAIL(FV_ERR_NONFINITE, "ranking: value %" PRId64 " of %" PRId64 " is NaN", i,
                           n);
        }
        items[i] = (item){sign * value, i};
    }
    qsort(items, (size_t)n, sizeof *items, by_value_and_index);
    *out = items;
    return FV_OK;
}

static fv_status order_of(const float *x, double sign, int64_t n, int64_t *order) {
    item *items = NULL;

    FV_TRY(sorted(x, NULL, sign, n, &items));
    for (int64_t i = 0; i < n; i++) order[i] = items[i].index;
    fv_free(items);
    return FV_OK;
}

fv_status fv_order_descending(const float *x, int64_t n, int64_t *order) {
    return order_of(x, -1.0, n, order);
}

fv_status fv_order_ascending(const float *x, int64_t n, int64_t *order) {
    return order_of(x, 1.0, n, order);
}

fv_status fv_midranks(const double *x, int64_t n, double *ranks) {
    item *items = NULL;

    FV_TRY(sorted(NULL, x, 1.0, n, &items));
    for (int64_t first = 0, end; first < n; first = end) {
        for (end = first + 1; end < n && items[end].value == items[first].value;) end++;
        /* ranks first+1 .. end */
        for (int64_t i = first; i < end; i++)
            ranks[items[i].index] = 0.5 * (double)(first + 1 + end);
    }
    fv_free(items);
    return FV_OK;
}

void fv_sort_ascending(double *x, int64_t n) { qsort(x, (size_t)n, sizeof *x, by_value); }

double fv_percentile(const double *ascending, int64_t n, double p) {
    const double at = p / 100.0 * (double)(n - 1);
    const int64_t low = (int64_t)floor(at), high = low + 1 < n ? low + 1 : low;
    const double part = at - (double)low;
    const double a = ascending[low], b = ascending[high];

    return a + part * (b - a); /* exactly a when both are equal */
}
