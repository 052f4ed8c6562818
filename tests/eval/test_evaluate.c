/* The evaluator against one image at a time, and against itself for other batches and threads. */
#include "eval/evaluate.h"

#include "core/alloc.h"
#include "core/file.h"
#include "core/parallel.h"
#include "data/synth.h"
#include "eval/predict.h"
#include "tests/support/generator.h"

#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CLASSES 3
#define SAMPLES 75 /* three chunks of mini_vit, the last one not full */

static char folder[64], set[96];
static fv_model *model;
static fv_dataset *dataset;
static const fv_preprocess preprocess = {.img_h = 32,
                                         .img_w = 32,
                                         .mean = {0.5f, 0.5f, 0.5f},
                                         .std = {0.5f, 0.5f, 0.5f},
                                         .interpolation = FV_INTERPOLATION_BICUBIC,
                                         .crop_pct = 0.9};

static void enter(void) {
    const fv_synth_config synth = {
        .n_classes = CLASSES, .size_px = 40, .n_train = CLASSES, .n_val = SAMPLES, .seed = 1};
    const fv_model_config config = {.name = "mini_vit", .num_classes = CLASSES, .bf16 = true};

    strcpy(folder, "/tmp/fovea_evaluate_XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    snprintf(set, sizeof set, "%s/set", folder);
    cr_assert_eq(fv_synth_write(set, &synth, false, NULL), FV_OK, "%s", fv_error_message());
    cr_assert_eq(fv_dataset_open(set, "validation", NULL, &dataset), FV_OK);
    cr_assert_eq(fv_model_create(&config, false, &model), FV_OK, "%s", fv_error_message());
    fv_generate_params(&model->params, "evaluate");
    fv_params_bf16_refresh(&model->params);
}

static void leave(void) {
    fv_model_destroy(model);
    fv_dataset_destroy(dataset);
    fv_folder_remove(folder);
}

TestSuite(eval_evaluate, .init = enter, .fini = leave);

/* What the sink sees. */
typedef struct seen {
    float logits[SAMPLES * CLASSES];
    int32_t labels[SAMPLES];
    int64_t index[SAMPLES];
    int64_t n, fail_at;
} seen;

static fv_status keep(void *user, const fv_evaluated *batch) {
    seen *s = user;

    if (s->fail_at > 0 && s->n >= s->fail_at) return FV_FAIL(FV_ERR_IO, "full");
    cr_assert_eq(batch->n_classes, CLASSES);
    cr_assert_leq(s->n + batch->n, SAMPLES);
    memcpy(s->logits + s->n * CLASSES, batch->logits, sizeof(float) * (size_t)batch->n * CLASSES);
    memcpy(s->labels + s->n, batch->labels, sizeof(int32_t) * (size_t)batch->n);
    memcpy(s->index + s->n, batch->index, sizeof(int64_t) * (size_t)batch->n);
    s->n += batch->n;
    return FV_OK;
}

static fv_evaluator_config config_of(int64_t batch_size, int workers) {
    return (fv_evaluator_config){.model = model,
                                 .dataset = dataset,
                                 .preprocess = &preprocess,
                                 .batch_size = batch_size,
                                 .workers = workers};
}

static fv_status evaluate(int64_t batch_size, int workers, seen *s, fv_evaluate_result *result) {
    const fv_evaluator_config config = config_of(batch_size, workers);

    *s = (seen){0};
    return fv_evaluate(&config, &(fv_evaluate_options){.sink = keep, .sink_user = s}, result);
}

Test(eval_evaluate, agrees_with_one_image_at_a_time) {
    static seen s;
    fv_evaluate_result result;
    fv_tape *tape;
    int64_t top1 = 0;
    double loss = 0.0, bins[3][15] = {{0}}, ece = 0.0;

    cr_assert_eq(evaluate(16, 1, &s, &result), FV_OK, "%s", fv_error_message());
    cr_assert_eq(s.n, SAMPLES);
    cr_assert_eq(result.count, SAMPLES);
    cr_assert_eq(fv_tape_create(&tape), FV_OK);
    for (int64_t i = 0; i < SAMPLES; i++) {
        float z[CLASSES];
        double sum = 0.0, best = 0.0;
        int argmax = 0;

        cr_assert_eq(s.index[i], i, "the order of the data set");
        cr_assert_eq(s.labels[i], dataset->samples[i].label);
        cr_assert_eq(fv_predict_file(tape, model, &preprocess, false, dataset->samples[i].path, z),
                     FV_OK);
        for (int k = 0; k < CLASSES; k++) {
            cr_assert_float_eq(z[k], s.logits[i * CLASSES + k], 1e-5, "image %d", (int)i);
            sum += exp((double)z[k]);
            if (z[k] > z[argmax]) argmax = k;
        }
        best = exp((double)z[argmax]) / sum;
        top1 += argmax == s.labels[i];
        loss += log(sum) - (double)z[s.labels[i]];
        int bin = 0;
        while (best > (bin + 1) / 15.0) bin++;
        bins[0][bin] += 1.0;
        bins[1][bin] += best;
        bins[2][bin] += argmax == s.labels[i];
    }
    for (int b = 0; b < 15; b++)
        if (bins[0][b] > 0.0)
            ece += bins[0][b] / SAMPLES * fabs(bins[2][b] / bins[0][b] - bins[1][b] / bins[0][b]);
    cr_assert_float_eq(result.top1, 100.0 * (double)top1 / SAMPLES, 1e-9);
    cr_assert_float_eq(result.top5, 100.0, 1e-9, "three classes are all among five");
    cr_assert_float_eq(result.loss, loss / SAMPLES, 1e-5);
    cr_assert_float_eq(result.ece, ece, 1e-5);
    cr_assert(top1 > 0 && top1 < SAMPLES, "%d: the case tells right from wrong", (int)top1);
    cr_assert_gt(result.images_per_second, 0.0);
    fv_tape_destroy(tape);
}

Test(eval_evaluate, same_bits_for_any_batch_threads_and_workers) {
    static const struct {
        int64_t batch;
        int threads, workers;
    } cases[] = {{7, 1, 0}, {33, 1, 2}, {1000, 1, 1}, {1, 2, 0}, {64, 3, 3}};
    static seen first, s;
    fv_evaluate_result wanted, result;

    fv_threads_set(1);
    cr_assert_eq(evaluate(1, 0, &first, &wanted), FV_OK, "%s", fv_error_message());
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fv_threads_set(cases[i].threads);
        cr_assert_eq(evaluate(cases[i].batch, cases[i].workers, &s, &result), FV_OK);
        cr_assert_eq(memcmp(s.logits, first.logits, sizeof s.logits), 0, "case %d", (int)i);
        cr_assert_eq(result.top1, wanted.top1);
        cr_assert_eq(result.loss, wanted.loss, "case %d", (int)i);
        cr_assert_eq(result.ece, wanted.ece);
    }
}

