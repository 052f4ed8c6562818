/* What recipes and models add to a run: mixed images, averaged weights, batch norm. */
#include "core/alloc.h"
#include "core/file.h"
#include "core/parallel.h"
#include "core/safetensors.h"
#include "tests/support/trainer_run.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

TestSuite(train_trainer_recipe, .init = run_enter, .fini = run_leave);

/* A pair of mixed images never falls into two passes, whatever the batch size. */
Test(train_trainer_recipe, mixing_depends_on_neither_threads_nor_workers_nor_split) {
    static const char *const ways[][3] = {{"batch_size=8", "grad_accum_steps=1", "workers=0"},
                                          {"batch_size=4", "grad_accum_steps=2", "workers=3"},
                                          {"batch_size=1", "grad_accum_steps=8", "workers=1"}};
    /* 1025 tokens: chunks of two samples */
    const char *const kwargs = "model_kwargs={patch_size: 1, embed_dim: 8, num_heads: 2, depth: 1}";

    for (int i = 0; i < 3; i++) {
        char name[16], file[64];
        snprintf(name, sizeof name, "run%d", i);
        fv_threads_set(i == 0 ? 1 : 2);
        OK(run_train(run_path(name),
                     OPTIONS(kwargs, ways[i][0], ways[i][1], ways[i][2], "max_steps=4", "epochs=1",
                             "mixup=0.8", "cutmix=1.0", "bce_loss=true")));
        snprintf(file, sizeof file, "%s/last/model.safetensors", name);
        SAME_FILE(run_path("run0/last/model.safetensors"), run_path(file));
        snprintf(file, sizeof file, "%s/last/trainer.json", name);
        SAME_FILE(run_path("run0/last/trainer.json"), run_path(file));
    }
}

/* ---- mixed images ---- */

static double loss_of(const char *const options[]) {
    run_watch w = {0};
    OK(run_train_watched(&w, run_path("run"), options));
    run_remove(run_path("run"));
    return w.result.train_loss;
}

Test(train_trainer_recipe, mixing_goes_on_after_an_interruption) {
    OK(run_train(run_path("whole"), OPTIONS("mixup=0.8", "cutmix=1.0")));
    for (int stop = 1; stop <= 9; stop += 4) {
        run_watch w = {.stop_after = stop};
        cr_assert_eq(run_train_watched(&w, run_path("run"), OPTIONS("mixup=0.8", "cutmix=1.0")),
                     FV_ERR_INTERRUPTED);
        OK(run_train(run_path("run"), OPTIONS("mixup=0.8", "cutmix=1.0", "resume=auto")));
        SAME_RUN(run_path("whole"), run_path("run"), true);
        run_remove(run_path("run"));
    }
}

Test(train_trainer_recipe, mixing_that_is_off_is_label_smoothing) {
    const double plain = loss_of(OPTIONS("epochs=1"));

    cr_assert_float_eq(loss_of(OPTIONS("epochs=1", "mixup=0.8", "mixup_prob=0")), plain, 1e-12);
    cr_assert_float_eq(loss_of(OPTIONS("epochs=1", "mixup=1e6", "mixup_prob=1e-9")), plain, 1e-5);
    const double mixed = loss_of(OPTIONS("epochs=1", "mixup=0.8"));
    cr_assert_gt(fabs(mixed - plain), 1e-4);
    /* from the epoch after the first on: the second one is not mixed */
    const double both = loss_of(OPTIONS("epochs=2", "mixup=0.8"));
    cr_assert_neq(loss_of(OPTIONS("epochs=2", "mixup=0.8", "mixup_off_epoch=1")), both);
}

Test(train_trainer_recipe, losses_per_class) {
    const double bce = loss_of(OPTIONS("epochs=1", "bce_loss=true", "smoothing=0"));
    const double hard =
        loss_of(OPTIONS("epochs=1", "bce_loss=true", "bce_target_thresh=0.2", "smoothing=0.1"));

    cr_assert_lt(bce, 0.75);
    cr_assert_float_eq(hard, bce, 1e-12, "thresholds undo smoothing");
}

Test(train_trainer_recipe, mixing_refuses_what_it_cannot_do) {
    cr_assert_eq(run_train(run_path("run"), OPTIONS("mixup=0.8", "batch_size=5")), FV_ERR_CONFIG);
    cr_assert(strstr(fv_error_message(), "even"), "%s", fv_error_message());
    cr_assert_eq(run_train(run_path("run"), OPTIONS("cutmix_minmax=0.6,0.2")), FV_ERR_CONFIG);
    cr_assert(strstr(fv_error_message(), "cutmix_minmax"), "%s", fv_error_message());
}

/* ---- repeated, distorted and erased images ---- */

#define DISTORTED "aug_repeats=3", "aa=rand-m9-mstd0.5-inc1", "reprob=0.5"

