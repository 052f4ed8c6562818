/* What holds for every metric in the list, and the model-driven ones on a linear model. */
#include "eval/saliency/metric.h"

#include "core/alloc.h"
#include "core/parallel.h"
#include "eval/saliency/blur.h"
#include "eval/saliency/explain.h"
#include "eval/saliency/metric_faithfulness.h"
#include "tests/support/alloc_sweep.h"
#include "tests/support/linear_scorer.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#define CHECK(status) cr_assert_eq((status), FV_OK, "%s", fv_error_message())
#define H             9
#define W             8
#define N             (H * W)

static float weight[3 * N], pixels[3 * N], map[N], explained_shift;
static float clean[3 * N];
static uint8_t mask[N], marker[N];
static linear_scorer model;
static const fv_account account = {
    .start = -2.0, .input = -1.0, .sink = {[FV_SINK_BIAS] = -1.5, [FV_SINK_EPS] = 0.5}};
static fv_metric_context context;

/* The exact map of the model for other pixels; explained_shift is added. */
static fv_status explain(void *user, const float *other, int64_t target, float *out) {
    (void)target;
    linear_scorer_map(user, other, out);
    for (int i = 0; i < N; i++) out[i] += explained_shift;
    return FV_OK;
}

static void setup(void) {
    random_floats(1, 3 * N, weight);
    random_floats(2, 3 * N, pixels);
    for (int i = 0; i < N; i++) mask[i] = i / W >= 2 && i / W < 6 && i % W >= 3;
    memcpy(clean, pixels, sizeof clean);
    for (int i = 10; i < 13; i++) {
        marker[i] = 1;
        clean[3 * i] += 0.5f;
    }
    model = (linear_scorer){.weight = weight, .bias = 0.3, .size = 3 * N};
    linear_scorer_map(&model, pixels, map);
    explained_shift = 0.0f;
    context = (fv_metric_context){.height = H,
                                  .width = W,
                                  .pixels = pixels,
                                  .map = map,
                                  .mask = mask,
                                  .marker = marker,
                                  .clean = clean,
                                  .account = &account,
                                  .scorer = {.score = linear_score, .user = &model},
                                  .explain = explain,
                                  .explain_user = &model,
                                  .seed = 1,
                                  .sample = 4};
}

/* The value of that name; the metric must succeed. */
static double value_of(const char *name) {
    double out[FV_METRIC_MAX_VALUES];
    const fv_metric *metric;

    for (int i = 0; (metric = fv_metric_at(i)); i++)
        for (int k = 0; metric->values[k].name; k++)
            if (strcmp(metric->values[k].name, name) == 0) {
                CHECK(fv_metric_run(metric, &context, out));
                return out[k];
            }
    cr_assert(false, "no value %s", name);
    return NAN;
}

static int values(const fv_metric *metric) {
    int n = 0;
    while (metric->values[n].name) n++;
    return n;
}

/* ---- every metric ---- */

Test(eval_metric, the_list_is_described_without_repeats) {
    const char *seen[64];
    int n = 0;

    for (int i = 0; fv_metric_at(i); i++) {
        const fv_metric *m = fv_metric_at(i), *found;
        CHECK(fv_metric_find(m->name, &found));
        cr_expect_eq(found, m);
        cr_expect(m->summary && m->run);
        cr_expect(values(m) >= 1 && values(m) <= FV_METRIC_MAX_VALUES);
        for (int k = 0; m->values[k].name; k++) {
            cr_expect(m->values[k].summary);
            seen[n++] = m->values[k].name;
        }
        for (const fv_metric_option *o = m->options; o && o->name; o++) {
            cr_expect(o->summary);
            seen[n++] = o->name;
        }
    }
    for (int i = 0; i < n; i++)
        for (int k = 0; k < i; k++) cr_expect_neq(strcmp(seen[i], seen[k]), 0, "%s", seen[i]);
    cr_expect_null(fv_metric_at(-1));
}

Test(eval_metric, unknown_names_are_refused) {
    const fv_metric *found;
    const fv_metric_setting good = {"deletion_step", 3}, bad = {"no_such_option", 3};

    cr_expect_eq(fv_metric_find("nothing", &found), FV_ERR_CONFIG);
    cr_expect_null(found);
    cr_expect(strstr(fv_error_message(), "deletion, insertion"), "%s", fv_error_message());
    CHECK(fv_metric_check_settings(&good, 1));
    cr_expect_eq(fv_metric_check_settings(&bad, 1), FV_ERR_CONFIG);
}

