#include "tests/support/trainer_run.h"

#include "core/option.h"
#include "data/synth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char folder[64], paths[8][128];

const char *run_path(const char *name) {
    static int next;
    char *p = paths[next++ % 8];
    snprintf(p, sizeof paths[0], "%s/%s", folder, name);
    return p;
}

const char *run_folder(void) { return folder; }

/* Setting up: a failure is nobody's test. */
static void need(bool good) {
    if (good) return;
    fprintf(stderr, "%s\n", fv_error_message());
    abort();
}

void run_enter(void) {
    const fv_synth_config set = {
        .n_classes = 3, .size_px = 32, .n_train = 40, .n_val = 12, .seed = 1};

    strcpy(folder, "/tmp/fovea_trainer_XXXXXX");
    need(mkdtemp(folder) != NULL);
    need(fv_synth_write(run_path("data"), &set, false, NULL) == FV_OK);
}

void run_leave(void) { run_remove(folder); }

static bool names_model(const char *const options[]) {
    for (int i = 0; options[i]; i++)
        if (strncmp(options[i], "model=", 6) == 0) return true;
    return false;
}

static void settings_make(fv_settings *s, const char *const options[]) {
    static const char *const vit[] = {
        "model=mini_vit", "model_kwargs={patch_size: 8, embed_dim: 16, num_heads: 2}", NULL};
    static const char *const none[] = {NULL};
    static const char *const base[] = {
        "epochs=2",      "batch_size=8",   "warmup_epochs=0", "lr=0.002",      "drop_path=0.2",
        "clip_grad=1.0", "log_interval=2", "workers=0",       "precision=f32", NULL};
    const char *const *lists[] = {names_model(options) ? none : vit, base, options};

    fv_settings_init(s);
    need(fv_settings_set(s, "data_dir", run_path("data"), "test", FV_CMD_TRAIN) == FV_OK);
    for (int k = 0; k < 3; k++)
        for (int i = 0; lists[k][i]; i++) {
            char key[64];
            const char *value = strchr(lists[k][i], '=') + 1;
            snprintf(key, sizeof key, "%.*s", (int)(value - lists[k][i] - 1), lists[k][i]);
            need(fv_settings_set(s, key, value, "test", FV_CMD_TRAIN) == FV_OK);
        }
}

static void snapshot(run_watch *w) {
    char name[32];
    if (!w->snapshots) return;
    snprintf(name, sizeof name, "snap%d", w->n_snapshots++);
    run_copy(w->out, run_path(name));
}

static void on_line(void *user, fv_report_level level, const char *line) {
    run_watch *w = user;
    (void)level;
    w->n_lines++;
    strncat(w->text, line, sizeof w->text - strlen(w->text) - 2);
    strcat(w->text, "\n");
    snapshot(w);
}

static void on_step(void *user, const fv_report_step *step) {
    run_watch *w = user;
    if (strncmp(step->label, "Train", 5) == 0) w->n_steps++;
    snapshot(w);
}

static bool on_stop(void *user) {
    const run_watch *w = user;
    return w->stop_after > 0 && w->n_steps >= w->stop_after;
}

fv_status run_train_watched(run_watch *w, const char *out, const char *const options[]) {
    fv_settings settings;
    fv_trainer *trainer = NULL;
    const fv_report report = {.user = w, .line = on_line, .step = on_step, .stop = on_stop};
    char own[128]; /* run_path() reuses its memory */

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

fv_status run_train(const char *out, const char *const options[]) {
    run_watch w = {0};
    return run_train_watched(&w, out, options);
}
