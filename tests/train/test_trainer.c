/* Whole runs of a tiny model on a tiny synthetic set: what ends up on the disk. */
#include "core/alloc.h"
#include "core/file.h"
#include "core/option.h"
#include "core/parallel.h"
#include "data/synth.h"
#include "tests/support/run_files.h"
#include "train/trainer.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[64], paths[8][128];

/* A path in the test's folder; valid for the next eight calls. */
static const char *path(const char *name) {
    static int next;
    char *p = paths[next++ % 8];
    snprintf(p, sizeof paths[0], "%s/%s", folder, name);
    return p;
}

static void enter(void) {
    const fv_synth_config set = {
        .n_classes = 3, .size_px = 32, .n_train = 40, .n_val = 12, .seed = 1};

    strcpy(folder, "/tmp/fovea_trainer_XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(fv_synth_write(path("data"), &set, false, NULL), FV_OK, "%s", fv_error_message());
}

static void leave(void) { run_remove(folder); }

TestSuite(train_trainer, .init = enter, .fini = leave);

/* Options as "key=value", over a run of two epochs of five updates of eight images, with
 * augmentation, stochastic depth and clipping. */
static void settings_make(fv_settings *s, const char *const options[]) {
    static const char *const base[] = {
        "model=mini_vit",  "model_kwargs={patch_size: 8, embed_dim: 16, num_heads: 2}",
        "epochs=2",        "batch_size=8",
        "warmup_epochs=0", "lr=0.002",
        "drop_path=0.2",   "clip_grad=1.0",
        "log_interval=2",  "workers=0",
        "precision=f32",   NULL};
    const char *const *lists[] = {base, options};

    fv_settings_init(s);
    cr_assert_eq(fv_settings_set(s, "data_dir", path("data"), "test", FV_CMD_TRAIN), FV_OK);
    for (int k = 0; k < 2; k++)
        for (int i = 0; lists[k][i]; i++) {
            char key[64];
            const char *value = strchr(lists[k][i], '=') + 1;
            snprintf(key, sizeof key, "%.*s", (int)(value - lists[k][i] - 1), lists[k][i]);
            cr_assert_eq(fv_settings_set(s, key, value, "test", FV_CMD_TRAIN), FV_OK, "%s",
                         fv_error_message());
        }
}

#define OPTIONS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* What a test sees of a run: when to stop it, and where to copy its folder to. */
typedef struct watch {
    int stop_after; /* updates of this process; 0 = never */
    bool snapshots; /* a copy of the run folder at every report */
    int n_steps, n_snapshots, n_lines;
    const char *out;
    fv_train_result result;
    char text[4096]; /* lines */
} watch;

static void snapshot(watch *w) {
    char name[32];
    if (!w->snapshots) return;
    snprintf(name, sizeof name, "snap%d", w->n_snapshots++);
    run_copy(w->out, path(name));
}

static void on_line(void *user, fv_report_level level, const char *line) {
    watch *w = user;
    (void)level;
    w->n_lines++;
    strncat(w->text, line, sizeof w->text - strlen(w->text) - 2);
    strcat(w->text, "\n");
    snapshot(w);
}

static void on_step(void *user, const fv_report_step *step) {
    watch *w = user;
    if (strncmp(step->label, "Train", 5) == 0) w->n_steps++;
    snapshot(w);
}

static bool on_stop(void *user) {
    const watch *w = user;
    return w->stop_after > 0 && w->n_steps >= w->stop_after;
}

static fv_status run_watched(watch *w, const char *out, const char *const options[]) {
    fv_settings settings;
    fv_trainer *trainer = NULL;
    const fv_report report = {.user = w, .line = on_line, .step = on_step, .stop = on_stop};
    char own[128]; /* path() reuses its memory */

    snprintf(own, sizeof own, "%s", out);
    settings_make(&settings, options);
    settings.out = w->out = own;
    fv_status status = fv_trainer_create(&settings, &report, &trainer);
    if (status == FV_OK) status = fv_trainer_run(trainer);
    if (status == FV_OK) w->result = *fv_trainer_result(trainer);
    fv_trainer_destroy(trainer);
    fv_settings_destroy(&settings);
    return status;
}

static fv_status run(const char *out, const char *const options[]) {
    watch w = {0};
    return run_watched(&w, out, options);
}

#define OK(status) cr_assert_eq((status), FV_OK, "%s", fv_error_message())

static void same(const char *expected, const char *actual, bool extra) {
    const char *difference = run_difference(expected, actual, extra);
    cr_assert_null(difference, "%s", difference);
}

static void same_file(const char *a, const char *b) {
    char command[512];
    snprintf(command, sizeof command, "cmp '%s' '%s'", a, b);
    cr_assert_eq(system(command), 0);
}

/* ---- the result does not depend on how it is computed ---- */

Test(train_trainer, bits_depend_on_neither_threads_nor_workers_nor_split) {
    static const char *const ways[][4] = {{"batch_size=8", "grad_accum_steps=1", "workers=0"},
                                          {"batch_size=4", "grad_accum_steps=2", "workers=3"},
                                          {"batch_size=1", "grad_accum_steps=8", "workers=1"}};
    /* 257 tokens: four samples would not fill a chunk of eight, two chunks make a batch of 16 */
    const char *const kwargs =
        "model_kwargs={patch_size: 2, embed_dim: 16, num_heads: 2, depth: 1}";

    for (int i = 0; i < 3; i++) {
        char name[16];
        snprintf(name, sizeof name, "run%d", i);
        fv_threads_set(i == 0 ? 1 : 2);
        OK(run(path(name),
               OPTIONS(kwargs, ways[i][0], ways[i][1], ways[i][2], "max_steps=2", "epochs=1")));
        char file[64];
        snprintf(file, sizeof file, "%s/last/model.safetensors", name);
        same_file(path("run0/last/model.safetensors"), path(file));
        snprintf(file, sizeof file, "%s/last/trainer.json", name);
        same_file(path("run0/last/trainer.json"), path(file));
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
    watch w = {0};

    OK(run_watched(&w, path("run"), OPTIONS("epochs=2")));
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char name[64];
        snprintf(name, sizeof name, "run/%s", files[i]);
        cr_expect(fv_file_exists(path(name)), "%s", files[i]);
    }
    cr_assert_eq(w.result.epoch, 1);
    cr_assert_eq(w.result.step, 10);
    cr_assert(w.result.evaluated);
    cr_assert_eq(w.n_steps, 10);
    cr_assert_leq(w.n_lines, 12);

    uint8_t *json; /* names of classes travel with the weights */
    size_t n;
    OK(fv_file_read(path("run/last/config.json"), 1 << 20, &json, &n));
    cr_assert(strstr((char *)json, "label_names"));
    cr_assert(strstr((char *)json, fv_synth_class_name(0)));
    cr_assert_null(strstr((char *)json, folder), "no paths in a checkpoint");
    fv_free(json);
}

Test(train_trainer, keeps_the_newest_and_the_best) {
    OK(run(path("run"), OPTIONS("epochs=4", "checkpoint_hist=2", "checkpoint_steps=2")));
    cr_assert_not(fv_folder_exists(path("run/checkpoint-1")) &&
                  fv_folder_exists(path("run/checkpoint-0")));
    cr_assert_not(fv_folder_exists(path("run/checkpoint-2-12")));
    cr_assert(fv_folder_exists(path("run/checkpoint-3")));
    cr_assert(fv_folder_exists(path("run/checkpoint-3-18")));
    cr_assert(fv_file_exists(path("run/best/model.safetensors")));
}

/* ---- resuming ---- */

Test(train_trainer, goes_on_after_an_interruption_at_every_step) {
    OK(run(path("whole"), OPTIONS("workers=0")));
    for (int stop = 1; stop <= 10; stop++) {
        watch w = {.stop_after = stop};
        const fv_status status = run_watched(&w, path("run"), OPTIONS("workers=0"));
        cr_assert_eq(status, FV_ERR_INTERRUPTED, "stop %d: %s", stop, fv_error_message());
        w = (watch){0};
        OK(run_watched(&w, path("run"), OPTIONS("resume=auto", "workers=1")));
        cr_assert_eq(w.n_steps, 10 - stop);
        uint8_t *bytes; /* the number of loader threads is all that may differ */
        size_t n;
        OK(fv_file_read(path("whole/config.yaml"), 1 << 20, &bytes, &n));
        OK(fv_file_write(path("run/config.yaml"), bytes, n));
        fv_free(bytes);
        same(path("whole"), path("run"), true);
        run_remove(path("run"));
    }
}

Test(train_trainer, goes_on_after_a_kill_at_any_report) {
    const char *const options[] = {"batch_size=13", "checkpoint_steps=2", "checkpoint_hist=2",
                                   NULL};
    watch w = {.snapshots = true};

    OK(run_watched(&w, path("whole"), options));
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
            path(snap),
            i % 3 == 0   ? "rm -f best"
            : i % 3 == 1 ? "rm -f last"
                         : "true");
        cr_assert_eq(system(command), 0);
        OK(run(path(snap),
               OPTIONS("batch_size=13", "checkpoint_steps=2", "checkpoint_hist=2", "resume=auto")));
        same(path("whole"), path(snap), false);
        run_remove(path(snap));
    }
}