Test(eval_evaluate, bf16_is_near_f32) {
    const fv_evaluator_config config = config_of(64, 0);
    fv_evaluate_result narrow, wide;

    cr_assert_eq(fv_evaluate(&config, NULL, &wide), FV_OK);
    cr_assert_eq(fv_evaluate(&config, &(fv_evaluate_options){.bf16 = true}, &narrow), FV_OK, "%s",
                 fv_error_message());
    cr_assert_neq(narrow.loss, wide.loss);
    cr_assert_float_eq(narrow.loss, wide.loss, 0.05);
}

Test(eval_evaluate, later_runs_follow_the_weights_and_allocate_no_more) {
    const fv_evaluator_config config = config_of(16, 0);
    fv_evaluator *e;
    fv_evaluate_result first, second, third;
    uint64_t pngs = 0; /* whose decoder allocates once per image */

    for (int64_t i = 0; i < SAMPLES; i++) pngs += strstr(dataset->samples[i].name, ".png") != NULL;
    cr_assert_eq(fv_evaluator_create(&config, &e), FV_OK);
    cr_assert_eq(fv_evaluator_run(e, NULL, &first), FV_OK);
    cr_assert_eq(fv_evaluator_run(e, NULL, &second), FV_OK);
    const uint64_t calls = fv_alloc_calls();
    cr_assert_eq(fv_evaluator_run(e, NULL, &third), FV_OK);
    cr_assert_leq(fv_alloc_calls() - calls, pngs, "%d allocations",
                  (int)(fv_alloc_calls() - calls));
    cr_assert_eq(second.loss, first.loss);
    cr_assert_eq(third.loss, first.loss);
    fv_generate_params(&model->params, "other");
    cr_assert_eq(fv_evaluator_run(e, NULL, &third), FV_OK);
    cr_assert_neq(third.loss, first.loss);
    fv_evaluator_destroy(e);
}

