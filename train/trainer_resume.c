/* trainer_resume.c - where a run lives, and how it goes on. */
#include "core/alloc.h"
#include "core/file.h"
#include "core/json.h"
#include "core/option.h"
#include "core/safetensors.h"
#include "data/subset.h"
#include "train/trainer_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TRAINER_BYTES ((size_t)256 << 20)

static bool holds(const char *folder, const char *name, fv_arena *arena) {
    const char *path = fv_arena_printf(arena, "%s/%s", folder, name);
    return path && fv_file_exists(path);
}

static bool holds_run(const char *folder, fv_arena *arena) {
    fv_checkpoint_list list = {0};

    if (!fv_folder_exists(folder)) return false;
    return holds(folder, FV_RUN_INFO, arena) || holds(folder, FV_RUN_SUMMARY, arena) ||
           (fv_checkpoint_list_run(folder, arena, &list) == FV_OK && list.count > 0);
}

static fv_status refuse_run(fv_trainer *t) {
    if (!holds_run(t->out, &t->arena)) return FV_OK;
    return FV_FAIL(
        FV_ERR_IO,
        "%s already holds a run: add --resume auto to continue it, or choose another --out",
        t->out);
}

/* The folder above, when it is a run's. */
static const char *run_of(const char *checkpoint, fv_arena *arena) {
    char *path = realpath(checkpoint, NULL);
    char *slash = path ? strrchr(path, '/') : NULL;
    const char *run = NULL;

    if (slash && slash != path) {
        *slash = '\0';
        if (holds_run(path, arena)) run = fv_arena_strdup(arena, path);
    }
    free(path);
    return run;
}

static bool same_folder(const char *a, const char *b) {
    char *pa = realpath(a, NULL), *pb = realpath(b, NULL);
    const bool same = pa && pb && strcmp(pa, pb) == 0;

    free(pa);
    free(pb);
    return same;
}

/* What lies in the folder is looked at by one process at a time. */
static fv_status claim_existing(fv_trainer *t) {
    if (t->claim >= 0 || !fv_folder_exists(t->out)) return FV_OK;
    return fv_folder_claim(t->out, &t->claim);
}

/* --resume FOLDER: the run that holds it goes on there, or in another --out. */
static fv_status find_named(fv_trainer *t) {
    const char *wanted = t->settings->resume;

    FV_TRY(fv_checkpoint_resolve(wanted, &t->arena, &t->resumed));
    const char *run = t->resumed.folder ? run_of(t->resumed.folder, &t->arena) : NULL;
    if (run && holds_run(wanted, &t->arena)) run = wanted; /* as the user spells it */
    if (!t->out[0] && !run)
        return FV_FAIL(FV_ERR_CONFIG, "--resume %s is not inside a run folder: add --out", wanted);
    if (!t->out[0]) t->out = run;
    FV_TRY(claim_existing(t));
    if (!run || !same_folder(run, t->out)) return refuse_run(t);
    FV_TRY(fv_checkpoint_recover(t->out));
    return fv_checkpoint_resolve(wanted, &t->arena, &t->resumed);
}

static fv_status find_automatic(fv_trainer *t) {
    fv_checkpoint_list list = {0};

    if (!fv_folder_exists(t->out)) return FV_OK;
    FV_TRY(claim_existing(t));
    FV_TRY(fv_checkpoint_recover(t->out));
    FV_TRY(fv_checkpoint_list_run(t->out, &t->arena, &list));
    return list.count ? fv_checkpoint_resolve(t->out, &t->arena, &t->resumed) : FV_OK;
}

/* A checkpoint that cannot be read is told before anything else is asked for. */
static fv_status check_header(const fv_trainer *t) {
    fv_safetensors *st = NULL;

    if (!t->resumed.weights) return FV_OK;
    const fv_status status = fv_safetensors_open(t->resumed.weights, &st);
    fv_safetensors_close(st);
    if (status != FV_OK) return status;
    if (t->resumed.folder && t->resumed.trainer && t->resumed.optimizer) return FV_OK;
    return FV_FAIL(FV_ERR_NOT_FOUND,
                   "%s has weights but no " FV_CHECKPOINT_TRAINER " and " FV_CHECKPOINT_OPTIMIZER
                   ": it cannot be resumed; --initial-checkpoint starts a new run from it",
                   t->settings->resume);
}

