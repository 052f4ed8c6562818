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

#include <string.h>

typedef struct bench_kind {
    const char *name;
    fv_status (*run)(const fv_settings *settings, const fv_report *report, fv_arena *arena,
                     fv_value *out);
} bench_kind;

static const bench_kind kinds[] = {{"train", fv_bench_train},
                                   {"infer", fv_bench_infer},
                                   {"data", fv_bench_data},
                                   {"ops", fv_bench_ops},
                                   {"explain", fv_bench_explain}};

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

static fv_status run(const fv_args *args) {
    const fv_settings *s = &args->settings;
    const bench_kind *kind = NULL;
    fv_progress progress;
    fv_arena arena = {0};

    FV_TRY(find_kind(args->positional[0], &kind));
    fv_interrupt_install();
    fv_progress_init(&progress, s->color);
    const fv_report report = fv_progress_report(&progress);
    fv_value *result = fv_value_new(&arena, FV_VALUE_MAP);
    fv_status status = kind->run(s, &report, &arena, result);
    fv_progress_end(&progress);
    if (status == FV_OK && s->json) status = fv_print_json(result);
    if (status == FV_OK && !s->json) fv_print_map(result);
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
        "steps\n"
        "infer    the same for batches as eval classifies them\n"
        "data     images of --data-dir as train with these options and those of -c loads them\n"
        "ops      a training step op by op, against the rates of products and of memory, and what\n"
        "         its tasks would take on up to --simulate-threads cores (best with --threads 1)\n"
        "explain  the methods of --method on noise images in memory, in turns: seconds per image,\n"
        "         and how many forward passes take as long",
    .example =
        "fovea bench train --model vit_tiny_patch16_224 --batch-size 32 --json\n"
        "fovea bench infer --model davit_tiny --batch-size 8 --threads 1\n"
        "fovea bench data --model vit_tiny_patch16_224 --data-dir data --workers 2\n"
        "fovea bench ops --model vit_tiny_patch16_224 --batch-size 32 --simulate-threads 64\n"
        "fovea bench explain --model davit_tiny --method lrp,gradcam --batch-size 1",
    .options = FV_CMD_BENCH,
    .file_options = FV_CMD_TRAIN,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
