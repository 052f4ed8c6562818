/* cmd_bench.c - fovea bench KIND: how fast something is on this machine. */
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/print.h"
#include "cli/progress.h"
#include "core/suggest.h"
#include "train/bench/bench_train.h"

#include <string.h>

typedef struct bench_kind {
    const char *name;
    fv_status (*run)(const fv_settings *settings, const fv_report *report, fv_bench_result *out);
} bench_kind;

static const bench_kind kinds[] = {{"train", fv_bench_train}};

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
    return FV_FAIL(FV_ERR_CONFIG, "unknown bench '%.80s'%s (known: train)", name,
                   fv_suggest_text(name, names, hint));
}

static void print_text(const fv_bench_result *r) {
    fv_print("images_per_second       %.2f\n", r->images_per_second);
    fv_print("step_seconds            %.4f\n", r->step_seconds);
    fv_print("model_gflops_per_image  %.3f\n", r->model_gflops_per_image);
    fv_print("gemm_peak_gflops        %.1f\n", r->gemm_peak_gflops);
    fv_print("mfu                     %.3f\n", r->mfu);
    fv_print("peak_rss_mb             %.1f\n", r->peak_rss_mb);
    fv_print("threads                 %d\n", r->threads);
    fv_print("precision               %s\n", r->bf16 ? "bf16" : "f32");
}

static fv_status run(const fv_args *args) {
    const fv_settings *s = &args->settings;
    const bench_kind *kind = NULL;
    fv_bench_result result;
    fv_progress progress;
    fv_arena arena = {0};

    FV_TRY(find_kind(args->positional[0], &kind));
    fv_interrupt_install();
    fv_progress_init(&progress, s->color);
    const fv_report report = fv_progress_report(&progress);
    fv_status status = kind->run(s, &report, &result);
    fv_progress_end(&progress);
    if (status != FV_OK) return status;
    if (s->json)
        status = fv_print_json(fv_bench_value(&result, &arena));
    else
        print_text(&result);
    fv_arena_destroy(&arena);
    return status;
}

const fv_command fv_command_bench = {
    .name = "bench",
    .summary = "measure the speed of training",
    .usage = "train --model NAME [options]",
    .details =
        "A synthetic batch in memory: updates as train makes them, without loading.  The peak\n"
        "is the best rate of a 2048 x 2048 x 2048 product, measured between the steps.",
    .example = "fovea bench train --model vit_tiny_patch16_224 --batch-size 32 --json",
    .options = FV_CMD_BENCH,
    .file_options = FV_CMD_TRAIN,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
