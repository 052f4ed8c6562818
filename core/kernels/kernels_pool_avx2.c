/* Max pooling with AVX2: best and winner of 8 channels stay in registers over a window.  Compiled with that
 * instruction set and entered only after a CPU check. */
#include "core/kernels/kernels.h"
#include "core/kernels/kernels_avx2.h"

#if defined(__AVX2__) && defined(__FMA__)

/* Places as 32 bits, in the lanes of their channels. */
static inline __m256i load_places(int64_t n, int64_t i, const uint8_t *x) {
    const size_t some = whole(n, i) ? LANES : (size_t)(n - i);
    int64_t bytes = 0;

    memcpy(&bytes, x + i, some);
    return _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(bytes));
}

static inline void store_places(int64_t n, int64_t i, uint8_t *y, __m256i places) {
    const __m128i words =
        _mm_packus_epi32(_mm256_castsi256_si128(places), _mm256_extracti128_si256(places, 1));
    const int64_t bytes = _mm_cvtsi128_si64(_mm_packus_epi16(words, words));

    memcpy(y + i, &bytes, whole(n, i) ? LANES : (size_t)(n - i));
}

/* Types are constants where these are inlined. */

static inline __attribute__((always_inline)) void
max_of(const fv_window *w, int64_t n, const void *x, fv_dtype type, void *y, uint8_t *winner) {
    const int64_t size = type == FV_F32 ? sizeof(float) : sizeof(fv_bf16); /* of an element */

    for (int64_t c = 0; c < n; c += LANES) {
        const char *from = x;
        __m256 best = load_as(type, n, c, from + w->offset[0] * size);
        __m256 place = _mm256_castsi256_ps(_mm256_set1_epi32(w->place[0]));
        for (int64_t i = 1; i < w->count; i++) {
            const __m256 v = load_as(type, n, c, from + w->offset[i] * size);
            const __m256 wins =
                _mm256_or_ps(_mm256_cmp_ps(v, best, _CMP_GT_OQ), _mm256_cmp_ps(v, v, _CMP_UNORD_Q));
            best = _mm256_blendv_ps(best, v, wins);
            place =
                _mm256_blendv_ps(place, _mm256_castsi256_ps(_mm256_set1_epi32(w->place[i])), wins);
        }
        store_as(type, n, c, y, best);
        if (winner) store_places(n, c, winner, _mm256_castps_si256(place));
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
    const int64_t size = dy_type == FV_F32 ? sizeof(float) : sizeof(fv_bf16); /* of an element */

    for (int64_t c = 0; c < n; c += LANES) {
        __m256 sum = _mm256_setzero_ps(); /* never -0: adding 0 changes nothing */
        for (int64_t i = 0; i < w->count; i++) {
            const __m256i won = _mm256_cmpeq_epi32(load_places(n, c, winner + w->offset[i]),
                                                   _mm256_set1_epi32(w->place[i]));
            const __m256 v = load_as(dy_type, n, c, (const char *)dy + w->offset[i] * size);
            sum = _mm256_add_ps(sum, _mm256_and_ps(v, _mm256_castsi256_ps(won)));
        }
        store_as(dx_type, n, c, dx, sum);
    }
}

static void max_pool_backward(const fv_window *w, int64_t n, const void *dy, fv_dtype dy_type,
                              const uint8_t *winner, void *dx, fv_dtype dx_type) {
    if (dy_type == FV_F32)
        collect(w, n, dy, FV_F32, winner, dx, dx_type);
    else
        collect(w, n, dy, FV_BF16, winner, dx, dx_type);
}

void fv_kernels_init_pool_avx2(fv_kernels *table) {
    table->max_pool = max_pool;
    table->max_pool_backward = max_pool_backward;
}

#else

void fv_kernels_init_pool_avx2(fv_kernels *table) { (void)table; }

#endif
