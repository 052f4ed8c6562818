/* trainer_checkpoint.c - what a run writes beside its logs: config.yaml, run.json, checkpoints. */
#include "core/backend/backend.h"
#include "core/file.h"
#include "core/json.h"
#include "core/kernels/kernels.h"
#include "core/option.h"
#include "core/parallel.h"
#include "models/weights.h"
#include "train/trainer_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static fv_status write_json(const char *folder, const char *name, const fv_value *v,
                            fv_arena *arena) {
    char *text = NULL;

    FV_TRY(fv_json_write(v, FV_JSON_INDENT, arena, &text));
    const char *path = fv_arena_printf(arena, "%s/%s", folder, name);
    const char *line = fv_arena_printf(arena, "%s\n", text);
    if (!path || !line) return FV_ERR_NOMEM;
    return fv_file_write(path, line, strlen(line));
}

/* ---- config.yaml, run.json ---- */

/* Folder and resume aside, so that the file describes the run wherever it lies. */
static fv_status write_config(const fv_trainer *t, fv_arena *arena) {
    fv_settings settings = *t->settings;
    char *yaml = NULL;

    settings.out = settings.resume = "";
    FV_TRY(fv_settings_write(&settings, FV_CMD_TRAIN, arena, &yaml));
    const char *path = fv_arena_printf(arena, "%s/" FV_RUN_CONFIG, t->out);
    return path ? fv_file_write(path, yaml, strlen(yaml)) : FV_ERR_NOMEM;
}

static fv_value *split_info(const fv_dataset *set, fv_arena *arena) {
    fv_value *map = fv_value_new(arena, FV_VALUE_MAP);

    fv_value_set(arena, map, "count", fv_value_int(arena, set->n_samples));
    fv_value_set(arena, map, "hash",
                 fv_value_string(arena, fv_arena_printf(arena, "%016" PRIx64, set->hash)));
    return map;
}

static fv_status write_run(const fv_trainer *t, fv_arena *arena) {
    fv_value *run = fv_value_new(arena, FV_VALUE_MAP);
    fv_value *data = fv_value_new(arena, FV_VALUE_MAP);
    fv_value *classes = fv_value_new(arena, FV_VALUE_LIST);
    const struct {
        const char *key, *text;
    } texts[] = {{"version", FOVEA_VERSION},
                 {"cpu", fv_cpu_model()},
                 {"isa", fv_cpu_isa()},
                 {"backend", fv_backend()->name},
                 {"precision", t->bf16 ? "bf16" : "f32"},
                 {"model", t->model->name}};

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        fv_value_set(arena, run, texts[i].key, fv_value_string(arena, texts[i].text));
    fv_value_set(arena, run, "n_parameters",
                 fv_value_int(arena, fv_params_count(&t->model->params)));
    if (t->settings->freeze[0])
        fv_value_set(arena, run, "n_frozen",
                     fv_value_int(arena, fv_params_frozen(&t->model->params)));
    fv_value_set(arena, run, "threads", fv_value_int(arena, fv_threads()));
    fv_value_set(arena, run, "workers", fv_value_int(arena, t->workers));
    fv_value_set(arena, run, "seed", fv_value_int(arena, t->settings->seed));
    fv_value_set(arena, data, "layout", fv_value_string(arena, t->train->layout));
    fv_value_set(arena, data, "train", split_info(t->train, arena));
    fv_value_set(arena, data, "validation", split_info(t->val, arena));
    fv_value_set(arena, run, "data", data);
    for (int64_t i = 0; i < t->train->n_classes; i++)
        fv_value_add(classes, fv_value_string(arena, t->train->class_names[i]));
    fv_value_set(arena, run, "classes", classes);
    return write_json(t->out, FV_RUN_INFO, run, arena);
}

fv_status fv_trainer_write_info(fv_trainer *t) {
    fv_arena arena = {0};
    fv_status status = FV_OK;

    if (fv_trainer_finished(t)) return FV_OK; /* nothing will change */
    const char *run = fv_arena_printf(&arena, "%s/" FV_RUN_INFO, t->out);
    status = run ? write_config(t, &arena) : FV_ERR_NOMEM;
    if (status == FV_OK && (!t->resumed.folder || !fv_file_exists(run)))
        status = write_run(t, &arena);
    fv_arena_destroy(&arena);
    return status;
}