Test(eval_metric, every_metric_gives_finite_numbers_in_any_batch_and_on_any_threads,
     .init = setup) {
    for (int i = 0; fv_metric_at(i); i++) {
        const fv_metric *m = fv_metric_at(i);
        double first[FV_METRIC_MAX_VALUES], again[FV_METRIC_MAX_VALUES];
        context.scorer.batch = 32;
        fv_threads_set(1);
        CHECK(fv_metric_run(m, &context, first));
        for (int k = 0; k < values(m); k++) cr_expect(isfinite(first[k]), "%s", m->values[k].name);
        context.scorer.batch = 5;
        fv_threads_set(3);
        CHECK(fv_metric_run(m, &context, again));
        fv_threads_set(1);
        cr_expect_arr_eq(first, again, (size_t)values(m) * sizeof *first, "%s", m->name);
    }
}

Test(eval_metric, every_metric_says_what_is_missing, .init = setup) {
    const fv_metric_context bare = {.height = H, .width = W, .pixels = pixels, .map = map};
    double out[FV_METRIC_MAX_VALUES] = {0};

    for (int i = 0; fv_metric_at(i); i++) {
        const fv_metric *m = fv_metric_at(i);
        cr_expect_eq(fv_metric_run(m, &bare, out), m->needs ? FV_ERR_CONFIG : FV_OK, "%s", m->name);
        if (!m->needs) continue;
        cr_expect_eq(strncmp(fv_error_message(), m->name, strlen(m->name)), 0);
        for (int k = 0; k < values(m); k++) cr_expect(isnan(out[k]));
    }
}

Test(eval_metric, every_metric_refuses_a_map_that_is_not_finite, .init = setup) {
    double out[FV_METRIC_MAX_VALUES];

    for (int i = 0; fv_metric_at(i); i++) {
        map[N / 2] = i % 2 ? NAN : INFINITY;
        cr_expect_eq(fv_metric_run(fv_metric_at(i), &context, out), FV_ERR_NONFINITE);
        cr_expect(isnan(out[0]));
    }
}

Test(eval_metric, every_metric_passes_on_what_the_model_says, .init = setup) {
    double out[FV_METRIC_MAX_VALUES];

    for (int i = 0; fv_metric_at(i); i++) {
        if (!(fv_metric_at(i)->needs & FV_METRIC_SCORER)) continue;
        model.last_logit = NAN;
        cr_expect_eq(fv_metric_run(fv_metric_at(i), &context, out), FV_ERR_NONFINITE);
        model.last_logit = 0;
        model.fail_with = FV_ERR_IO;
        cr_expect_eq(fv_metric_run(fv_metric_at(i), &context, out), FV_ERR_IO);
        cr_expect(isnan(out[0]));
        model.fail_with = FV_OK;
    }
}

/* Maps of zeros are legitimate: no metric fails, and what it cannot say is NaN. */
Test(eval_metric, every_metric_takes_a_map_of_zeros, .init = setup) {
    double out[FV_METRIC_MAX_VALUES];

    memset(map, 0, sizeof map);
    for (int i = 0; fv_metric_at(i); i++) CHECK(fv_metric_run(fv_metric_at(i), &context, out));
    cr_expect(isnan(value_of("energy_pointing")));
    cr_expect(isnan(value_of("relevance_mass")));
    cr_expect(isnan(value_of("sparseness")));
    cr_expect(isnan(value_of("complexity")));
    cr_expect(isnan(value_of("max_sensitivity")));
    cr_expect(isnan(value_of("faithfulness_correlation")));
    cr_expect_eq(value_of("roc_auc"), 0.5);
    cr_expect_eq(value_of("box_iou"), 0);
    cr_expect_eq(value_of("symmetric_gain"), 0);
    cr_expect_eq(value_of("completeness_error"), 1);
}