Test(train_trainer, a_longer_run_equals_one_that_never_stopped) {
    OK(run(path("whole"), OPTIONS("max_steps=8")));
    OK(run(path("run"), OPTIONS("max_steps=3")));
    cr_assert(fv_file_exists(path("run/best/model.safetensors")));
    OK(run(path("run"), OPTIONS("max_steps=8", "resume=auto")));
    same(path("whole"), path("run"), true);
}

Test(train_trainer, another_checkpoint_and_another_folder) {
    OK(run(path("whole"), OPTIONS("workers=0")));
    OK(run(path("part"), OPTIONS("checkpoint_steps=2")));
    char from[128];
    snprintf(from, sizeof from, "resume=%s", path("part/checkpoint-0-4"));
    OK(run(path("other"), OPTIONS(from)));
    same_file(path("whole/last/model.safetensors"), path("other/last/model.safetensors"));
    same_file(path("whole/last/trainer.json"), path("other/last/trainer.json"));
    OK(run(path("part"), OPTIONS(from, "checkpoint_steps=2")));
    same_file(path("whole/last/model.safetensors"), path("part/last/model.safetensors"));
}

Test(train_trainer, a_finished_run_is_left_alone) {
    watch w = {0};

    OK(run(path("run"), OPTIONS("epochs=1")));
    run_copy(path("run"), path("copy"));
    OK(run_watched(&w, path("run"), OPTIONS("epochs=1", "resume=auto")));
    cr_assert_eq(w.n_steps, 0);
    cr_assert(w.result.already_finished);
    cr_assert_eq(w.result.step, 5);
    cr_assert(strstr(w.text, "nothing to do"), "%s", w.text);
    same(path("copy"), path("run"), false);
}

