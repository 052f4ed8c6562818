/* What a recipe adds to a run: mixed images, averaged weights. */
#include "core/alloc.h"
#include "core/file.h"
#include "core/parallel.h"
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