Test(eval_metric, bad_settings_are_refused, .init = setup) {
    static const fv_metric_setting bad[] = {{"deletion_step", -1},
                                            {"insertion_step", 0.5},
                                            {"road_noise", -1},
                                            {"faithfulness_pixels", N + 1},
                                            {"faithfulness_subsets", NAN},
                                            {"pointing_tolerance", -1},
                                            {"pointing_smoothing", 2},
                                            {"box_fraction", 0},
                                            {"sensitivity_radius", NAN},
                                            {"sensitivity_perturbations", -3}};
    double out[FV_METRIC_MAX_VALUES];

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int refused = 0;
        CHECK(fv_metric_check_settings(&bad[i], 1));
        context.settings = &bad[i];
        context.n_settings = 1;
        for (int m = 0; fv_metric_at(m); m++) {
            const fv_status status = fv_metric_run(fv_metric_at(m), &context, out);
            cr_expect(status == FV_OK || status == FV_ERR_CONFIG);
            refused += status == FV_ERR_CONFIG;
        }
        cr_expect_eq(refused, 1, "%s", bad[i].name);
    }
}

static fv_status run_all(void *arg) {
    double out[FV_METRIC_MAX_VALUES];

    (void)arg;
    for (int i = 0; fv_metric_at(i); i++) FV_TRY(fv_metric_run(fv_metric_at(i), &context, out));
    return FV_OK;
}

Test(eval_metric, survives_failing_allocations, .init = setup) {
    alloc_sweep_result result;

    fv_threads_set(1);
    fv_scratch_release();
    cr_expect_eq(alloc_sweep(run_all, NULL, &result), FV_OK, "%s", fv_error_message());
    cr_expect_geq(result.failures, 25);
    fv_scratch_release();
}

/* ---- deletion, insertion, ROAD ---- */

Test(eval_metric, a_constant_score_is_its_own_area, .init = setup) {
    const double p = 1 / (1 + exp(-0.3));

    model.weight = NULL;
    cr_expect_float_eq(value_of("deletion_auc"), p, 1e-7);
    cr_expect_float_eq(value_of("insertion_auc"), p, 1e-7);
    cr_expect_float_eq(value_of("mif"), p, 1e-7);
    cr_expect_float_eq(value_of("symmetric_gain"), 0, 1e-15);
    cr_expect_float_eq(value_of("road"), 0, 1e-15);
    cr_expect_float_eq(value_of("road_morf"), p, 1e-7);
}

/* Of a linear model the exact map is the best order there is: no other one beats it. */
Test(eval_metric, the_exact_map_beats_a_random_and_a_reversed_one, .init = setup) {
    static const char *const names[] = {"deletion_auc", "symmetric_gain", "mif", "lif"};
    static const bool higher[] = {false, true, false, true};
    float other[N], reversed[N];

    random_floats(9, N, other);
    for (int i = 0; i < N; i++) reversed[i] = -map[i];
    for (int i = 0; i < 4; i++) {
        context.map = map;
        const double exact = value_of(names[i]);
        context.map = other;
        const double random = value_of(names[i]);
        context.map = reversed;
        const double worst = value_of(names[i]);
        cr_expect(higher[i] ? exact > random && random > worst : exact < random && random < worst,
                  "%s: %g, %g, %g", names[i], exact, random, worst);
    }
    context.map = map;
    const double gain = value_of("symmetric_gain");
    context.map = reversed;
    cr_expect_float_eq(value_of("symmetric_gain"), -gain, 1e-12); /* no ties: orders swap */
}

Test(eval_metric, steps_of_the_curves_count_pixels, .init = setup) {
    fv_metric_setting settings[] = {{"deletion_step", 7}, {"insertion_step", N}};

    context.settings = settings;
    context.n_settings = 2;
    model.images = 0;
    value_of("deletion_auc");
    cr_expect_eq(model.images, 2 * (11 + 1)); /* ceil(72 / 7) = 11 */
    model.images = 0;
    /* One step: the mean of the blurred image's score and the image's. */
    const double auc = value_of("insertion_auc");
    cr_expect_eq(model.images, 2);
    fv_class_score ends[2];
    float blurred[3 * N];
    double kernel[11];
    fv_gaussian_kernel(11, 5, kernel);
    CHECK(fv_blur(pixels, H, W, 3, kernel, 11, FV_BLUR_REPLICATE, blurred));
    CHECK(linear_score(&model, pixels, 1, &ends[0]));
    CHECK(linear_score(&model, blurred, 1, &ends[1]));
    cr_expect_float_eq(auc, ((double)ends[0].probability + (double)ends[1].probability) / 2, 1e-12);
    context.settings = NULL;
    context.n_settings = 0;
    model.images = 0;
    value_of("deletion_auc");
    cr_expect_eq(model.images, 2 * (H + 1)); /* a row per step */
}

