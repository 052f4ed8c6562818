#include "tests/golden_runner/golden.h"

#include "core/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void line(golden *g, const char *name, const char *error, const char *tolerance,
                 const char *verdict) {
    printf("%-64s %12s %10s %s\n", golden_text(g, "%s/%s", g->stem, name), error, tolerance,
           verdict);
}

void golden_result(golden *g, const char *name, double error, double tolerance) {
    char e[32], t[32];
    const bool ok = error <= tolerance; /* false for NaN */

    snprintf(e, sizeof e, "%.3e", error);
    snprintf(t, sizeof t, "%.1e", tolerance);
    line(g, name, e, t, ok ? "ok" : "FAIL");
    if (ok)
        g->counts.passed++;
    else
        g->counts.failed++;
}

void golden_fail(golden *g, const char *name, const char *why, ...) {
    char text[512];
    va_list args;

    va_start(args, why);
    vsnprintf(text, sizeof text, why, args);
    va_end(args);
    line(g, name, "-", "-", "FAIL");
    printf("    %s\n", text);
    g->counts.failed++;
}

void golden_skip(golden *g, const char *name) {
    const size_t n = strlen(name);

    for (int64_t i = 0; i < fv_safetensors_count(g->file); i++) {
        const char *t = fv_safetensors_at(g->file, i)->name;
        if (strncmp(t, name, n) == 0 && (t[n] == '/' || t[n] == '\0')) g->used[i] = true;
    }
    line(g, name, "-", "-", "skip");
    g->counts.skipped++;
}

void golden_skip_group(golden *g, const char *name) {
    const size_t n = strlen(name);
    bool any = false;

    for (int64_t i = 0; i < fv_safetensors_count(g->file); i++) {
        const char *t = fv_safetensors_at(g->file, i)->name;
        if (g->used[i] || strncmp(t, name, n) != 0 || (t[n] != '.' && t[n] != '\0')) continue;
        any = g->used[i] = true;
    }
    if (any) golden_skip(g, name);
}

/* [B,P,C] from [B,C,P]. */
static const float *transposed(golden *g, int64_t B, int64_t C, int64_t P, const float *from) {
    float *to = fv_arena_alloc(&g->arena, (size_t)(B * C * P) + 1, sizeof *to);

    for (int64_t b = 0; to && b < B; b++)
        for (int64_t c = 0; c < C; c++)
            for (int64_t p = 0; p < P; p++) to[(b * P + p) * C + c] = from[(b * C + c) * P + p];
    return to;
}

const float *golden_planar(golden *g, const fv_shape *s, const float *packed) {
    if (s->rank != 4) return packed;
    return transposed(g, s->dim[0], s->dim[1] * s->dim[2], s->dim[3], packed);
}

const float *golden_packed(golden *g, const fv_shape *s, const float *planar) {
    if (s->rank != 4) return planar;
    return transposed(g, s->dim[0], s->dim[1], s->dim[2] * s->dim[3], planar);
}

static const fv_safetensors_entry *find(golden *g, const char *name) {
    for (int64_t i = 0; i < fv_safetensors_count(g->file); i++) {
        const fv_safetensors_entry *e = fv_safetensors_at(g->file, i);
        if (strcmp(e->name, name) != 0) continue;
        g->used[i] = true;
        return e;
    }
    return NULL;
}

bool golden_has(const golden *g, const char *name) {
    return fv_safetensors_find(g->file, name) != NULL;
}

void golden_use(golden *g, const char *name) { find(g, name); }

/* The entry when it exists and holds one of two element types, else a failed line. */
static const fv_safetensors_entry *need(golden *g, const char *name, fv_dtype a, fv_dtype b) {
    const fv_safetensors_entry *e = find(g, name);

    if (!e)
        golden_fail(g, name, "the file has no such tensor");
    else if (e->dtype != a && e->dtype != b)
        golden_fail(g, name, "unexpected element type %s", fv_dtype_name(e->dtype));
    else
        return e;
    return NULL;
}

static void *checked(golden *g, const char *name, void *data, fv_status status) {
    if (data && status == FV_OK) return data;
    golden_fail(g, name, "%s", fv_error_message());
    return NULL;
}

