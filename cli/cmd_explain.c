/* cmd_explain.c - fovea explain: which pixels speak for a class, as raw maps and as pictures. */
#include "cli/checkpoint_args.h"
#include "cli/command.h"
#include "cli/image_args.h"
#include "cli/interrupt.h"
#include "cli/print.h"
#include "core/alloc.h"
#include "core/file.h"
#include "core/suggest.h"
#include "eval/saliency/explanation_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_METHODS 32

/* Everything that one call works with. */
typedef struct job {
    const fv_settings *settings;
    const char *checkpoint;
    fv_loaded loaded;
    fv_saliency_choice methods[MAX_METHODS];
    int n_methods;
    int64_t target; /* -1: the predicted class */
    fv_image_args images;
    const char **stems; /* [images.count] */
    fv_tape *tape;
    fv_image picture; /* the current one, as the model sees it */
    float *pixels;    /* the same, normalised */
    fv_resize_scratch scratch;
    fv_value *results; /* NULL: a table is printed instead */
    fv_arena arena;
} job;

/* ---- what was asked for ---- */

static fv_status parse_methods(job *j) {
    const fv_status status = fv_saliency_parse_list(j->settings->method, &j->arena, MAX_METHODS,
                                                    j->methods, &j->n_methods);
    return status == FV_OK ? FV_OK : fv_error_context(status, "--method");
}

/* A number is an index, anything else a class name. */
static fv_status parse_target(job *j) {
    const char *text = j->settings->target;
    const int64_t n = j->loaded.model->num_classes;
    char *end = NULL, hint[FV_SUGGEST_TEXT];

    j->target = -1;
    if (!text[0]) return FV_OK;
    errno = 0;
    const long long index = strtoll(text, &end, 10);
    if (*end == 0) {
        if (errno || index < 0 || index >= n)
            return FV_FAIL(FV_ERR_CONFIG,
                           "--target: class %s does not exist: the model has %" PRId64
                           " classes, 0 to %" PRId64,
                           text, n, n - 1);
        j->target = index;
        return FV_OK;
    }
    const fv_model_meta *meta = &j->loaded.meta;
    for (int64_t i = 0; i < meta->n_labels && j->target < 0; i++)
        if (strcmp(meta->label_names[i], text) == 0) j->target = i;
    if (j->target >= 0) return FV_OK;
    if (!meta->n_labels)
        return FV_FAIL(FV_ERR_CONFIG,
                       "--target: '%s': %s has no class names; give an index, 0 to %" PRId64, text,
                       j->checkpoint, n - 1);
    const char **names = fv_arena_calloc(&j->arena, (size_t)meta->n_labels + 1, sizeof *names);
    if (!names) return FV_ERR_NOMEM;
    memcpy(names, meta->label_names, (size_t)meta->n_labels * sizeof *names);
    return FV_FAIL(FV_ERR_CONFIG, "--target: the model has no class '%.80s'%s", text,
                   fv_suggest_text(text, names, hint));
}

/* Found now, not after minutes of work. */
static fv_status prepare_out(job *j) {
    const char *out = j->settings->out;

    FV_TRY(fv_folder_create(out));
    char *probe = fv_arena_printf(&j->arena, "%s/.fovea-XXXXXX", out);
    if (!probe) return FV_ERR_NOMEM;
    const int fd = mkstemp(probe);
    if (fd < 0) return FV_FAIL(FV_ERR_IO, "cannot write into %s: %s", out, strerror(errno));
    close(fd);
    unlink(probe);
    return FV_OK;
}

static fv_status prepare(job *j, const fv_args *args) {
    const fv_settings *s = j->settings;

    FV_TRY(fv_checkpoint_args_open(s, j->checkpoint, false, &j->loaded));
    FV_TRY(parse_methods(j));
    FV_TRY(parse_target(j));
    if (strcmp(s->precision, "bf16") == 0)
        return FV_FAIL(FV_ERR_CONFIG, "--precision: explanations are computed in f32 only");
    if (s->layer[0])
        return FV_FAIL(FV_ERR_CONFIG, "--layer: none of the methods looks at a single layer");
    if (!s->out[0]) return FV_FAIL(FV_ERR_CONFIG, "--out says where to write the maps");
    FV_TRY(fv_image_args_expand(args->positional + 1, args->n_positional - 1, s->count, &j->arena,
                                &j->images));
    j->stems = fv_arena_alloc(&j->arena, (size_t)j->images.count, sizeof *j->stems);
    if (!j->stems) return FV_ERR_NOMEM;
    FV_TRY(fv_explanation_stems(j->images.path, j->images.count, &j->arena, j->stems));
    FV_TRY(prepare_out(j));
    const fv_model_input *input = &j->loaded.model->input;
    j->pixels = fv_alloc((size_t)(input->height * input->width), 3 * sizeof *j->pixels);
    return j->pixels ? fv_tape_create(&j->tape) : FV_ERR_NOMEM;
}

/* ---- the work ---- */

static const char *target_name(const job *j, int64_t target) {
    return j->loaded.meta.n_labels ? j->loaded.meta.label_names[target] : NULL;
}