static void damage(int64_t sample) {
    FILE *file = fopen(dataset->samples[sample].path, "wb");
    fputs("no image", file);
    fclose(file);
}

static void warn(void *user, fv_report_level level, const char *text) {
    if (level == FV_REPORT_WARNING) snprintf(user, 600, "%s", text);
}

Test(eval_evaluate, bad_images_are_named_and_left_out) {
    fv_evaluator_config config = config_of(16, 0);
    char text[600] = "";
    static seen s;
    fv_evaluate_result result;
    const fv_report report = {.user = text, .line = warn};

    damage(3);
    cr_assert_eq(fv_evaluate(&config, NULL, &result), FV_ERR_FORMAT);
    cr_assert_not_null(strstr(fv_error_message(), dataset->samples[3].path), "%s",
                       fv_error_message());
    cr_assert_eq(result.count, 0);
    config.max_bad = 1;
    s = (seen){0};
    const fv_evaluate_options options = {.sink = keep, .sink_user = &s, .report = &report};
    cr_assert_eq(fv_evaluate(&config, &options, &result), FV_OK, "%s", fv_error_message());
    cr_assert_eq(result.count, SAMPLES - 1);
    cr_assert_eq(result.n_bad, 1);
    cr_assert_not_null(strstr(text, dataset->samples[3].path), "%s", text);
    cr_assert_eq(s.index[2], 2);
    cr_assert_eq(s.index[3], 4);
}

Test(eval_evaluate, nothing_but_bad_images_is_an_error) {
    fv_evaluator_config config = config_of(16, 0);
    fv_evaluate_result result;

    for (int64_t i = 0; i < SAMPLES; i++) damage(i);
    config.max_bad = SAMPLES;
    cr_assert_eq(fv_evaluate(&config, NULL, &result), FV_ERR_FORMAT);
    cr_assert_not_null(strstr(fv_error_message(), "no image of the validation split"), "%s",
                       fv_error_message());
}

static bool stop(void *user) {
    (void)user;
    return true;
}

static void count_step(void *user, const fv_report_step *step) {
    int64_t *steps = user;

    cr_assert_eq(step->total, 3);
    cr_assert_eq(step->done, ++*steps);
    cr_assert_eq(step->due, step->done == 3);
}

Test(eval_evaluate, reports_steps_and_stops_on_request) {
    const fv_evaluator_config config = config_of(1, 0);
    int64_t steps = 0;
    static seen s;
    fv_evaluate_result result;
    fv_report report = {.user = &steps, .step = count_step};

    cr_assert_eq(fv_evaluate(&config, &(fv_evaluate_options){.report = &report}, &result), FV_OK);
    cr_assert_eq(steps, 3);
    report = (fv_report){.stop = stop};
    cr_assert_eq(fv_evaluate(&config, &(fv_evaluate_options){.report = &report}, &result),
                 FV_ERR_INTERRUPTED);
    s = (seen){.fail_at = 1};
    cr_assert_eq(
        fv_evaluate(&config, &(fv_evaluate_options){.sink = keep, .sink_user = &s}, &result),
        FV_ERR_IO);
    cr_assert_str_eq(fv_error_message(), "full");
}