/* ---- checkpoints ---- */

static fv_value *schedule_value(const fv_trainer *t, fv_arena *arena) {
    const fv_schedule *s = &t->schedule;
    fv_value *map = fv_value_new(arena, FV_VALUE_MAP);

    fv_value_set(arena, map, "kind", fv_value_string(arena, t->settings->sched));
    fv_value_set(arena, map, "unit",
                 fv_value_string(arena, t->settings->sched_on_updates ? "update" : "epoch"));
    fv_value_set(arena, map, "base_lr", fv_value_real(arena, s->base_lr));
    fv_value_set(arena, map, "lr_min", fv_value_real(arena, s->lr_min));
    fv_value_set(arena, map, "t_initial", fv_value_int(arena, s->t_initial));
    fv_value_set(arena, map, "warmup_t", fv_value_int(arena, s->warmup_t));
    fv_value_set(arena, map, "epochs", fv_value_int(arena, t->epochs));
    fv_value_set(arena, map, "updates_per_epoch", fv_value_int(arena, t->updates_per_epoch));
    return map;
}

static fv_status write_files(const fv_trainer *t, const char *folder, fv_arena *arena) {
    const char *optimizer = fv_arena_printf(arena, "%s/" FV_CHECKPOINT_OPTIMIZER, folder);
    const char *ema = fv_arena_printf(arena, "%s/" FV_CHECKPOINT_EMA, folder);

    if (!optimizer || !ema) return FV_ERR_NOMEM;
    FV_TRY(fv_model_save(t->model, t->train->class_names, folder));
    if (t->ema) FV_TRY(fv_ema_save(t->ema, ema));
    FV_TRY(fv_optimizer_save(t->optimizer, optimizer));
    fv_value *trainer = fv_run_state_write(&t->state, arena);
    fv_value_set(arena, trainer, "schedule", schedule_value(t, arena));
    fv_value_set(arena, trainer, "settings", fv_value_copy(arena, t->frozen));
    return write_json(folder, FV_CHECKPOINT_TRAINER, trainer, arena);
}

fv_status fv_trainer_save(fv_trainer *t, fv_trainer_checkpoint what) {
    fv_arena arena = {0};
    fv_checkpoint_writer writer = {0};

    fv_status status = fv_run_log_sync(&t->log);
    if (status == FV_OK)
        status = fv_checkpoint_begin(t->out, what.epoch, what.step, &arena, &writer);
    if (status == FV_OK) status = write_files(t, writer.folder, &arena);
    if (status == FV_OK) status = fv_checkpoint_commit(&writer);
    if (status != FV_OK) {
        fv_checkpoint_abandon(&writer);
        goto cleanup;
    }
    t->saved_step = t->state.step;
    status = fv_checkpoint_link(t->out, "last", writer.name);
    if (status == FV_OK && what.best) status = fv_checkpoint_link(t->out, "best", writer.name);
    if (status == FV_OK && what.prune)
        status = fv_checkpoint_prune(t->out, t->settings->checkpoint_hist);
cleanup:
    if (status != FV_OK) fv_error_context(status, "checkpoint");
    fv_arena_destroy(&arena);
    return status;
}

fv_status fv_trainer_settle(fv_trainer *t) {
    const fv_best *best = &t->state.best;
    char *path = realpath(t->resumed.folder, NULL);
    const char *name = path && strrchr(path, '/') ? strrchr(path, '/') + 1 : NULL;
    const char *here = name ? fv_arena_printf(&t->arena, "%s/%s", t->out, name) : NULL;
    fv_status status = FV_OK;

    if (!here || !fv_folder_exists(here)) goto cleanup; /* goes on in another folder */
    status = fv_checkpoint_link(t->out, "last", name);
    const char *best_here =
        best->exists ? fv_arena_printf(&t->arena, "%s/%s", t->out, best->checkpoint) : NULL;
    if (status == FV_OK && best_here && !t->state.final.exists && fv_folder_exists(best_here))
        status = fv_checkpoint_link(t->out, "best", best->checkpoint);
    if (status == FV_OK) status = fv_checkpoint_prune(t->out, t->settings->checkpoint_hist);
cleanup:
    free(path);
    return status;
}
