/* Max pooling with AVX-512: best and winner of 16 channels stay in registers over a window.  Compiled with that
 * instruction set and entered only after a CPU check. */
#include "core/kernels/kernels.h"
#include "core/kernels/kernels_avx512.h"

#if defined(__AVX512F__)

/* Types are constants where these are inlined. */

static inline __attribute__((always_inline)) void
max_of(const fv_window *w, int64_t n, const void *x, fv_dtype type, void *y, uint8_t *winner) {
    for (int64_t c = 0; c < n; c += LANES) {
        const __mmask16 k = lanes(n, c);
        __m512 best = load_as(type, k, x, w->offset[0] + c);
        __m128i place = _mm_set1_epi8((char)w->place[0]);
        for (int64_t i = 1; i < w->count; i++) {
            const __m512 v = load_as(type, k, x, w->offset[i] + c);
            const __mmask16 wins =
                _mm512_cmp_ps_mask(v, best, _CMP_GT_OQ) | _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
            best = _mm512_mask_mov_ps(best, wins, v);
            place = _mm_mask_set1_epi8(place, wins, (char)w->place[i]);
        }
        store_as(type, k, y, c, best);
        if (winner) _mm_mask_storeu_epi8(winner + c, k, place);
    }
}

static void max_pool(const fv_window *w, int64_t n, const void *x, fv_dtype type, void *y,
                     uint8_t *winner) {
    if (type == FV_F32)
        max_of(w, n, x, FV_F32, y, winner);
    else
        max_of(w, n, x, FV_BF16, y, winner);
}

static inline __attribute__((always_inline)) void collect(const fv_window *w, int64_t n,
                                                          const void *dy, fv_dtype dy_type,
                                                          const uint8_t *winner, void *dx,
                                                          fv_dtype dx_type) {
    for (int64_t c = 0; c < n; c += LANES) {
        const __mmask16 k = lanes(n, c);
        __m512 sum = _mm512_setzero_ps();
        for (int64_t i = 0; i < w->count; i++) {
            const __m128i places = _mm_maskz_loadu_epi8(k, winner + w->offset[i] + c);
            const __mmask16 won = _mm_cmpeq_epi8_mask(places, _mm_set1_epi8((char)w->place[i]));
            const __m512 v = load_as(dy_type, k, dy, w->offset[i] + c);
            sum = _mm512_mask_add_ps(sum, won, sum, v);
        }
        store_as(dx_type, k, dx, c, sum);
    }
}

static void max_pool_backward(const fv_window *w, int64_t n, const void *dy, fv_dtype dy_type,
                              const uint8_t *winner, void *dx, fv_dtype dx_type) {
    if (dy_type == FV_F32)
        collect(w, n, dy, FV_F32, winner, dx, dx_type);
    else
        collect(w, n, dy, FV_BF16, winner, dx, dx_type);
}

void fv_kernels_init_pool_avx512(fv_kernels *table) {
    table->max_pool = max_pool;
    table->max_pool_backward = max_pool_backward;
}

#else

void fv_kernels_init_pool_avx512(fv_kernels *table) { (void)table; }

#endif
