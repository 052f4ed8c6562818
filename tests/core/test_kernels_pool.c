/* Max pooling of every instruction set of this machine: the same bits as its definition. */
#include "tests/support/kernel_check.h"

#include <criterion/criterion.h>

#include <string.h>

enum { PIXELS = 9, ROOM = PIXELS * MAX_N + PAD, GUARD = 0xee };

static float x[ROOM], y[MAX_N + PAD], want[MAX_N + PAD];
static fv_bf16 narrow_x[ROOM], narrow_y[MAX_N + PAD], narrow_want[MAX_N + PAD];
static uint8_t place[ROOM], places[MAX_N + PAD];

TestSuite(core_kernels_pool, .init = kernel_check_start);

/* Few different values, so that there are ties; NaN of two payloads. */
static void fill(int64_t n) {
    static const float some[] = {NAN,  INFINITY, -INFINITY, 0.0f, -0.0f, 1e-45f, -1e-45f,
                                 1.0f, -1.0f,    2.5f,      2.5f, 1.0f,  -3.0f,  0.5f};
    const fv_rng_key key = {.seed = 2, .purpose = FV_RNG_TEST, .sample = (uint32_t)n};

    for (int64_t i = 0; i < PIXELS * n + PAD; i++) {
        const float at = fv_rng_uniform(&key, (uint64_t)i);
        x[i] = some[(int)(14.0f * at)];
        if (isnan(x[i]) && i % 2) x[i] = -x[i];
        if (i % 5 == 0) x[i] = 2.0f; /* no denormals and NaN only */
        narrow_x[i] = fv_bf16_from_f32(x[i]);
        x[i] = fv_bf16_to_f32(narrow_x[i]);
        place[i] = (uint8_t)(3.0f * fv_rng_uniform(&key, (uint64_t)(i + ROOM)));
    }
}

/* Pixels of n channels, last to first but for the first two. */
static fv_window window_of(int64_t n, int count) {
    fv_window w = {.count = count};
    for (int i = 0; i < count; i++) {
        w.offset[i] = n * (i < 2 ? i : count + 1 - i);
        w.place[i] = (uint8_t)(200 + i);
    }
    return w;
}

static uint8_t best_of(const fv_window *w, int64_t c, float *best) {
    int place_of = 0;
    for (int i = 0; i < w->count; i++) {
        const float v = x[w->offset[i] + c];
        if (i == 0 || v > *best || isnan(v)) *best = v, place_of = i;
    }
    return w->place[place_of];
}

static void check_max(const fv_kernels *k, const fv_window *w, int64_t n, fv_dtype type,
                      bool with_winner) {
    mark(y, n);
    memset(places, GUARD, sizeof places);
    memset(narrow_y, GUARD, sizeof narrow_y);
    k->max_pool(w, n, type == FV_F32 ? (void *)x : (void *)narrow_x, type,
                type == FV_F32 ? (void *)y : (void *)narrow_y, with_winner ? places : NULL);
    check_mark("max_pool", y, type == FV_F32 ? n : 0);
    for (int64_t c = 0; c < n + PAD; c++) {
        uint8_t winner = GUARD;
        if (c < n) winner = best_of(w, c, &want[c]);
        cr_assert_eq(places[c], with_winner ? winner : GUARD, "%s n=%d c=%d", k->isa, (int)n,
                     (int)c);
        memset(&narrow_want[c], GUARD, sizeof *narrow_want);
        if (c < n && type == FV_BF16) narrow_want[c] = fv_bf16_from_f32(want[c]);
    }
    if (type == FV_F32) cr_assert_eq(memcmp(y, want, (size_t)n * sizeof *y), 0, "%s", k->isa);
    cr_assert_eq(memcmp(narrow_y, narrow_want, (size_t)(n + PAD) * sizeof *narrow_y), 0, "%s n=%d",
                 k->isa, (int)n);
}

Test(core_kernels_pool, largest_of_a_window) {
    FOR_ALL(k, n) {
        fill(n);
        for (int count = 1; count <= PIXELS; count += count == 1 ? 3 : 5) {
            const fv_window w = window_of(n, count);
            for (int i = 0; i < 4; i++) check_max(k, &w, n, i % 2 ? FV_F32 : FV_BF16, i / 2);
        }
    }
}

static void check_backward(const fv_kernels *k, const fv_window *w, int64_t n, fv_dtype dy_type,
                           fv_dtype dx_type) {
    mark(y, n);
    memset(narrow_y, GUARD, sizeof narrow_y);
    memset(narrow_want, GUARD, sizeof narrow_want);
    k->max_pool_backward(w, n, dy_type == FV_F32 ? (void *)x : (void *)narrow_x, dy_type, place,
                         dx_type == FV_F32 ? (void *)y : (void *)narrow_y, dx_type);
    check_mark("max_pool_backward", y, dx_type == FV_F32 ? n : 0);
    for (int64_t c = 0; c < n; c++) {
        float sum = 0.0f;
        for (int i = 0; i < w->count; i++)
            if (place[w->offset[i] + c] == w->place[i]) sum += x[w->offset[i] + c];
        if (dx_type == FV_BF16) {
            narrow_want[c] = fv_bf16_from_f32(sum);
            if (isnan(sum)) { /* the sign of infinity - infinity is not defined */
                cr_assert(isnan(fv_bf16_to_f32(narrow_y[c])), "%s n=%d", k->isa, (int)n);
                narrow_want[c] = narrow_y[c];
            }
        } else {
            check(k->isa, "max_pool_backward", n, c, (double)y[c], (double)sum, 0.0, 0.0);
        }
    }
    cr_assert_eq(memcmp(narrow_y, narrow_want, sizeof narrow_y), 0, "%s n=%d", k->isa, (int)n);
}

Test(core_kernels_pool, a_gradient_goes_to_the_winner) {
    FOR_ALL(k, n) {
        fill(n);
        for (int count = 0; count <= 4; count++) {
            fv_window w = window_of(n, count);
            for (int i = 0; i < count; i++) w.place[i] = (uint8_t)(i % 3);
            for (int i = 0; i < 4; i++)
                check_backward(k, &w, n, i % 2 ? FV_F32 : FV_BF16, i / 2 ? FV_F32 : FV_BF16);
        }
    }
}