static void add_result(job *j, const char *image, const fv_saliency_choice *m,
                       const fv_explanation *e, const fv_explanation_files *files) {
    fv_arena *a = &j->arena;
    fv_value *map = fv_value_new(a, FV_VALUE_MAP);

    fv_value_set(a, map, "image", fv_value_string(a, image));
    fv_value_set(a, map, "method", fv_value_string(a, m->text));
    fv_value_set(a, map, "target", fv_value_int(a, e->target));
    fv_value_set(a, map, "target_name", fv_value_string(a, target_name(j, e->target)));
    fv_value_set(a, map, "logit", fv_value_real(a, (double)e->logit));
    fv_value_set(a, map, "probability", fv_value_real(a, (double)e->probability));
    fv_value_set(a, map, "map", fv_value_string(a, files->map));
    fv_value_set(a, map, "overlay", fv_value_string(a, files->overlay));
    fv_value_set(a, map, "raw", fv_value_string(a, files->raw));
    fv_value_set(a, map, "conservation_error",
                 e->has_account ? fv_value_real(a, fv_conservation_error(&e->account))
                                : fv_value_new(a, FV_VALUE_NULL));
    fv_value_set(a, map, "ledger", fv_explanation_ledger(e, a));
    fv_value_add(j->results, map);
}

static void print_row(const job *j, int64_t i, const fv_saliency_choice *m, const fv_explanation *e,
                      const fv_explanation_files *files) {
    const char *name = target_name(j, e->target);
    char target[64], error[16] = "-";

    if (i == 0 && m == j->methods)
        fv_print("%-20s %-20s %11s %12s  %s\n", "method", "target", "probability", "conservation",
                 "overlay");
    if (name)
        snprintf(target, sizeof target, "%" PRId64 " %.40s", e->target, name);
    else
        snprintf(target, sizeof target, "%" PRId64, e->target);
    if (e->has_account) snprintf(error, sizeof error, "%.1e", fv_conservation_error(&e->account));
    fv_print("%-20s %-20s %11.3f %12s  %s\n", m->text, target, (double)e->probability, error,
             files->overlay);
}

static fv_status explain_method(job *j, int64_t i, const fv_saliency_choice *m) {
    const char *image = j->images.path[i];
    const fv_explain_request request = {
        .choice = m, .target = &j->target, .against = FV_AGAINST_NOTHING};
    fv_explanation e = {0};
    fv_explanation_files files;

    FV_TRY(fv_explanation_name(j->settings->out, j->stems[i], m->text, &j->arena, &files));
    fv_status status = fv_explain(j->tape, j->loaded.model, j->pixels, 1, &request, &e);
    if (status != FV_OK) return fv_error_context(status, "%s: %s", image, m->text);
    const fv_explanation_source source = {.checkpoint = j->checkpoint,
                                          .image = image,
                                          .target_name = target_name(j, e.target),
                                          .model = j->loaded.model,
                                          .preprocess = &j->loaded.preprocess,
                                          .choice = m,
                                          .picture = &j->picture};
    status = fv_explanation_save(&e, &source, &files);
    if (status == FV_OK && j->results)
        add_result(j, image, m, &e, &files);
    else if (status == FV_OK)
        print_row(j, i, m, &e, &files);
    fv_explanation_destroy(&e);
    return status;
}

static fv_status explain_image(job *j, int64_t i) {
    const char *path = j->images.path[i];
    const fv_preprocess *pre = &j->loaded.preprocess;
    fv_image *image = NULL;

    FV_TRY(fv_image_load(path, &image));
    fv_status status = fv_transform_eval_image(pre, image, &j->scratch, &j->picture);
    fv_image_destroy(image);
    if (status != FV_OK) return fv_error_context(status, "%s", path);
    fv_normalize(pre, &j->picture, j->pixels);
    for (int m = 0; m < j->n_methods && status == FV_OK; m++)
        status = explain_method(j, i, &j->methods[m]);
    return status;
}

static fv_status explain_all(job *j) {
    for (int64_t i = 0; i < j->images.count; i++) {
        if (fv_interrupt_stop(NULL))
            return FV_FAIL(FV_ERR_INTERRUPTED, "stopped after %" PRId64 " of %" PRId64 " images", i,
                           j->images.count);
        FV_TRY(explain_image(j, i));
    }
    return FV_OK;
}

static fv_status run(const fv_args *args) {
    job j = {.settings = &args->settings, .checkpoint = args->positional[0]};

    fv_interrupt_install();
    fv_status status = prepare(&j, args);
    if (status == FV_OK && j.settings->json) {
        j.results = fv_value_new(&j.arena, FV_VALUE_LIST);
        if (!j.results) status = FV_ERR_NOMEM;
    }
    if (status == FV_OK) status = explain_all(&j);
    if (status == FV_OK && j.results) status = fv_print_json(j.results);
    fv_tape_destroy(j.tape);
    fv_free(j.pixels);
    fv_image_release(&j.picture);
    fv_resize_scratch_free(&j.scratch);
    fv_checkpoint_args_close(&j.loaded);
    fv_arena_destroy(&j.arena);
    return status;
}

const fv_command fv_command_explain = {
    .name = "explain",
    .summary = "show which pixels speak for a class and which against it",
    .usage = "CKPT IMAGE... --out DIR [options]",
    .details =
        "CKPT is a run, checkpoint or hub folder or a .safetensors file; an IMAGE may be a "
        "folder,\n"
        "which stands for the images directly in it.  --method takes lrp (or lrp:cplrp,\n"
        "lrp:epsilon) and gradient_x_input, several with commas.  Every image and method gives\n"
        "a raw map (safetensors), the map as a PNG and its overlay on the image.",
    .example = "fovea explain run photo.jpg --method lrp,gradient_x_input --out maps\n"
               "fovea explain run data/validation/disc --count 4 --target disc --out maps --json",
    .options = FV_CMD_EXPLAIN,
    .min_args = 2,
    .max_args = -1,
    .run = run,
};