Test(eval_metric, the_blur_of_the_reference_program_is_another_one, .init = setup) {
    const fv_metric_setting compat = {"insertion_compat", 1};
    const double plain = value_of("insertion_auc");

    context.settings = &compat;
    context.n_settings = 1;
    cr_expect_neq(value_of("insertion_auc"), plain);
}

Test(eval_metric, road_prefers_the_map_with_the_object, .init = setup) {
    /* A model that sees one 3 x 3 corner, an image that is bright there only. */
    for (int i = 0; i < 3 * N; i++) {
        const bool there = i / 3 / W < 3 && i / 3 % W < 3;
        weight[i] = there ? 0.2f : 0.0f;
        pixels[i] = there ? 1.0f : -1.0f;
        map[i / 3] = there ? 1.0f + 0.01f * (float)(i / 3) : -0.01f * (float)(i / 3);
    }
    const double road = value_of("road");
    cr_expect_gt(road, 0.2);
    cr_expect_float_eq(road, (value_of("road_lerf") - value_of("road_morf")) / 2, 1e-12);
    for (int i = 0; i < N; i++) map[i] = -map[i];
    cr_expect_lt(value_of("road"), -0.2);
}

Test(eval_metric, the_noise_of_road_depends_on_seed_and_sample, .init = setup) {
    const fv_metric_setting none = {"road_noise", 0};
    const double first = value_of("road_morf");

    cr_expect_eq(value_of("road_morf"), first);
    context.seed++;
    cr_expect_neq(value_of("road_morf"), first);
    context.seed--;
    context.sample++;
    cr_expect_neq(value_of("road_morf"), first);
    context.settings = &none;
    context.n_settings = 1;
    const double silent = value_of("road_morf");
    context.seed++;
    cr_expect_eq(value_of("road_morf"), silent);
}

/* ---- faithfulness correlation, completeness ---- */

Test(eval_metric, subsets_are_uniform_and_hold_no_pixel_twice) {
    enum { n = 20, k = 5, times = 4000 };
    int count[n] = {0};

    for (uint32_t t = 0; t < times; t++) {
        const fv_rng_key key = {.seed = 2, .purpose = FV_RNG_TEST, .step = t};
        int64_t work[n], subset[k];
        bool seen[n] = {0};
        fv_random_subset(&key, n, k, work, subset);
        for (int i = 0; i < k; i++) {
            cr_assert(subset[i] >= 0 && subset[i] < n && !seen[subset[i]]);
            seen[subset[i]] = true;
            count[subset[i]]++;
        }
    }
    /* 1000 each; the deviation of one count is sqrt(4000 / 4 * 3 / 4) = 27 */
    for (int i = 0; i < n; i++) cr_expect(abs(count[i] - 1000) < 5 * 27, "%d: %d", i, count[i]);
}

/* The drop of a linear model is the sum of the exact map, up to the rounding of the logits. */
Test(eval_metric, the_exact_map_correlates_fully, .init = setup) {
    cr_expect_float_eq(value_of("faithfulness_correlation"), 1, 1e-6);
    for (int i = 0; i < N; i++) map[i] = -2 * map[i];
    cr_expect_float_eq(value_of("faithfulness_correlation"), -1, 1e-6);
}

/* A score that is noise, drawn anew for every image. */
typedef struct noise {
    uint64_t next;
} noise;

static fv_status score_noise(void *user, const float *images, int64_t n, fv_class_score *out) {
    noise *s = user;
    const fv_rng_key key = {.seed = 77, .purpose = FV_RNG_TEST};

    (void)images;
    for (int64_t i = 0; i < n; i++) out[i] = (fv_class_score){fv_rng_normal(&key, s->next++), 0.5f};
    return FV_OK;
}