fv_status fv_trainer_find_run(fv_trainer *t) {
    const fv_settings *s = t->settings;

    t->out = s->out;
    const bool automatic = strcmp(s->resume, "auto") == 0;
    if (!t->out[0] && (!s->resume[0] || automatic))
        return FV_FAIL(FV_ERR_CONFIG, "%s needs --out, the run folder",
                       automatic ? "--resume auto" : "train");
    if (!s->resume[0]) {
        FV_TRY(claim_existing(t));
        return refuse_run(t);
    }
    FV_TRY(automatic ? find_automatic(t) : find_named(t));
    return check_header(t);
}

fv_status fv_trainer_claim_run(fv_trainer *t) {
    if (t->claim >= 0) return FV_OK;
    FV_TRY(fv_folder_create(t->out));
    FV_TRY(fv_folder_claim(t->out, &t->claim));
    return refuse_run(t); /* that another process has made since */
}

/* ---- settings that results depend on ---- */

/* What may change when a run goes on: it moves no bit of the result, or is compared otherwise. */
static const char *const free_settings[] = {"out",
                                            "threads",
                                            "workers",
                                            "max_steps",
                                            "log_interval",
                                            "val_interval",
                                            "checkpoint_steps",
                                            "checkpoint_hist",
                                            "batch_size",
                                            "data_dir",
                                            "grad_accum_steps",
                                            "validation_batch_size",
                                            "max_bad",
                                            "precision",
                                            "initial_checkpoint",
                                            "class_map",
                                            "subset",
                                            "grad_checkpointing",
                                            "mem_limit"};

static bool is_free(const char *key) {
    for (size_t i = 0; i < sizeof free_settings / sizeof *free_settings; i++)
        if (strcmp(key, free_settings[i]) == 0) return true;
    return false;
}

static void set_text(fv_arena *arena, fv_value *map, const char *key, const char *text) {
    fv_value_set(arena, map, key, fv_value_string(arena, text));
}

fv_status fv_trainer_freeze(fv_trainer *t) {
    fv_arena *arena = &t->arena;
    const fv_settings *s = t->settings;
    const fv_value *all = fv_settings_tree(s, FV_CMD_TRAIN, arena);
    fv_value *map = fv_value_new(arena, FV_VALUE_MAP);

    if (!all || all->incomplete || !map) return FV_ERR_NOMEM;
    for (const fv_value *v = all->first; v; v = v->next)
        if (!is_free(v->key)) fv_value_set(arena, map, v->key, fv_value_copy(arena, v));
    fv_value_set(arena, map, "num_classes", fv_value_int(arena, t->model->num_classes));
    fv_value_set(arena, map, "img_size", fv_value_int(arena, t->model->input.height));
    fv_value_set(arena, map, "effective_batch", fv_value_int(arena, t->effective_batch));
    if (fv_params_have_buffers(&t->model->params)) /* running statistics are those of passes */
        fv_value_set(arena, map, "images per pass",
                     fv_value_int(arena, fv_stepper_pass_samples(t->stepper)));
    if (!s->subset[0] || fv_subset_is_number(s->subset)) /* what a file leaves tells the hash */
        set_text(arena, map, "subset", s->subset);
    set_text(arena, map, "precision", t->bf16 ? "bf16" : "f32");
    set_text(arena, map, "training data", fv_arena_printf(arena, "%016" PRIx64, t->train->hash));
    set_text(arena, map, "validation data", fv_arena_printf(arena, "%016" PRIx64, t->val->hash));
    t->frozen = map;
    return map->incomplete ? FV_ERR_NOMEM : FV_OK;
}

/* A new option of a later version is not in old files: its default then did what was done before. */
static fv_status compare_settings(const fv_trainer *t, const fv_value *stored, fv_arena *arena) {
    for (const fv_value *v = t->frozen->first; v; v = v->next) {
        const fv_value *old = fv_value_find(stored, v->key);
        char *now_text = NULL, *old_text = NULL;
        if (!old) continue;
        FV_TRY(fv_json_write(v, FV_JSON_COMPACT, arena, &now_text));
        FV_TRY(fv_json_write(old, FV_JSON_COMPACT, arena, &old_text));
        if (strcmp(now_text, old_text) != 0)
            return FV_FAIL(
                FV_ERR_CONFIG,
                "cannot resume %s: %s was %.200s and is %.200s now; set it back, or start a "
                "new run with another --out",
                t->resumed.folder, v->key, old_text, now_text);
    }
    return FV_OK;
}

