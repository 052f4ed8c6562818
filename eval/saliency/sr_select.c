/* sr_select.c - which of many distances are the smallest. */
#include "eval/saliency/sr_stages.h"

#include <math.h>
#include <string.h>

/* One run of candidates whose lanes are consecutive; the compiler vectorises it (CMakeLists.txt frees
 * sqrtf of errno for this file). */
static void screen_run(const fv_sr_bounds *q, int64_t n, const float *restrict norm,
                       const float *restrict y, const float *restrict x, const float *restrict dot,
                       float *restrict low, float *restrict lane) {
    const float more = 1.0f + q->slack, less = 1.0f - q->slack;
    const float qn = q->norm, qy = q->y, qx = q->x, c = q->c;

    for (int64_t j = 0; j < n; j++) {
        const float dy = qy - y[j], dx = qx - x[j];
        const float w = 1.0f + c * sqrtf(dy * dy + dx * dx);
        const float g = 1.0f / (w * w), sum = qn + norm[j], twice = 2.0f * dot[j];
        const float up = (more * sum - twice) * g;
        low[j] = (less * sum - twice) * g;
        lane[j] = up < lane[j] ? up : lane[j];
    }
}

void fv_sr_screen(const fv_sr_bounds *q, const fv_sr_patches *candidates, int64_t first, int64_t n,
                  const float *dot, float *low, float *lane, int64_t n_lanes) {
    for (int64_t j = 0, run; j < n; j += run) {
        const int64_t at = first + j, start = at % n_lanes;
        run = n - j < n_lanes - start ? n - j : n_lanes - start;
        screen_run(q, run, candidates->norm + at, candidates->y + at, candidates->x + at, dot + j,
                   low + j, lane + start);
    }
}

static int64_t count_up_to(const float *v, int64_t n, float bound) {
    int32_t count = 0;
    for (int64_t i = 0; i < n; i++) count += v[i] <= bound;
    return count;
}

#define RUN 64 /* values looked at together: most runs hold none */

int64_t fv_sr_collect(const float *low, int64_t n, float bound, int32_t *index) {
    int64_t count = 0;

    for (int64_t i = 0; i < n; i += RUN) {
        const int64_t end = i + RUN < n ? i + RUN : n;
        if (count_up_to(low + i, end - i, bound) == 0) continue;
        for (int64_t j = i; j < end; j++) {
            index[count] = (int32_t)j;
            count += low[j] <= bound;
        }
    }
    return count;
}

static uint32_t bits_of(float v) {
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits) {
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* Bisection over the bits of floats >= 0, which are in the order of their values: unlike a selection it
 * has no branch that depends on an element. */
float fv_sr_bound(const float *v, int64_t n, int64_t k) {
    float least = v[0], most = v[0];

    for (int64_t i = 1; i < n; i++) {
        least = v[i] < least ? v[i] : least;
        most = v[i] > most ? v[i] : most;
    }
    uint32_t low = bits_of(least > 0.0f ? least : 0.0f), high = bits_of(most > 0.0f ? most : 0.0f);
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        const int64_t count = count_up_to(v, n, float_of(middle));
        if (count < k)
            low = middle + 1;
        else
            high = middle;
        if (count >= k && count <= k + k / 16) break;
    }
    return float_of(high);
}

static float median_of_three(float a, float b, float c) {
    const float low = a < b ? a : b, high = a < b ? b : a;
    return c < low ? low : c > high ? high : c;
}

/* Hoare's selection; equal values cost nothing extra. */
float fv_sr_kth_smallest(float *v, int64_t n, int64_t k) {
    int64_t low = 0, high = n - 1;
    const int64_t want = k - 1;

    while (low < high) {
        const float pivot = median_of_three(v[low], v[low + (high - low) / 2], v[high]);
        int64_t i = low, j = high;
        while (i <= j) {
            while (v[i] < pivot) i++;
            while (v[j] > pivot) j--;
            if (i > j) break;
            const float swap = v[i];
            v[i++] = v[j];
            v[j--] = swap;
        }
        if (want <= j)
            high = j;
        else if (want >= i)
            low = i;
        else
            break;
    }
    return v[want];
}

double fv_sr_mean_smallest(const float *v, int64_t n, int64_t k, float *copy) {
    double sum = 0.0;
    int64_t below = 0;

    if (k < 1 || n < 1) return 0.0;
    if (k > n) k = n;
    for (int64_t i = 0; i < n; i++) copy[i] = v[i];
    const float last = fv_sr_kth_smallest(copy, n, k);
    for (int64_t i = 0; i < n; i++) {
        if (v[i] < last) {
            sum += (double)v[i];
            below++;
        }
    }
    return (sum + (double)(k - below) * (double)last) / (double)k;
}