Test(train_trainer, refuses_what_would_change_the_result) {
    static const char *const changes[][2] = {{"lr=0.003", "lr"},
                                             {"batch_size=4", "effective_batch"},
                                             {"seed=43", "seed"},
                                             {"hflip=0", "hflip"},
                                             {"model_kwargs={depth: 1}", "model_kwargs"},
                                             {"model=mini_deit_distilled", "model"},
                                             {"epochs=3", "epochs"}};

    OK(run(path("run"), OPTIONS("max_steps=2")));
    run_copy(path("run"), path("copy"));
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        const fv_status status = run(path("run"), OPTIONS("resume=auto", changes[i][0]));
        cr_assert_eq(status, FV_ERR_CONFIG, "%s: %s", changes[i][0], fv_error_message());
        cr_assert(strstr(fv_error_message(), changes[i][1]), "%s", fv_error_message());
    }
    same(path("copy"), path("run"), false);
    /* Data of other content is another training. */
    run_remove(path("data"));
    const fv_synth_config other = {
        .n_classes = 3, .size_px = 32, .n_train = 43, .n_val = 12, .seed = 2};
    OK(fv_synth_write(path("data"), &other, false, NULL));
    cr_assert_eq(run(path("run"), OPTIONS("resume=auto")), FV_ERR_CONFIG);
    cr_assert(strstr(fv_error_message(), "training data"), "%s", fv_error_message());
}

