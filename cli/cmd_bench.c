/* cmd_bench.c - fovea bench KIND: how fast something is on this machine. */
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/print.h"
#include "cli/progress.h"
#include "core/suggest.h"
#include "train/bench/bench_data.h"
#include "train/bench/bench_explain.h"
#include "train/bench/bench_infer.h"
#include "train/bench/bench_ops.h"
#include "train/bench/bench_train.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct bench_kind {
    const char *name;
    bool timm; /* its benchmark.py measures that too */
    fv_status (*run)(const fv_settings *settings, const fv_report *report, fv_arena *arena,
                     fv_value *out);
} bench_kind;

static const bench_kind kinds[] = {{"train", true, fv_bench_train},
                                   {"infer", true, fv_bench_infer},
                                   {"data", false, fv_bench_data},
                                   {"ops", false, fv_bench_ops},
                                   {"explain", false, fv_bench_explain}};

#define KINDS ((int)(sizeof kinds / sizeof *kinds))

static fv_status find_kind(const char *name, const bench_kind **out) {
    const char *names[KINDS + 1] = {NULL};
    char hint[FV_SUGGEST_TEXT];

    for (int i = 0; i < KINDS; i++) {
        names[i] = kinds[i].name;
        if (strcmp(name, kinds[i].name) != 0) continue;
        *out = &kinds[i];
        return FV_OK;
    }
    return FV_FAIL(FV_ERR_CONFIG, "unknown bench '%.80s'%s (see fovea bench --help)", name,
                   fv_suggest_text(name, names, hint));
}

static fv_status check(const fv_settings *s, const bench_kind *kind) {
    if (s->json && s->csv)
        return FV_FAIL(FV_ERR_CONFIG, "--json and --csv: the result has one form");
    if (s->profile && kind->run != fv_bench_train)
        return FV_FAIL(FV_ERR_CONFIG, "--profile: only bench train takes it (see bench ops)");
    if ((s->mem_limit[0] || s->grad_checkpointing) && kind->run != fv_bench_train &&
        kind->run != fv_bench_ops)
        return FV_FAIL(FV_ERR_CONFIG,
                       "--mem-limit and --grad-checkpointing: only bench train and ops take them");
    if (s->profile && s->csv)
        return FV_FAIL(FV_ERR_CONFIG, "--profile and --csv: bench ops --csv writes its rows");
    return FV_OK;
}

/* A result as a row of the tables that timm's benchmark.py writes; what they do not have follows.  A column that
 * starts with _ has the kind before it. */
static const struct timm_column {
    const char *name, *key;
    double unit;
    int digits; /* behind the point, as timm rounds them */
} timm_columns[] = {{"model", "model", 0.0, 0},
                    {"_samples_per_sec", "images_per_second", 1.0, 2},
                    {"_step_time", "step_seconds", 1e-3, 3},
                    {"_batch_size", "batch_size", 0.0, 0},
                    {"_img_size", "img_size", 0.0, 0},
                    {"_gmacs", "gmacs", 1.0, 2},
                    {"_macts", "activations", 1e6, 2},
                    {"param_count", "params", 1e6, 2}};

#define TIMM_COLUMNS (sizeof timm_columns / sizeof *timm_columns)

static fv_value *timm_row(const fv_value *result, const char *kind, fv_arena *arena) {
    fv_value *row = fv_value_new(arena, FV_VALUE_MAP);

    for (const struct timm_column *c = timm_columns; c < timm_columns + TIMM_COLUMNS; c++) {
        const fv_value *v = fv_value_find(result, c->key);
        const double scale = pow(10.0, c->digits);
        char name[32];
        snprintf(name, sizeof name, "%s%s", c->name[0] == '_' ? kind : "", c->name);
        fv_value_set(arena, row, name,
                     c->unit > 0.0 ? fv_value_real(arena, round(v->real / c->unit * scale) / scale)
                                   : fv_value_copy(arena, v));
    }
    for (const fv_value *v = result->first; v; v = v->next) {
        size_t i = 0;
        while (i < TIMM_COLUMNS && strcmp(timm_columns[i].key, v->key) != 0) i++;
        if (i == TIMM_COLUMNS) fv_value_set(arena, row, v->key, fv_value_copy(arena, v));
    }
    return row;
}

static fv_status print(const fv_settings *s, const bench_kind *kind, const fv_value *result,
                       fv_arena *arena) {
    if (!result || result->incomplete) return FV_ERR_NOMEM;
    if (s->json) return fv_print_json(result);
    if (s->csv) return fv_print_csv(kind->timm ? timm_row(result, kind->name, arena) : result);
    fv_print_map(result);
    return FV_OK;
}

static fv_status run(const fv_args *args) {
    const fv_settings *s = &args->settings;
    const bench_kind *kind = NULL;
    fv_progress progress;
    fv_arena arena = {0};

    FV_TRY(find_kind(args->positional[0], &kind));
    FV_TRY(check(s, kind));
    fv_interrupt_install();
    fv_progress_init(&progress, s->color);
    const fv_report report = fv_progress_report(&progress);
    fv_value *result = fv_value_new(&arena, FV_VALUE_MAP);
    fv_status status = kind->run(s, &report, &arena, result);
    fv_progress_end(&progress);
    if (status == FV_OK) status = print(s, kind, result, &arena);
    fv_arena_destroy(&arena);
    return status;
}

const fv_command fv_command_bench = {
    .name = "bench",
    .summary = "measure the speed of training, inference, loading, explanations",
    .usage = "train|infer|data|ops|explain --model NAME [options]",
    .details =
        "train    a synthetic batch in memory: updates as train makes them, without loading.  The\n"
        "         peak is the best rate of a 2048 x 2048 x 2048 product, measured between the "
        "steps;\n"
        "         --profile adds the rows of ops\n"
        "infer    the same for batches as eval classifies them\n"
        "data     images of --data-dir as train with these options and those of -c loads them\n"
        "ops      a training step op by op, against the rates of products and of memory, and what\n"
        "         its tasks would take on up to --simulate-threads cores (best with --threads 1)\n"
        "explain  the methods of --method on noise images in memory, in turns: seconds per image,\n"
        "         and how many forward passes take as long\n"
        "--csv gives train and infer the columns of timm's benchmark tables, ours behind them",
    .example =
        "fovea bench train --model vit_tiny_patch16_224 --batch-size 32 --json\n"
        "fovea bench infer --model davit_tiny --batch-size 8 --threads 1 --csv\n"
        "fovea bench data --model vit_tiny_patch16_224 --data-dir data --workers 2\n"
        "fovea bench ops --model vit_tiny_patch16_224 --batch-size 32 --simulate-threads 64\n"
        "fovea bench explain --model davit_tiny --method lrp,gradcam --batch-size 1",
    .options = FV_CMD_BENCH,
    .file_options = FV_CMD_TRAIN,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
