/* Whole runs of a tiny model on a tiny synthetic set: what ends up on the disk. */
#include "core/alloc.h"
#include "core/file.h"
#include "core/parallel.h"
#include "data/synth.h"
#include "tests/support/trainer_run.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(train_trainer, .init = run_enter, .fini = run_leave);

/* ---- the result does not depend on how it is computed ---- */

Test(train_trainer, bits_depend_on_neither_threads_nor_workers_nor_split) {
    static const char *const ways[][4] = {
        {"batch_size=8", "grad_accum_steps=1", "workers=0"},
        {"batch_size=4", "grad_accum_steps=2", "workers=3"},
        {"batch_size=1", "grad_accum_steps=8", "workers=1"},
        {"batch_size=8", "grad_accum_steps=1", "grad_checkpointing=true"}};
    /* 257 tokens: four samples would not fill a chunk of eight, two chunks make a batch of 16 */
    const char *const kwargs =
        "model_kwargs={patch_size: 2, embed_dim: 16, num_heads: 2, depth: 1}";

    for (int i = 0; i < 4; i++) {
        char name[16];
        snprintf(name, sizeof name, "run%d", i);
        fv_threads_set(i == 0 ? 1 : 2);
        OK(run_train(run_path(name), OPTIONS(kwargs, ways[i][0], ways[i][1], ways[i][2],
                                             "max_steps=2", "epochs=1")));
        char file[64];
        snprintf(file, sizeof file, "%s/last/model.safetensors", name);
        SAME_FILE(run_path("run0/last/model.safetensors"), run_path(file));
        snprintf(file, sizeof file, "%s/last/trainer.json", name);
        SAME_FILE(run_path("run0/last/trainer.json"), run_path(file));
    }
}

Test(train_trainer, writes_a_whole_run_folder) {
    static const char *const files[] = {"config.yaml",
                                        "run.json",
                                        "summary.csv",
                                        "log.jsonl",
                                        "last/config.json",
                                        "last/optimizer.safetensors",
                                        "best/trainer.json",
                                        "checkpoint-0/model.safetensors",
                                        "checkpoint-1/trainer.json"};
    run_watch w = {0};

    OK(run_train_watched(&w, run_path("run"), OPTIONS("epochs=2")));
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char name[64];
        snprintf(name, sizeof name, "run/%s", files[i]);
        cr_expect(fv_file_exists(run_path(name)), "%s", files[i]);
    }
    cr_assert_eq(w.result.epoch, 1);
    cr_assert_eq(w.result.step, 10);
    cr_assert(w.result.evaluated);
    cr_assert_eq(w.n_steps, 10);
    cr_assert_leq(w.n_lines, 12);

    uint8_t *json; /* names of classes travel with the weights */
    size_t n;
    OK(fv_file_read(run_path("run/last/config.json"), 1 << 20, &json, &n));
    cr_assert(strstr((char *)json, "label_names"));
    cr_assert(strstr((char *)json, fv_synth_class_name(0)));
    cr_assert_null(strstr((char *)json, run_folder()), "no paths in a checkpoint");
    fv_free(json);
}

Test(train_trainer, keeps_the_newest_and_the_best) {
    OK(run_train(run_path("run"), OPTIONS("epochs=4", "checkpoint_hist=2", "checkpoint_steps=2")));
    cr_assert_not(fv_folder_exists(run_path("run/checkpoint-1")) &&
                  fv_folder_exists(run_path("run/checkpoint-0")));
    cr_assert_not(fv_folder_exists(run_path("run/checkpoint-2-12")));
    cr_assert(fv_folder_exists(run_path("run/checkpoint-3")));
    cr_assert(fv_folder_exists(run_path("run/checkpoint-3-18")));
    cr_assert(fv_file_exists(run_path("run/best/model.safetensors")));
}

/* ---- resuming ---- */

Test(train_trainer, goes_on_after_an_interruption_at_every_step) {
    OK(run_train(run_path("whole"), OPTIONS("workers=0")));
    for (int stop = 1; stop <= 10; stop++) {
        run_watch w = {.stop_after = stop};
        const fv_status status = run_train_watched(&w, run_path("run"), OPTIONS("workers=0"));
        cr_assert_eq(status, FV_ERR_INTERRUPTED, "stop %d: %s", stop, fv_error_message());
        w = (run_watch){0};
        OK(run_train_watched(&w, run_path("run"), OPTIONS("resume=auto", "workers=1")));
        cr_assert_eq(w.n_steps, 10 - stop);
        uint8_t *bytes; /* the number of loader threads is all that may differ */
        size_t n;
        OK(fv_file_read(run_path("whole/config.yaml"), 1 << 20, &bytes, &n));
        OK(fv_file_write(run_path("run/config.yaml"), bytes, n));
        fv_free(bytes);
        SAME_RUN(run_path("whole"), run_path("run"), true);
        run_remove(run_path("run"));
    }
}

