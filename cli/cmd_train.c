/* cmd_train.c - fovea train: trains a model, or goes on with a run that was stopped. */
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/print.h"
#include "cli/progress.h"
#include "core/file.h"
#include "core/option.h"
#include "core/parallel.h"
#include "train/trainer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* config.yaml of the run that --resume means, in its folder or in the one above a checkpoint; NULL
 * when there is none. */
static const char *find_config(const fv_settings *s, fv_arena *arena) {
    const bool automatic = strcmp(s->resume, "auto") == 0;
    const char *folder = automatic ? s->out : s->resume;

    for (int i = 0; folder[0] && i < (automatic ? 1 : 2); i++) {
        char path[4096];
        const char *above = i ? "../" : "";
        if (snprintf(path, sizeof path, "%s/%sconfig.yaml", folder, above) >= (int)sizeof path)
            return NULL;
        if (fv_file_exists(path)) return fv_arena_strdup(arena, path);
    }
    return NULL;
}

/* The options that a flag gave, as a map. */
static fv_value *given_options(const fv_settings *s, fv_arena *arena) {
    const fv_value *all = fv_settings_tree(s, FV_CMD_TRAIN, arena);
    fv_value *given = fv_value_new(arena, FV_VALUE_MAP);

    for (const fv_value *v = all ? all->first : NULL; v; v = v->next) {
        const fv_option *option = fv_option_find(v->key);
        const bool *flag = option ? (const bool *)((const char *)s + option->given) : NULL;
        if (flag && *flag) fv_value_set(arena, given, v->key, fv_value_copy(arena, v));
    }
    return all && !all->incomplete && given && !given->incomplete ? given : NULL;
}

/* A run goes on with its own settings, so that only what changes needs to be said again. */
static fv_status resumed_settings(const fv_settings *flags, const char *path, fv_arena *arena,
                                  fv_settings *out) {
    const fv_value *given = given_options(flags, arena);

    if (!given) return FV_ERR_NOMEM;
    out->color_jitter = 0.0; /* of runs from before the option, which do not name it */
    FV_TRY(fv_settings_load(out, path, FV_CMD_TRAIN));
    FV_TRY(fv_settings_merge(out, given, FV_CMD_TRAIN));
    out->resume = flags->resume;
    out->json = flags->json;
    out->color = flags->color;
    fv_threads_set((int)out->threads);
    return FV_OK;
}

/* output/20240131-235959-vit_tiny_patch16_224 */
static fv_status default_out(fv_settings *s, fv_arena *arena) {
    char when[32];
    struct tm parts;
    const time_t t = time(NULL);

    localtime_r(&t, &parts);
    strftime(when, sizeof when, "%Y%m%d-%H%M%S", &parts);
    s->out = fv_arena_printf(arena, "output/%s-%s", when, s->model);
    return s->out ? FV_OK : FV_ERR_NOMEM;
}

static fv_value *real_or_null(fv_arena *arena, bool there, double v) {
    return there && isfinite(v) ? fv_value_real(arena, v) : fv_value_new(arena, FV_VALUE_NULL);
}

static fv_status print_result(const fv_train_result *r, bool json, fv_arena *arena) {
    if (!json) {
        fv_print("epoch %lld, step %lld: train_loss %.4f", (long long)r->epoch, (long long)r->step,
                 r->train_loss);
        if (r->evaluated)
            fv_print(", eval_loss %.4f, eval_top1 %.2f, eval_top5 %.2f", r->eval_loss, r->eval_top1,
                     r->eval_top5);
        if (r->averaged)
            fv_print("\naveraged weights: eval_loss %.4f, eval_top1 %.2f, eval_top5 %.2f",
                     r->eval_ema_loss, r->eval_ema_top1, r->eval_ema_top5);
        fv_print("\n%s\n", r->out);
        return FV_OK;
    }
    fv_value *map = fv_value_new(arena, FV_VALUE_MAP);
    fv_value_set(arena, map, "epoch", fv_value_int(arena, r->epoch));
    fv_value_set(arena, map, "step", fv_value_int(arena, r->step));
    fv_value_set(arena, map, "train_loss", real_or_null(arena, true, r->train_loss));
    fv_value_set(arena, map, "eval_loss", real_or_null(arena, r->evaluated, r->eval_loss));
    fv_value_set(arena, map, "eval_top1", real_or_null(arena, r->evaluated, r->eval_top1));
    fv_value_set(arena, map, "eval_top5", real_or_null(arena, r->evaluated, r->eval_top5));
    fv_value_set(arena, map, "eval_ema_loss", real_or_null(arena, r->averaged, r->eval_ema_loss));
    fv_value_set(arena, map, "eval_ema_top1", real_or_null(arena, r->averaged, r->eval_ema_top1));
    fv_value_set(arena, map, "eval_ema_top5", real_or_null(arena, r->averaged, r->eval_ema_top5));
    fv_value_set(arena, map, "images_per_second", fv_value_real(arena, r->images_per_second));
    fv_value_set(arena, map, "already_finished", fv_value_bool(arena, r->already_finished));
    fv_value_set(arena, map, "out", fv_value_string(arena, r->out));
    return fv_print_json(map);
}

static fv_status train(const fv_settings *settings, fv_arena *arena) {
    fv_trainer *trainer = NULL;
    fv_progress progress;

    fv_interrupt_install();
    fv_progress_init(&progress, settings->color);
    const fv_report report = fv_progress_report(&progress);
    fv_status status = fv_trainer_create(settings, &report, &trainer);
    if (status == FV_OK) status = fv_trainer_run(trainer);
    fv_progress_end(&progress);
    if (status == FV_OK) status = print_result(fv_trainer_result(trainer), settings->json, arena);
    fv_trainer_destroy(trainer);
    return status;
}

static fv_status run(const fv_args *args) {
    const fv_settings *flags = &args->settings;
    fv_settings settings = *flags, resumed;
    fv_arena arena = {0};
    fv_status status = FV_OK;

    fv_settings_init(&resumed);
    const char *config =
        flags->resume[0] && !flags->given.config ? find_config(flags, &arena) : NULL;
    if (config) {
        status = resumed_settings(flags, config, &arena, &resumed);
        settings = resumed;
    }
    const bool named = settings.out[0] || settings.resume[0];
    if (status == FV_OK && !named && settings.model[0]) status = default_out(&settings, &arena);
    if (status == FV_OK) status = train(&settings, &arena);
    fv_settings_destroy(&resumed);
    fv_arena_destroy(&arena);
    return status;
}

const fv_command fv_command_train = {
    .name = "train",
    .summary = "train a model, or go on with a run",
    .usage = "[-c FILE] --data-dir DIR --model NAME [options]",
    .details =
        "The run folder (--out, default output/<time>-<model>) gets config.yaml, run.json,\n"
        "summary.csv, log.jsonl and checkpoints, with the links last and best.\n"
        "--resume auto goes on with the run in --out, or starts it; --resume FOLDER with the\n"
        "given run or checkpoint.  A resumed run takes its settings from its config.yaml; flags\n"
        "may change what moves no result.  Ctrl-C finishes the step and writes a checkpoint.",
    .example = "fovea train --data-dir data --model vit_tiny_patch16_224 --epochs 10 --out run\n"
               "fovea train --resume auto --out run",
    .options = FV_CMD_TRAIN,
    .max_args = 0,
    .run = run,
};