/* Of independent numbers r is 0 give or take 1 / sqrt(20000) = 0.007. */
Test(eval_metric, a_random_score_does_not_correlate, .init = setup) {
    const fv_metric_setting many = {"faithfulness_subsets", 20000};
    noise n = {0};

    context.scorer = (fv_scorer){.score = score_noise, .user = &n};
    context.settings = &many;
    context.n_settings = 1;
    cr_expect_lt(fabs(value_of("faithfulness_correlation")), 0.025);
}

Test(eval_metric, completeness_by_hand, .init = setup) {
    cr_expect_float_eq(value_of("completeness_error"), 0, 1e-5);
    for (int i = 0; i < N; i++) map[i] *= 1.25f;
    cr_expect_float_eq(value_of("completeness_error"), 0.25, 1e-5);
    model.weight = NULL;
    cr_expect(isnan(value_of("completeness_error")));
}

/* ---- max-sensitivity ---- */

Test(eval_metric, sensitivity_by_hand, .init = setup) {
    const fv_metric_setting still = {"sensitivity_radius", 0};
    double size = 0;

    context.settings = &still;
    context.n_settings = 1;
    cr_expect_eq(value_of("max_sensitivity"), 0); /* nothing changes */
    explained_shift = 0.5f;
    for (int i = 0; i < N; i++) size += (double)map[i] * (double)map[i];
    cr_expect_float_eq(value_of("max_sensitivity"), 0.5 * sqrt(N / size), 1e-6);
}

/* The exact map moves by w times noise of at most radius * range. */
Test(eval_metric, sensitivity_is_bounded_by_the_noise, .init = setup) {
    double size = 0, reach = 0, low = 9, high = -9;

    for (int i = 0; i < 3 * N; i++) {
        low = fmin(low, pixels[i]);
        high = fmax(high, pixels[i]);
    }
    for (int i = 0; i < N; i++) {
        const double most = fabs((double)weight[3 * i]) + fabs((double)weight[3 * i + 1]) +
                            fabs((double)weight[3 * i + 2]);
        reach += most * most;
        size += (double)map[i] * (double)map[i];
    }
    const double bound = 0.02 * (high - low) * sqrt(reach / size);
    const double found = value_of("max_sensitivity");
    cr_expect(found > 0.2 * bound && found < bound, "%g of %g", found, bound);
}

static fv_status explain_with_nan(void *user, const float *other, int64_t target, float *out) {
    FV_TRY(explain(user, other, target, out));
    out[3] = NAN;
    return FV_OK;
}

Test(eval_metric, sensitivity_refuses_maps_that_are_not_finite, .init = setup) {
    const fv_metric *metric;
    double out[FV_METRIC_MAX_VALUES];

    CHECK(fv_metric_find("sensitivity", &metric));
    context.explain = explain_with_nan;
    cr_expect_eq(fv_metric_run(metric, &context, out), FV_ERR_NONFINITE);
}

/* ---- a planted marker ---- */

/* The map of a linear model says what each pixel adds: the drop is what the changed pixels did. */
Test(eval_metric, shortcut_by_hand, .init = setup) {
    double all = 0.0, on = 0.0, drop = 0.0;

    for (int i = 0; i < N; i++) {
        all += fabs((double)map[i]);
        if (marker[i]) on += fabs((double)map[i]);
        if (marker[i]) drop -= 0.5 * (double)weight[3 * i];
    }
    cr_expect_float_eq(value_of("shortcut_share"), on / all, 1e-6);
    cr_expect_float_eq(value_of("shortcut_density"), on / all * N / 3.0, 1e-5);
    cr_expect_float_eq(value_of("shortcut_drop"), drop, 1e-5);
}

/* The callback's map does not depend on the class. */
Test(eval_metric, maps_without_classes_are_insensitive, .init = setup) {
    cr_expect_float_eq(value_of("class_sensitivity"), 1.0, 1e-12);
    cr_expect_eq(value_of("class_constant"), 0.0);
}

Test(eval_metric, ledgers_are_fractions_of_the_score, .init = setup) {
    cr_expect_eq(value_of("share_pixels"), -0.5);
    cr_expect_eq(value_of("absorbed_bias"), -0.75);
    cr_expect_eq(value_of("absorbed_eps"), 0.25);
    cr_expect_eq(value_of("absorbed_cls"), 0.0);
}