Test(eval_evaluate, refuses_what_does_not_fit) {
    fv_evaluator_config config = config_of(0, 0);
    fv_preprocess larger = preprocess;
    fv_evaluator *e;

    cr_assert_eq(fv_evaluator_create(&config, &e), FV_ERR_CONFIG);
    cr_assert_null(e);
    config.batch_size = 1;
    larger.img_h = 64;
    config.preprocess = &larger;
    cr_assert_eq(fv_evaluator_create(&config, &e), FV_ERR_CONFIG);
    config.preprocess = &preprocess;
    model->num_classes = 4;
    cr_assert_eq(fv_evaluator_create(&config, &e), FV_ERR_CONFIG);
    cr_assert_not_null(strstr(fv_error_message(), "has 3 classes"), "%s", fv_error_message());
    model->num_classes = CLASSES;
}

Test(eval_evaluate, every_failed_allocation_is_an_error) {
    const fv_evaluator_config config = config_of(16, 1);
    fv_evaluate_result result;
    fv_status status = FV_ERR_NOMEM;

    dataset->n_samples = 4;
    for (uint64_t n = 1; status != FV_OK; n += n < 40 ? 1 : 17) {
        fv_alloc_fail_at(n);
        status = fv_evaluate(&config, NULL, &result);
        fv_alloc_fail_at(0);
        if (status != FV_OK) cr_assert_eq(status, FV_ERR_NOMEM, "%s", fv_error_message());
        cr_assert_lt(n, 100000);
    }
}

/* ---- one sample ---- */

Test(eval_evaluate_measures, rank_breaks_ties_downwards_and_distrusts_nan) {
    const float z[] = {1.0f, 3.0f, 3.0f, -2.0f}, bad[] = {1.0f, NAN, 3.0f};

    cr_assert_eq(fv_label_rank(z, 4, 1), 0);
    cr_assert_eq(fv_label_rank(z, 4, 2), 1);
    cr_assert_eq(fv_label_rank(z, 4, 0), 2);
    cr_assert_eq(fv_label_rank(z, 4, 3), 3);
    cr_assert_eq(fv_label_rank(bad, 3, 2), 1, "NaN is ahead of everything");
    cr_assert_eq(fv_label_rank(bad, 3, 1), 3, "and never right");
}

Test(eval_evaluate_measures, loss_and_confidence) {
    const float z[] = {0.0f, 2.0f, 1.0f}, far[] = {1000.0f, 0.0f};
    const double sum = 1.0 + exp(2.0) + exp(1.0);
    int64_t argmax;

    cr_assert_float_eq(fv_label_loss(z, 3, 0), log(sum), 1e-14);
    cr_assert_float_eq(fv_label_loss(z, 3, 2), log(sum) - 1.0, 1e-14);
    cr_assert_float_eq(fv_confidence(z, 3, &argmax), exp(2.0) / sum, 1e-14);
    cr_assert_eq(argmax, 1);
    cr_assert_float_eq(fv_label_loss(far, 2, 1), 1000.0, 1e-9, "no overflow");
}

/* Guo et al. 2017, eq. 3, by hand: bins (0.6, 0.667] and (0.933, 1]. */
Test(eval_evaluate_measures, calibration_by_hand) {
    const double confidence[] = {0.61, 0.65, 0.66, 1.0, 0.95};
    const bool correct[] = {true, false, true, true, true};
    const double low = fabs(2.0 / 3.0 - (0.61 + 0.65 + 0.66) / 3.0);
    const double high = fabs(1.0 - (1.0 + 0.95) / 2.0);

    cr_assert_float_eq(fv_calibration_error(confidence, correct, 5),
                       3.0 / 5.0 * low + 2.0 / 5.0 * high, 1e-14);
    cr_assert_eq(fv_calibration_error((double[]){1.0, 1.0}, (bool[]){true, true}, 2), 0.0);
    cr_assert_eq(fv_calibration_error((double[]){1.0}, (bool[]){false}, 1), 1.0);
    /* a confidence on the edge belongs to the lower bin */
    cr_assert_float_eq(fv_calibration_error((double[]){0.2, 0.21}, (bool[]){false, true}, 2),
                       (0.2 + 0.79) / 2.0, 1e-14);
}