Test(train_trainer, refuses_a_folder_that_holds_a_run) {
    OK(run(path("run"), OPTIONS("max_steps=1")));
    cr_assert_eq(run(path("run"), OPTIONS("max_steps=1")), FV_ERR_IO);
    cr_assert(strstr(fv_error_message(), "--resume auto"), "%s", fv_error_message());
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

Test(train_trainer, averages_do_not_change_the_training) {
    char text[4096];
    watch w = {0};

    OK(run(path("plain"), OPTIONS("epochs=2")));
    OK(run_watched(&w, path("run"), OPTIONS("model_ema=true", "model_ema_decay=0.8")));
    same_file(path("plain/last/model.safetensors"), path("run/last/model.safetensors"));
    same_file(path("plain/last/optimizer.safetensors"), path("run/last/optimizer.safetensors"));
    cr_assert(w.result.averaged);
    cr_assert_neq(w.result.eval_ema_loss, w.result.eval_loss);
    cr_assert(fv_file_exists(path("run/best/model_ema.safetensors")));
    cr_assert_not(fv_file_exists(path("plain/last/model_ema.safetensors")));
    read_file(path("run/summary.csv"), text, sizeof text);
    cr_assert(strstr(text, ",grad_norm,eval_ema_loss,eval_ema_top1,eval_ema_top5,time_"), "%s",
              text);
    read_file(path("plain/summary.csv"), text, sizeof text);
    cr_assert_null(strstr(text, "ema"));
}

Test(train_trainer, averages_go_on_after_an_interruption_and_on_any_threads) {
    const char *const ema = "model_ema=true", *const warmup = "model_ema_warmup=true";

    fv_threads_set(1);
    OK(run(path("whole"), OPTIONS(ema, warmup, "workers=0")));
    for (int stop = 1; stop <= 9; stop += 4) {
        watch w = {.stop_after = stop};
        fv_threads_set(1);
        cr_assert_eq(run_watched(&w, path("run"), OPTIONS(ema, warmup, "workers=0")),
                     FV_ERR_INTERRUPTED);
        fv_threads_set(3);
        OK(run(path("run"), OPTIONS(ema, warmup, "workers=0", "resume=auto")));
        same(path("whole"), path("run"), true);
        run_remove(path("run"));
    }
}

Test(train_trainer, averages_cannot_begin_in_the_middle) {
    OK(run(path("run"), OPTIONS("max_steps=2")));
    cr_assert_eq(run(path("run"), OPTIONS("resume=auto", "model_ema=true")), FV_ERR_CONFIG);
    cr_assert(strstr(fv_error_message(), "model_ema"), "%s", fv_error_message());

    OK(run(path("ema"), OPTIONS("max_steps=2", "model_ema=true")));
    cr_assert_eq(unlink(path("ema/checkpoint-0-2/model_ema.safetensors")), 0);
    cr_assert_eq(run(path("ema"), OPTIONS("resume=auto", "model_ema=true")), FV_ERR_NOT_FOUND);
    cr_assert(strstr(fv_error_message(), "model_ema.safetensors"), "%s", fv_error_message());
}

/* ---- failures ---- */

Test(train_trainer, a_step_that_is_not_finite_stops_and_leaves_no_trace) {
    const char *const options[] = {"lr=1e30", "clip_grad=0", "checkpoint_steps=1", NULL};

    cr_assert_eq(run(path("run"), options), FV_ERR_NONFINITE);
    cr_assert_eq(strncmp(fv_error_message(), "step 2: ", 8), 0, "%s", fv_error_message());
    cr_assert(strstr(fv_error_message(), "non-finite"), "%s", fv_error_message());
    cr_assert(fv_file_exists(path("run/last/model.safetensors")));
    cr_assert_not(fv_folder_exists(path("run/checkpoint-0-2")));
}

static void fails_before_the_start(const char *out, const char *const options[], fv_status expected,
                                   const char *part) {
    watch w = {0};
    const fv_status status = run_watched(&w, out, options);
    cr_assert_eq(status, expected, "%s", fv_error_message());
    cr_assert(strstr(fv_error_message(), part), "%s", fv_error_message());
    cr_assert_eq(w.n_steps, 0);
}

Test(train_trainer, finds_bad_data_and_folders_before_the_start) {
    char command[256];

    fails_before_the_start(path("run"), OPTIONS("data_dir=/nowhere"), FV_ERR_NOT_FOUND, "nowhere");
    fails_before_the_start(path("run"), OPTIONS("batch_size=64"), FV_ERR_CONFIG, "40 training");
    fails_before_the_start(path("run"), OPTIONS("model=mini_vitt"), FV_ERR_CONFIG, "mini_vit");
    fails_before_the_start(path("run"), OPTIONS("num_classes=5"), FV_ERR_CONFIG, "3 classes");
    fails_before_the_start(path("run"), OPTIONS("resume=/nowhere"), FV_ERR_NOT_FOUND, "nowhere");
    cr_assert_not(fv_folder_exists(path("run")));
    OK(fv_file_write(path("file"), "x", 1));
    fails_before_the_start(path("file/run"), OPTIONS("epochs=1"), FV_ERR_IO, "file");

    snprintf(command, sizeof command, "f=$(find '%s' -name '*.png' | head -1); : > $f",
             path("data/train"));
    cr_assert_eq(system(command), 0);
    fails_before_the_start(path("run"), OPTIONS("epochs=1"), FV_ERR_FORMAT, "empty");
}

Test(train_trainer, skips_bad_images_when_told_to) {
    char command[256];
    watch w = {0};

    snprintf(command, sizeof command, "f=$(find '%s' -name '*.png' | head -1); truncate -s 300 $f",
             path("data/train"));
    cr_assert_eq(system(command), 0);
    cr_assert_neq(run(path("strict"), OPTIONS("epochs=1")), FV_OK);
    OK(run_watched(&w, path("run"), OPTIONS("epochs=1", "max_bad=1")));
    cr_assert_eq(w.n_steps, 5);
}