const float *golden_f32(golden *g, const char *name, fv_shape *shape) {
    const fv_safetensors_entry *e = need(g, name, FV_F32, FV_F64);
    if (!e) return NULL;
    float *data = fv_arena_alloc(&g->arena, (size_t)e->numel + 1, sizeof *data);
    if (shape) *shape = e->shape;
    return checked(g, name, data, data ? fv_safetensors_read_f32(g->file, e, data) : FV_ERR_NOMEM);
}

const double *golden_f64(golden *g, const char *name, int64_t *n) {
    const fv_safetensors_entry *e = need(g, name, FV_F64, FV_F64);
    if (!e) return NULL;
    double *data = fv_arena_alloc(&g->arena, (size_t)e->numel + 1, sizeof *data);
    *n = e->numel;
    return checked(g, name, data, data ? fv_safetensors_read(g->file, e, data) : FV_ERR_NOMEM);
}

const int64_t *golden_i64(golden *g, const char *name, fv_shape *shape) {
    const fv_safetensors_entry *e = need(g, name, FV_I32, FV_I64);
    if (!e) return NULL;
    int64_t *data = fv_arena_alloc(&g->arena, (size_t)e->numel + 1, sizeof *data);
    if (shape) *shape = e->shape;
    return checked(g, name, data, data ? fv_safetensors_read_i64(g->file, e, data) : FV_ERR_NOMEM);
}

const uint8_t *golden_u8(golden *g, const char *name, fv_shape *shape) {
    const fv_safetensors_entry *e = need(g, name, FV_U8, FV_U8);
    if (!e) return NULL;
    uint8_t *data = fv_arena_alloc(&g->arena, (size_t)e->numel + 1, sizeof *data);
    if (shape) *shape = e->shape;
    return checked(g, name, data, data ? fv_safetensors_read(g->file, e, data) : FV_ERR_NOMEM);
}

void golden_compare(golden *g, const char *name, const float *computed, int64_t n, double scale,
                    double tolerance) {
    fv_shape shape;
    const float *stored = golden_f32(g, name, &shape);
    double worst = 0.0, largest = 0.0;

    if (!stored) return;
    if (fv_shape_numel(&shape) != n) {
        golden_fail(g, name, "%" PRId64 " values stored, %" PRId64 " computed",
                    fv_shape_numel(&shape), n);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        const double error = fabs((double)computed[i] - (double)stored[i]);
        if (!(error <= worst)) worst = error;
        largest = fmax(largest, fabs((double)stored[i]));
    }
    if (scale <= 0.0) scale = largest > 0.0 ? largest : 1.0;
    golden_result(g, name, worst / scale, tolerance);
}

fv_value *golden_meta(golden *g, const char *key) {
    const char *text = fv_safetensors_metadata(g->file, key);
    fv_value *v = NULL;

    if (text && fv_json_parse(text, strlen(text), key, &g->arena, &v) != FV_OK) return NULL;
    return v;
}

const char *golden_text(golden *g, const char *format, ...) {
    char text[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const char *copy = fv_arena_strdup(&g->arena, text);
    return copy ? copy : "?";
}

/* Rows whose k chosen regions are not the stored ones, in whatever order. */
static int64_t rows_that_differ(const int32_t *computed, const int64_t *stored, int64_t rows,
                                int64_t k) {
    int64_t differ = 0;

    for (int64_t r = 0; r < rows; r++) {
        bool same = true;
        for (int64_t i = 0; i < k; i++) {
            int64_t here = 0, there = 0; /* how often the i-th region of either side is there */
            for (int64_t j = 0; j < k; j++) {
                here += computed[r * k + j] == stored[r * k + i];
                there += stored[r * k + j] == stored[r * k + i];
            }
            same = same && here == there;
        }
        differ += !same;
    }
    return differ;
}

void golden_compare_choices(golden *g, const char *name, const fv_var *computed) {
    fv_shape shape;

    if (!computed || computed->dtype != FV_I32) {
        golden_fail(g, name, "no computed indices");
        return;
    }
    const int64_t *stored = golden_i64(g, name, &shape);
    if (!stored) return;
    if (!fv_shape_equal(&shape, &computed->shape)) {
        golden_fail(g, name, "another shape than computed");
        return;
    }
    const int64_t k = shape.dim[shape.rank - 1], rows = fv_shape_numel(&shape) / k;
    golden_result(g, name, (double)rows_that_differ(computed->data, stored, rows, k), 0.0);
}