Test(train_trainer, goes_on_after_a_kill_at_any_report) {
    const char *const options[] = {"batch_size=13", "checkpoint_steps=2", "checkpoint_hist=2",
                                   NULL};
    run_watch w = {.snapshots = true};

    OK(run_train_watched(&w, run_path("whole"), options));
    cr_assert_gt(w.n_snapshots, 10);
    for (int i = 0; i < w.n_snapshots; i++) {
        char snap[32], command[1024];
        snprintf(snap, sizeof snap, "snap%d", i);
        /* What a kill may leave in the middle of a write. */
        snprintf(
            command, sizeof command,
            "cd '%s' && mkdir -p checkpoint-0.tmp checkpoint-7.tmp && echo x > "
            "checkpoint-0.tmp/model.safetensors && ln -s checkpoint-9 last.tmp && echo half >> "
            "summary.csv && echo '{\"half' >> log.jsonl && %s",
            run_path(snap),
            i % 3 == 0   ? "rm -f best"
            : i % 3 == 1 ? "rm -f last"
                         : "true");
        cr_assert_eq(system(command), 0);
        OK(run_train(run_path(snap), OPTIONS("batch_size=13", "checkpoint_steps=2",
                                             "checkpoint_hist=2", "resume=auto")));
        SAME_RUN(run_path("whole"), run_path(snap), false);
        run_remove(run_path(snap));
    }
}

Test(train_trainer, a_longer_run_equals_one_that_never_stopped) {
    OK(run_train(run_path("whole"), OPTIONS("max_steps=8")));
    OK(run_train(run_path("run"), OPTIONS("max_steps=3")));
    cr_assert(fv_file_exists(run_path("run/best/model.safetensors")));
    OK(run_train(run_path("run"), OPTIONS("max_steps=8", "resume=auto")));
    SAME_RUN(run_path("whole"), run_path("run"), true);
}

Test(train_trainer, another_checkpoint_and_another_folder) {
    OK(run_train(run_path("whole"), OPTIONS("workers=0")));
    OK(run_train(run_path("part"), OPTIONS("checkpoint_steps=2")));
    char from[128];
    snprintf(from, sizeof from, "resume=%s", run_path("part/checkpoint-0-4"));
    OK(run_train(run_path("other"), OPTIONS(from)));
    SAME_FILE(run_path("whole/last/model.safetensors"), run_path("other/last/model.safetensors"));
    SAME_FILE(run_path("whole/last/trainer.json"), run_path("other/last/trainer.json"));
    OK(run_train(run_path("part"), OPTIONS(from, "checkpoint_steps=2")));
    SAME_FILE(run_path("whole/last/model.safetensors"), run_path("part/last/model.safetensors"));
}

Test(train_trainer, a_finished_run_is_left_alone) {
    run_watch w = {0};

    OK(run_train(run_path("run"), OPTIONS("epochs=1")));
    run_copy(run_path("run"), run_path("copy"));
    OK(run_train_watched(&w, run_path("run"), OPTIONS("epochs=1", "resume=auto")));
    cr_assert_eq(w.n_steps, 0);
    cr_assert(w.result.already_finished);
    cr_assert_eq(w.result.step, 5);
    cr_assert(strstr(w.text, "nothing to do"), "%s", w.text);
    SAME_RUN(run_path("copy"), run_path("run"), false);
}

