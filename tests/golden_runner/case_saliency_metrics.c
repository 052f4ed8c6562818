/* Metrics of explanations.  The model is linear with a softmax, 3x12x12 -> 4 classes, and stands in the
 * file; images there are [3,H,W], maps [H,W]. */
#include "eval/correlation.h"
#include "eval/ranking.h"
#include "eval/saliency/blur.h"
#include "eval/saliency/imputation.h"
#include "eval/saliency/map_similarity.h"
#include "eval/saliency/metric_faithfulness.h"
#include "eval/saliency/metric_localisation.h"
#include "eval/saliency/metric_pointing.h"
#include "eval/saliency/metric_sparsity.h"
#include "eval/saliency/perturbation.h"
#include "tests/golden_runner/case_saliency_randomisation.h"
#include "tests/golden_runner/golden.h"

#include <math.h>
#include <string.h>

#define SIDE      12
#define N         (SIDE * SIDE)
#define CLASSES   4
#define KERNEL    11
#define SIGMA     5.0
#define TOLERANCE 1e-5

typedef struct toy {
    const float *W, *b; /* [CLASSES,3,SIDE,SIDE], [CLASSES] */
    int64_t class;
    float image[3 * N]; /* [SIDE,SIDE,3] */
    const float *map;   /* [SIDE,SIDE] */
    int64_t descending[N], ascending[N];
    fv_scorer scorer;
} toy;

static void to_hwc(const float *chw, float *hwc) {
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < N; i++) hwc[3 * i + c] = chw[c * N + i];
}

static void to_chw(const float *hwc, float *chw) {
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < N; i++) chw[c * N + i] = hwc[3 * i + c];
}

static fv_status score(void *user, const float *images, int64_t n, fv_class_score *out) {
    const toy *t = user;

    for (int64_t k = 0; k < n; k++) {
        const float *image = images + k * 3 * N;
        double logit[CLASSES], sum = 0.0;
        for (int j = 0; j < CLASSES; j++) {
            logit[j] = (double)t->b[j];
            for (int i = 0; i < 3 * N; i++)
                logit[j] += (double)t->W[j * 3 * N + i % 3 * N + i / 3] * (double)image[i];
        }
        for (int j = 0; j < CLASSES; j++) sum += exp(logit[j] - logit[t->class]);
        out[k] = (fv_class_score){(float)logit[t->class], (float)(1.0 / sum)};
    }
    return FV_OK;
}

static void compare_number(golden *g, const char *name, double value) {
    const float computed = (float)value;
    golden_compare(g, name, &computed, 1, 0.0, TOLERANCE);
}

/* A failure of the library is a failed line; true when there was none. */
static bool worked(golden *g, const char *name, fv_status status) {
    if (status != FV_OK) golden_fail(g, name, "%s", fv_error_message());
    return status == FV_OK;
}

static bool load_toy(golden *g, toy *t) {
    const float *image = golden_f32(g, "toy.img", NULL);
    const int64_t *class = golden_i64(g, "toy.class", NULL);

    t->W = golden_f32(g, "toy.W", NULL);
    t->b = golden_f32(g, "toy.b", NULL);
    t->map = golden_f32(g, "toy.saliency", NULL);
    if (!image || !class || !t->W || !t->b || !t->map) return false;
    t->class = *class;
    to_hwc(image, t->image);
    t->scorer = (fv_scorer){.score = score, .user = t, .batch = 5}; /* several batches */
    return worked(g, "toy", fv_order_descending(t->map, N, t->descending)) &&
           worked(g, "toy", fv_order_ascending(t->map, N, t->ascending));
}

/* ---- flipping curves ---- */

static void run_blur(golden *g, const toy *t, const char *kernel_name, const char *image_name,
                     const double *kernel, fv_blur_border border, float *blurred) {
    float square[KERNEL * KERNEL], chw[3 * N];

    for (int i = 0; i < KERNEL * KERNEL; i++)
        square[i] = (float)(kernel[i / KERNEL] * kernel[i % KERNEL]);
    golden_compare(g, kernel_name, square, KERNEL * KERNEL, 0.0, TOLERANCE);
    if (!worked(g, image_name, fv_blur(t->image, SIDE, SIDE, 3, kernel, KERNEL, border, blurred)))
        return;
    to_chw(blurred, chw);
    golden_compare(g, image_name, chw, 3 * N, 0.0, TOLERANCE);
}

static void run_curve(golden *g, const toy *t, const char *name, const float *from,
                      const float *to) {
    static const int64_t steps[] = {10, 12};

    for (int i = 0; i < 2; i++) {
        const fv_curve curve = {from, to, t->descending, N, steps[i]};
        const int64_t n = fv_curve_steps(&curve);
        const char *curve_name = golden_text(g, "%s.step%d.curve", name, (int)steps[i]);
        float probability[N + 1];
        if (!worked(g, curve_name, fv_curve_run(&curve, &t->scorer, probability))) continue;
        golden_compare(g, curve_name, probability, n + 1, 0.0, TOLERANCE);
        compare_number(g, golden_text(g, "%s.step%d.auc", name, (int)steps[i]),
                       fv_curve_auc(probability, n));
    }
}

