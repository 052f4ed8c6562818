#include "core/shape.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

fv_shape fv_shape_of(int rank, ...) {
    fv_shape s = {.rank = rank};
    va_list args;

    va_start(args, rank);
    for (int i = 0; i < rank; i++) s.dim[i] = va_arg(args, int64_t);
    va_end(args);
    return s;
}

int64_t fv_shape_numel(const fv_shape *s) {
    int64_t n = 1;
    for (int i = 0; i < s->rank; i++) n *= s->dim[i];
    return n;
}

int64_t fv_shape_last(const fv_shape *s) { return s->rank ? s->dim[s->rank - 1] : 1; }

int64_t fv_shape_rows(const fv_shape *s) {
    int64_t n = 1;
    for (int i = 0; i + 1 < s->rank; i++) n *= s->dim[i];
    return n;
}

bool fv_shape_equal(const fv_shape *a, const fv_shape *b) {
    if (a->rank != b->rank) return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i]) return false;
    return true;
}

fv_status fv_shape_check(const fv_shape *s, int64_t *numel) {
    int64_t n = 1;

    *numel = 0;
    if (s->rank < 0 || s->rank > FV_MAX_RANK)
        return FV_FAIL(FV_ERR_SHAPE, "rank %d is not in 0..%d", s->rank, FV_MAX_RANK);
    for (int i = 0; i < s->rank; i++) {
        if (s->dim[i] < 0) return FV_FAIL(FV_ERR_SHAPE, "dimension %d is negative", i);
        if (__builtin_mul_overflow(n, s->dim[i], &n))
            return FV_FAIL(FV_ERR_SHAPE, "element count overflows");
    }
    *numel = n;
    return FV_OK;
}

const char *fv_shape_text(const fv_shape *s, char text[FV_SHAPE_TEXT]) {
    size_t used = 0;

    if (s->rank == 0) return strcpy(text, "scalar");
    for (int i = 0; i < s->rank && used < FV_SHAPE_TEXT; i++)
        used += (size_t)snprintf(text + used, FV_SHAPE_TEXT - used, "%s%" PRId64, i ? "x" : "",
                                 s->dim[i]);
    return text;
}