Test(train_trainer_recipe, distortions_depend_on_neither_workers_nor_interruptions) {
    OK(run_train(run_path("whole"), OPTIONS(DISTORTED, "workers=0")));
    for (int stop = 3; stop <= 8; stop += 5) {
        run_watch w = {.stop_after = stop};
        cr_assert_eq(run_train_watched(&w, run_path("run"), OPTIONS(DISTORTED, "workers=0")),
                     FV_ERR_INTERRUPTED);
        OK(run_train(run_path("run"), OPTIONS(DISTORTED, "workers=2", "resume=auto")));
        SAME_FILE(run_path("whole/last/model.safetensors"), run_path("run/last/model.safetensors"));
        SAME_FILE(run_path("whole/last/trainer.json"), run_path("run/last/trainer.json"));
        run_remove(run_path("run"));
    }
}

Test(train_trainer_recipe, every_option_of_a_recipe_changes_the_training) {
    static const char *const options[] = {
        "aug_repeats=2",        "aa=rand-m9-inc1",    "color_jitter=0.8", "color_jitter=0",
        "color_jitter_prob=.5", "grayscale_prob=0.5", "reprob=0.9",       "layer_decay=0.5"};
    double losses[9] = {loss_of(OPTIONS("epochs=1"))};

    for (int i = 0; i < 8; i++) {
        losses[i + 1] = loss_of(OPTIONS("epochs=1", options[i]));
        for (int k = 0; k <= i; k++) cr_assert_neq(losses[i + 1], losses[k], "%s", options[i]);
    }
    /* as in timm, RandAugment comes in place of jitter */
    const double jittered = loss_of(OPTIONS("epochs=1", "aa=rand-m9-inc1", "color_jitter=0.8"));
    cr_assert_eq(jittered, losses[2]);
    cr_assert_eq(run_train(run_path("run"), OPTIONS("aa=augmix-m3")), FV_ERR_CONFIG);
}

/* ---- averaged weights ---- */

static void read_file(const char *name, char text[], size_t most) {
    uint8_t *bytes;
    size_t n;
    OK(fv_file_read(name, most - 1, &bytes, &n));
    memcpy(text, bytes, n);
    text[n] = 0;
    fv_free(bytes);
}

Test(train_trainer_recipe, averages_do_not_change_the_training) {
    char text[4096];
    run_watch w = {0};

    OK(run_train(run_path("plain"), OPTIONS("epochs=2")));
    OK(run_train_watched(&w, run_path("run"), OPTIONS("model_ema=true", "model_ema_decay=0.8")));
    SAME_FILE(run_path("plain/last/model.safetensors"), run_path("run/last/model.safetensors"));
    SAME_FILE(run_path("plain/last/optimizer.safetensors"),
              run_path("run/last/optimizer.safetensors"));
    cr_assert(w.result.averaged);
    cr_assert_neq(w.result.eval_ema_loss, w.result.eval_loss);
    cr_assert(fv_file_exists(run_path("run/best/model_ema.safetensors")));
    cr_assert_not(fv_file_exists(run_path("plain/last/model_ema.safetensors")));
    read_file(run_path("run/summary.csv"), text, sizeof text);
    cr_assert(strstr(text, ",grad_norm,eval_ema_loss,eval_ema_top1,eval_ema_top5,time_"), "%s",
              text);
    read_file(run_path("plain/summary.csv"), text, sizeof text);
    cr_assert_null(strstr(text, "ema"));
}

Test(train_trainer_recipe, averages_go_on_after_an_interruption_and_on_any_threads) {
    const char *const ema = "model_ema=true", *const warmup = "model_ema_warmup=true";

    fv_threads_set(1);
    OK(run_train(run_path("whole"), OPTIONS(ema, warmup, "workers=0")));
    for (int stop = 1; stop <= 9; stop += 4) {
        run_watch w = {.stop_after = stop};
        fv_threads_set(1);
        cr_assert_eq(run_train_watched(&w, run_path("run"), OPTIONS(ema, warmup, "workers=0")),
                     FV_ERR_INTERRUPTED);
        fv_threads_set(3);
        OK(run_train(run_path("run"), OPTIONS(ema, warmup, "workers=0", "resume=auto")));
        SAME_RUN(run_path("whole"), run_path("run"), true);
        run_remove(run_path("run"));
    }
}

Test(train_trainer_recipe, averages_cannot_begin_in_the_middle) {
    OK(run_train(run_path("run"), OPTIONS("max_steps=2")));
    cr_assert_eq(run_train(run_path("run"), OPTIONS("resume=auto", "model_ema=true")),
                 FV_ERR_CONFIG);
    cr_assert(strstr(fv_error_message(), "model_ema"), "%s", fv_error_message());

    OK(run_train(run_path("ema"), OPTIONS("max_steps=2", "model_ema=true")));
    cr_assert_eq(unlink(run_path("ema/checkpoint-0-2/model_ema.safetensors")), 0);
    cr_assert_eq(run_train(run_path("ema"), OPTIONS("resume=auto", "model_ema=true")),
                 FV_ERR_NOT_FOUND);
    cr_assert(strstr(fv_error_message(), "model_ema.safetensors"), "%s", fv_error_message());
}