static void run_curves(golden *g, const toy *t) {
    static const float zero[3 * N];
    float blurred[3 * N] = {0}, folded_blurred[3 * N] = {0};
    double plain[KERNEL], folded[KERNEL];

    fv_gaussian_kernel(KERNEL, SIGMA, plain);
    fv_folded_gaussian_kernel(KERNEL, SIGMA, folded);
    run_blur(g, t, "blur.kernel11_sigma5", "toy.blur_replicate", plain, FV_BLUR_REPLICATE, blurred);
    run_blur(g, t, "blur.kernel11_sigma5_folded", "toy.blur_folded_zero", folded, FV_BLUR_ZERO,
             folded_blurred);
    run_curve(g, t, "deletion_zero", t->image, zero);
    run_curve(g, t, "insertion_zero", zero, t->image);
    run_curve(g, t, "insertion_blur", blurred, t->image);
    run_curve(g, t, "insertion_blur_folded", folded_blurred, t->image);

    const fv_curve mif = {t->image, zero, t->descending, N, SIDE};
    const fv_curve lif = {t->image, zero, t->ascending, N, SIDE};
    float most[SIDE + 1], least[SIDE + 1];
    if (!worked(g, "flip.mif", fv_curve_run(&mif, &t->scorer, most)) ||
        !worked(g, "flip.lif", fv_curve_run(&lif, &t->scorer, least)))
        return;
    golden_compare(g, "flip.mif", most + 1, SIDE, 0.0, TOLERANCE);
    golden_compare(g, "flip.lif", least + 1, SIDE, 0.0, TOLERANCE);
    compare_number(g, "flip.srg_mean", fv_curve_mean(least, SIDE) - fv_curve_mean(most, SIDE));
}

/* ---- faithfulness correlation, ROAD ---- */

#define MAX_SUBSETS 64

static void run_faithfulness(golden *g, const toy *t) {
    fv_shape shape;
    const int64_t *subsets = golden_i64(g, "faith.subsets", &shape);
    const float *worse = golden_f32(g, "faith.attr_b", NULL);
    double sum[MAX_SUBSETS], sum_worse[MAX_SUBSETS], drop[MAX_SUBSETS];
    float sum_f[MAX_SUBSETS], drop_f[MAX_SUBSETS];

    if (!subsets || !worse) return;
    const int64_t n = shape.dim[0], k = shape.dim[1];
    if (n > MAX_SUBSETS) {
        golden_fail(g, "faith.subsets", "more subsets than the case has room for");
        return;
    }
    if (!worked(g, "faith.pearson",
                fv_subset_drops(&t->scorer, t->image, t->map, N, subsets, n, k, sum, drop)) ||
        !worked(g, "faith.pearson_b",
                fv_subset_drops(&t->scorer, t->image, worse, N, subsets, n, k, sum_worse, drop)))
        return;
    for (int64_t i = 0; i < n; i++) {
        sum_f[i] = (float)sum[i];
        drop_f[i] = (float)drop[i];
    }
    golden_compare(g, "faith.attr_sum", sum_f, n, 0.0, TOLERANCE);
    golden_compare(g, "faith.delta_logit", drop_f, n, 0.0, TOLERANCE);
    compare_number(g, "faith.pearson", fv_pearson(sum, drop, n));
    compare_number(g, "faith.pearson_b", fv_pearson(sum_worse, drop, n));
}

static void compare_mask(golden *g, const char *name, const uint8_t *computed) {
    fv_shape shape;
    const uint8_t *stored = golden_u8(g, name, &shape);
    int differ = 0;

    if (!stored) return;
    if (fv_shape_numel(&shape) != N) {
        golden_fail(g, name, "another size");
        return;
    }
    for (int i = 0; i < N; i++) differ += stored[i] != computed[i];
    golden_result(g, name, differ, 0.0);
}

static void run_road(golden *g, const toy *t) {
    static const int percentiles[] = {20, 50, 80};

    for (int i = 0; i < 3; i++) {
        const int p = percentiles[i];
        const char *keep_name = golden_text(g, "road.keep.p%d", p);
        const char *image_name = golden_text(g, "road.img.p%d", p);
        float image[3 * N], chw[3 * N];
        uint8_t keep[N];
        fv_class_score s;

        memcpy(image, t->image, sizeof image);
        if (!worked(g, keep_name, fv_road_keep(t->map, N, p, false, keep)) ||
            !worked(g, image_name, fv_impute(image, keep, SIDE, SIDE)) ||
            !worked(g, image_name, fv_score_image(&t->scorer, image, &s)))
            continue;
        to_chw(image, chw);
        compare_mask(g, keep_name, keep);
        golden_compare(g, image_name, chw, 3 * N, 0.0, TOLERANCE);
        compare_number(g, golden_text(g, "road.prob.p%d", p), (double)s.probability);
    }
}