/* ---- loading ---- */

static fv_status check_state(const fv_trainer *t) {
    const fv_run_state *s = &t->state;
    const int64_t updates = t->updates_per_epoch;

    if (s->epoch_update <= updates && s->step == s->epoch * updates + s->epoch_update &&
        s->step == fv_optimizer_updates(t->optimizer))
        return FV_OK;
    return FV_FAIL(FV_ERR_FORMAT,
                   "%s: step %lld does not fit epoch %lld of %lld updates and the optimiser's %lld",
                   t->resumed.folder, (long long)s->step, (long long)s->epoch, (long long)updates,
                   (long long)fv_optimizer_updates(t->optimizer));
}

static fv_status load_average(fv_trainer *t) {
    if (!t->ema) return FV_OK;
    if (t->resumed.ema) return fv_ema_load(t->ema, t->resumed.ema);
    return FV_FAIL(FV_ERR_NOT_FOUND,
                   "%s has no averaged weights (" FV_CHECKPOINT_EMA
                   "): its run was trained without --model-ema",
                   t->resumed.folder);
}

/* A run that goes on in another folder takes its past along. */
static fv_status bring_file(const fv_trainer *t, const char *run, const char *name,
                            int64_t *n_bytes, fv_arena *arena) {
    const char *from = run ? fv_arena_printf(arena, "%s/%s", run, name) : NULL;
    const char *to = fv_arena_printf(arena, "%s/%s", t->out, name);
    uint8_t *bytes = NULL;
    size_t n = 0;

    if (!from || !fv_file_exists(from)) {
        *n_bytes = 0;
        return FV_OK;
    }
    if (!to) return FV_ERR_NOMEM;
    FV_TRY(fv_file_read(from, (size_t)1 << 40, &bytes, &n));
    fv_status status = n < (size_t)*n_bytes
                           ? FV_FAIL(FV_ERR_FORMAT, "%s is shorter than its checkpoint says", from)
                           : fv_file_write(to, bytes, (size_t)*n_bytes);
    fv_free(bytes);
    return status;
}

static fv_status bring_logs(fv_trainer *t) {
    fv_run_state *s = &t->state;
    const char *run = run_of(t->resumed.folder, &t->arena);

    if (run && same_folder(run, t->out)) return FV_OK;
    s->final.exists = false;
    FV_TRY(bring_file(t, run, FV_RUN_SUMMARY, &s->summary_bytes, &t->arena));
    return bring_file(t, run, FV_RUN_LOG, &s->log_bytes, &t->arena);
}

fv_status fv_trainer_load(fv_trainer *t) {
    fv_arena scratch = {0};
    fv_safetensors *st = NULL;
    fv_value *map = NULL;

    fv_status status = fv_json_load(t->resumed.trainer, MAX_TRAINER_BYTES, &t->arena, &map);
    if (status != FV_OK) return status;
    status = compare_settings(t, fv_value_find(map, "settings"), &scratch);
    if (status != FV_OK) goto cleanup;
    status = fv_run_state_read(map, &t->arena, &t->state);
    if (status != FV_OK) {
        fv_error_context(status, "%s", t->resumed.trainer);
        goto cleanup;
    }
    status = fv_safetensors_open(t->resumed.weights, &st);
    if (status == FV_OK) status = fv_params_load(&t->model->params, st);
    if (status == FV_OK) status = fv_optimizer_load(t->optimizer, t->resumed.optimizer);
    if (status == FV_OK) status = load_average(t);
    if (status == FV_OK) status = check_state(t);
    if (status == FV_OK) status = bring_logs(t);
    if (status == FV_OK) t->saved_step = t->state.step;
cleanup:
    fv_safetensors_close(st);
    fv_arena_destroy(&scratch);
    return status;
}