/* ---- batch norm ---- */

#define BATCHNORM "model=mini_biformer", "img_size=64"

Test(train_trainer_recipe, running_statistics_survive_an_interruption_and_any_threads) {
    const char *const split[] = {
        BATCHNORM,   "batch_size=4", "grad_accum_steps=2", "epochs=1",    "model_ema=true",
        "mixup=0.8", "workers=0",    "checkpoint_steps=2", "max_steps=3", NULL};
    const char *const resumed[] = {
        BATCHNORM,   "batch_size=4", "grad_accum_steps=2", "epochs=1",    "model_ema=true",
        "mixup=0.8", "workers=0",    "checkpoint_steps=2", "max_steps=3", "resume=auto",
        NULL};

    fv_threads_set(1);
    OK(run_train(run_path("whole"), split));
    for (int stop = 1; stop <= 2; stop++) {
        run_watch w = {.stop_after = stop};
        fv_threads_set(1);
        cr_assert_eq(run_train_watched(&w, run_path("run"), split), FV_ERR_INTERRUPTED);
        fv_threads_set(2);
        OK(run_train(run_path("run"), resumed));
        SAME_RUN(run_path("whole"), run_path("run"), true);
        run_remove(run_path("run"));
    }
}

static float stored(const char *checkpoint, const char *name) {
    char file[192];
    const fv_safetensors_entry *entry;
    fv_safetensors *st;
    float value = 0.0f;

    snprintf(file, sizeof file, "%s/model.safetensors", checkpoint);
    OK(fv_safetensors_open(file, &st));
    OK(fv_safetensors_need(st, name, &entry));
    if (entry->dtype == FV_I64) {
        int64_t count = 0;
        OK(fv_safetensors_read_i64(st, entry, &count));
        value = (float)count;
    } else {
        float *all = fv_alloc((size_t)entry->numel, sizeof *all);
        OK(fv_safetensors_read_f32(st, entry, all));
        value = all[0];
        fv_free(all);
    }
    fv_safetensors_close(st);
    return value;
}

Test(train_trainer_recipe, counts_passes_and_evaluates_with_running_statistics) {
    run_watch w = {0};

    OK(run_train_watched(&w, run_path("run"),
                         OPTIONS(BATCHNORM, "batch_size=4", "grad_accum_steps=2", "epochs=1",
                                 "max_steps=2", "validation_batch_size=1")));
    cr_assert_eq(stored(run_path("run/last"), "norm.num_batches_tracked"), 4.0f);
    cr_assert_neq(stored(run_path("run/last"), "norm.running_mean"), 0.0f);
    const double one_by_one = w.result.eval_loss;
    OK(run_train_watched(&w, run_path("other"),
                         OPTIONS(BATCHNORM, "batch_size=4", "grad_accum_steps=2", "epochs=1",
                                 "max_steps=2", "validation_batch_size=12")));
    cr_assert_eq(w.result.eval_loss, one_by_one);
}

Test(train_trainer_recipe, another_split_is_another_training_with_batch_norm) {
    OK(run_train(run_path("run"), OPTIONS(BATCHNORM, "batch_size=4", "grad_accum_steps=2",
                                          "max_steps=1", "epochs=1")));
    cr_assert_eq(run_train(run_path("run"), OPTIONS(BATCHNORM, "batch_size=8", "max_steps=2",
                                                    "epochs=1", "resume=auto")),
                 FV_ERR_CONFIG);
    cr_assert(strstr(fv_error_message(), "images per pass was 4 and is 8"), "%s",
              fv_error_message());
}

Test(train_trainer_recipe, a_bad_update_leaves_the_running_statistics) {
    const char *const options[] = {BATCHNORM,  "lr=1e30", "clip_grad=0", "checkpoint_steps=1",
                                   "epochs=1", NULL};
    float before;

    OK(run_train(run_path("good"), OPTIONS(BATCHNORM, "lr=1e30", "clip_grad=0", "max_steps=1",
                                           "epochs=1", "val_interval=0")));
    before = stored(run_path("good/last"), "norm.running_mean");
    cr_assert_eq(run_train(run_path("run"), options), FV_ERR_NONFINITE);
    cr_assert_eq(stored(run_path("run/last"), "norm.running_mean"), before);
    cr_assert_eq(stored(run_path("run/last"), "norm.num_batches_tracked"), 1.0f);
}
