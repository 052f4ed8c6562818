#include "models/args.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

fv_status fv_args_bad(const fv_value *map, const char *key, const char *format, ...) {
    const fv_value *v = fv_value_find(map, key);
    char where[512], rule[512];
    va_list args;

    va_start(args, format);
    vsnprintf(rule, sizeof rule, format, args);
    va_end(args);
    return FV_FAIL(FV_ERR_CONFIG, "%s%s: %s", v ? fv_value_where(v, where) : "", key, rule);
}

fv_status fv_args_word(fv_value *map, const char *key, const char *const words[],
                       const char **out) {
    char known[256] = "";

    FV_TRY(fv_value_get_string(map, key, out));
    for (int i = 0; words[i]; i++) {
        if (strcmp(*out, words[i]) == 0) {
            *out = words[i];
            return FV_OK;
        }
        const size_t n = strlen(known);
        snprintf(known + n, sizeof known - n, "%s%s", i ? ", " : "", words[i][0] ? words[i] : "''");
    }
    return fv_args_bad(map, key, "'%s' is not available here; known: %s", *out, known);
}

fv_status fv_args_size(fv_value *map, int64_t img_size, int64_t *height, int64_t *width) {
    int64_t size[2] = {*height, *width}, count = 0;

    FV_TRY(fv_value_get_ints(map, "img_size", 1, 16384, 2, size, &count));
    *height = img_size ? img_size : size[0];
    *width = img_size ? img_size : count == 1 ? size[0] : size[1];
    return FV_OK;
}

/* 1 or n entries, else an error. */
static fv_status check_count(const fv_value *map, const char *key, int64_t count, int64_t n) {
    if (count == 1 || count == n) return FV_OK;
    return fv_args_bad(map, key, "%" PRId64 " entries where one or %" PRId64 " are meant", count,
                       n);
}

fv_status fv_args_ints(fv_value *map, const char *key, int64_t min, int64_t max, int64_t n,
                       int64_t out[]) {
    const fv_value *v = fv_value_find(map, key);
    int64_t count = n;

    if (v && v->kind == FV_VALUE_LIST) FV_TRY(check_count(map, key, v->count, n));
    FV_TRY(fv_value_get_ints(map, key, min, max, n, out, &count));
    for (int64_t i = 1; count == 1 && i < n; i++) out[i] = out[0];
    return FV_OK;
}

fv_status fv_args_reals(fv_value *map, const char *key, double min, double max, int64_t n,
                        double out[]) {
    fv_value *v = fv_value_find(map, key);
    double one = 0.0;

    if (!v || v->kind == FV_VALUE_NULL) return FV_OK;
    if (v->kind != FV_VALUE_LIST) {
        FV_TRY(fv_value_get_real(map, key, min, max, &one));
        for (int64_t i = 0; i < n; i++) out[i] = one;
        return FV_OK;
    }
    FV_TRY(check_count(map, key, v->count, n));
    v->known = true;
    for (int64_t i = 0; i < n; i++) {
        const fv_value *item = fv_value_at(v, v->count == 1 ? 0 : i);
        if (item->kind != FV_VALUE_INT && item->kind != FV_VALUE_REAL)
            return fv_args_bad(map, key, "expected numbers, got %s",
                               fv_value_kind_text(item->kind));
        if (!(item->real >= min && item->real <= max)) /* refuses NaN too */
            return fv_args_bad(map, key, "%g is outside %g to %g", item->real, min, max);
        out[i] = item->real;
    }
    return FV_OK;
}

fv_value *fv_args_int_list(fv_arena *arena, int64_t n, const int64_t values[]) {
    fv_value *list = fv_value_new(arena, FV_VALUE_LIST);

    for (int64_t i = 0; i < n; i++) fv_value_add(list, fv_value_int(arena, values[i]));
    return list;
}