/* ---- localisation ---- */

static void compare_integer(golden *g, const char *name, const int64_t *computed, int64_t n) {
    fv_shape shape;
    const int64_t *stored = golden_i64(g, name, &shape);
    int differ = 0;

    if (!stored) return;
    if (fv_shape_numel(&shape) != n) {
        golden_fail(g, name, "another size");
        return;
    }
    for (int64_t i = 0; i < n; i++) differ += stored[i] != computed[i];
    golden_result(g, name, differ, 0.0);
}

static void run_pointing(golden *g, const toy *t, const uint8_t *mask) {
    static const int tolerances[] = {0, 1, 2, 3, 15};
    const int64_t best = fv_arg_max(t->map, N), yx[2] = {best / SIDE, best % SIDE};
    fv_shape shape;
    const int64_t *points = golden_i64(g, "loc.points_yx", &shape);
    int64_t hits[N];

    compare_integer(g, "loc.argmax_yx", yx, 2);
    for (int i = 0; i < 5; i++) {
        const int64_t hit = fv_pointing_hit(mask, SIDE, SIDE, yx[0], yx[1], tolerances[i]);
        compare_integer(g, golden_text(g, "loc.pointing.tol%d", tolerances[i]), &hit, 1);
    }
    if (!points || shape.dim[0] > N) return;
    for (int64_t i = 0; i < shape.dim[0]; i++)
        hits[i] = fv_pointing_hit(mask, SIDE, SIDE, points[2 * i], points[2 * i + 1], 2.0);
    compare_integer(g, "loc.points_hit_tol2", hits, shape.dim[0]);
}

static void run_localisation(golden *g, const toy *t) {
    const uint8_t *mask = golden_u8(g, "loc.mask", NULL);
    uint8_t above[N];
    double value;

    if (!mask) return;
    run_pointing(g, t, mask);
    compare_number(g, "loc.energy_pointing", fv_energy_pointing(t->map, mask, N));
    compare_number(g, "loc.abs_mass", fv_relevance_mass(t->map, mask, N));
    if (worked(g, "loc.rank_accuracy", fv_rank_accuracy(t->map, mask, N, &value)))
        compare_number(g, "loc.rank_accuracy", value);
    if (worked(g, "loc.roc_auc", fv_roc_auc(t->map, mask, N, &value)))
        compare_number(g, "loc.roc_auc", value);
    fv_threshold_mask(t->map, N, FV_BOX_FRACTION, above);
    compare_mask(g, "loc.threshold_mask_0.15", above);
}

/* ---- simplicity, similarity ---- */

static void run_sparsity(golden *g, const toy *t) {
    double gini;

    if (worked(g, "sparse.gini_abs", fv_gini(t->map, N, &gini)))
        compare_number(g, "sparse.gini_abs", gini);
    compare_number(g, "sparse.entropy_abs", fv_map_entropy(t->map, N));
}

static void widen(const float *x, double *out) {
    for (int i = 0; i < N; i++) out[i] = (double)x[i];
}

static void run_similarity(golden *g) {
    const float *a = golden_f32(g, "sim.a", NULL), *b = golden_f32(g, "sim.b", NULL);
    const float *steps = golden_f32(g, "sim.a_quantised", NULL);
    double x[N], y[N], q[N], value, low = INFINITY, high = -INFINITY;
    fv_map_similarity s;

    if (!a || !b || !steps) return;
    widen(a, x);
    widen(b, y);
    widen(steps, q);
    compare_number(g, "sim.pearson", fv_pearson(x, y, N));
    if (worked(g, "sim.spearman_ties", fv_spearman(q, y, N, &value)))
        compare_number(g, "sim.spearman_ties", value);
    if (worked(g, "sim.spearman", fv_map_compare(a, b, SIDE, SIDE, &s))) {
        compare_number(g, "sim.spearman", s.spearman);
        compare_number(g, "sim.spearman_abs", s.spearman_abs);
        compare_number(g, "sim.ssim7_uniform_abs01", s.ssim);
    }
    for (int i = 0; i < N; i++) { /* L of the signed maps: the range of the first */
        low = fmin(low, x[i]);
        high = fmax(high, x[i]);
    }
    if (worked(g, "sim.ssim7_uniform", fv_ssim(a, b, SIDE, SIDE, high - low, &value)))
        compare_number(g, "sim.ssim7_uniform", value);
}

static void run(golden *g) {
    toy t = {0};

    if (load_toy(g, &t)) {
        run_curves(g, &t);
        run_faithfulness(g, &t);
        run_road(g, &t);
        run_localisation(g, &t);
        run_sparsity(g, &t);
    }
    run_similarity(g);
    randomisation_cases(g);
}

const golden_kind golden_kind_metrics = {"metrics", true, run};