Test(train_trainer, refuses_what_would_change_the_result) {
    static const char *const changes[][2] = {{"lr=0.003", "lr"},
                                             {"batch_size=4", "effective_batch"},
                                             {"seed=43", "seed"},
                                             {"hflip=0", "hflip"},
                                             {"model_kwargs={depth: 1}", "model_kwargs"},
                                             {"model=mini_deit_distilled", "model"},
                                             {"epochs=3", "epochs"}};

    OK(run_train(run_path("run"), OPTIONS("max_steps=2")));
    run_copy(run_path("run"), run_path("copy"));
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        const fv_status status = run_train(run_path("run"), OPTIONS("resume=auto", changes[i][0]));
        cr_assert_eq(status, FV_ERR_CONFIG, "%s: %s", changes[i][0], fv_error_message());
        cr_assert(strstr(fv_error_message(), changes[i][1]), "%s", fv_error_message());
    }
    SAME_RUN(run_path("copy"), run_path("run"), false);
    /* Data of other content is another training. */
    run_remove(run_path("data"));
    const fv_synth_config other = {
        .n_classes = 3, .size_px = 32, .n_train = 43, .n_val = 12, .seed = 2};
    OK(fv_synth_write(run_path("data"), &other, false, NULL));
    cr_assert_eq(run_train(run_path("run"), OPTIONS("resume=auto")), FV_ERR_CONFIG);
    cr_assert(strstr(fv_error_message(), "training data"), "%s", fv_error_message());
}

Test(train_trainer, refuses_a_folder_that_holds_a_run) {
    OK(run_train(run_path("run"), OPTIONS("max_steps=1")));
    cr_assert_eq(run_train(run_path("run"), OPTIONS("max_steps=1")), FV_ERR_IO);
    cr_assert(strstr(fv_error_message(), "--resume auto"), "%s", fv_error_message());
}

/* ---- failures ---- */

Test(train_trainer, a_step_that_is_not_finite_stops_and_leaves_no_trace) {
    const char *const options[] = {"lr=1e30", "clip_grad=0", "checkpoint_steps=1", NULL};

    cr_assert_eq(run_train(run_path("run"), options), FV_ERR_NONFINITE);
    cr_assert_eq(strncmp(fv_error_message(), "step 2: ", 8), 0, "%s", fv_error_message());
    cr_assert(strstr(fv_error_message(), "non-finite"), "%s", fv_error_message());
    cr_assert(fv_file_exists(run_path("run/last/model.safetensors")));
    cr_assert_not(fv_folder_exists(run_path("run/checkpoint-0-2")));
}

static void fails_before_the_start(const char *out, const char *const options[], fv_status expected,
                                   const char *part) {
    run_watch w = {0};
    const fv_status status = run_train_watched(&w, out, options);
    cr_assert_eq(status, expected, "%s", fv_error_message());
    cr_assert(strstr(fv_error_message(), part), "%s", fv_error_message());
    cr_assert_eq(w.n_steps, 0);
}

Test(train_trainer, finds_bad_data_and_folders_before_the_start) {
    char command[256];

    fails_before_the_start(run_path("run"), OPTIONS("data_dir=/nowhere"), FV_ERR_NOT_FOUND,
                           "nowhere");
    fails_before_the_start(run_path("run"), OPTIONS("batch_size=64"), FV_ERR_CONFIG, "40 training");
    fails_before_the_start(run_path("run"), OPTIONS("model=mini_vitt"), FV_ERR_CONFIG, "mini_vit");
    fails_before_the_start(run_path("run"), OPTIONS("num_classes=5"), FV_ERR_CONFIG, "3 classes");
    fails_before_the_start(run_path("run"), OPTIONS("resume=/nowhere"), FV_ERR_NOT_FOUND,
                           "nowhere");
    cr_assert_not(fv_folder_exists(run_path("run")));
    OK(fv_file_write(run_path("file"), "x", 1));
    fails_before_the_start(run_path("file/run"), OPTIONS("epochs=1"), FV_ERR_IO, "file");

    snprintf(command, sizeof command, "f=$(find '%s' -name '*.png' | head -1); : > $f",
             run_path("data/train"));
    cr_assert_eq(system(command), 0);
    fails_before_the_start(run_path("run"), OPTIONS("epochs=1"), FV_ERR_FORMAT, "empty");
}

Test(train_trainer, skips_bad_images_when_told_to) {
    char command[256];
    run_watch w = {0};

    snprintf(command, sizeof command, "f=$(find '%s' -name '*.png' | head -1); truncate -s 300 $f",
             run_path("data/train"));
    cr_assert_eq(system(command), 0);
    cr_assert_neq(run_train(run_path("strict"), OPTIONS("epochs=1")), FV_OK);
    OK(run_train_watched(&w, run_path("run"), OPTIONS("epochs=1", "max_bad=1")));
    cr_assert_eq(w.n_steps, 5);
}
