/* cmd_explain.c - fovea explain: which pixels speak for a class, as raw maps and as pictures. */
#include "cli/command.h"
#include "cli/explain_pictures.h"
#include "cli/explain_source.h"
#include "cli/explain_target.h"
#include "cli/interrupt.h"
#include "cli/method_args.h"
#include "cli/print.h"
#include "cli/result_list.h"
#include "core/alloc.h"
#include "core/file.h"
#include "core/json.h"
#include "eval/saliency/explanation_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MAX_METHODS 32
#define PASS        8 /* images of a pass, unless --batch-size is given */

/* Everything that one call works with. */
typedef struct job {
    const fv_settings *settings;
    const char *checkpoint;
    fv_loaded loaded;
    char weights[17];
    const char *request; /* JSON: what was asked for beside method and image */
    fv_saliency_choice methods[MAX_METHODS];
    int n_methods;
    fv_explain_target target;
    fv_explain_source source;
    const char **stems; /* [source.count] */
    fv_explain_pictures pictures;
    fv_tape *tape;
    int64_t n_bad;
    bool resume;
    fv_resize_scratch scratch;
    fv_result_list results;
    fv_arena arena;
} job;

/* The images of one pass. */
typedef struct group {
    int64_t n;
    int64_t image[PASS * 16]; /* index in the source */
    fv_image *picture;        /* [n] as the model sees them */
    float *pixels;            /* [n,H,W,3] the same, normalised */
    float *some;              /* [n,H,W,3] those that a method has still to explain */
    fv_arena arena;           /* until the next group */
} group;

#define MAX_PASS ((int64_t)(sizeof((group *)0)->image / sizeof(int64_t)))

/* ---- what was asked for ---- */

static fv_status write_request(job *j) {
    fv_value *map = fv_value_new(&j->arena, FV_VALUE_MAP);
    char *text = NULL;

    if (!map) return FV_ERR_NOMEM;
    fv_value_set(&j->arena, map, "target", fv_value_int(&j->arena, j->target.target));
    fv_value_set(&j->arena, map, "against", fv_value_int(&j->arena, j->target.against));
    fv_value_set(&j->arena, map, "seed", fv_value_int(&j->arena, j->settings->seed));
    FV_TRY(fv_json_write(map, FV_JSON_COMPACT, &j->arena, &text));
    j->request = text;
    return FV_OK;
}

static fv_status check_settings(job *j) {
    const fv_settings *s = j->settings;

    if (strcmp(s->precision, "bf16") == 0)
        return FV_FAIL(FV_ERR_CONFIG, "--precision: explanations are computed in f32 only");
    if (!s->out[0]) return FV_FAIL(FV_ERR_CONFIG, "--out says where to write the maps");
    if (s->resume[0] && strcmp(s->resume, "auto") != 0)
        return FV_FAIL(FV_ERR_CONFIG, "--resume: '%.80s': only auto is possible here", s->resume);
    if (s->given.batch_size && s->batch_size > MAX_PASS)
        return FV_FAIL(FV_ERR_CONFIG, "--batch-size: explanations take at most %" PRId64 " images",
                       MAX_PASS);
    j->resume = s->resume[0] != '\0';
    return FV_OK;
}

static fv_status prepare(job *j, const fv_args *args) {
    const fv_settings *s = j->settings;

    FV_TRY(fv_method_args_open(s, "--method", s->method, j->checkpoint, &j->arena, MAX_METHODS,
                               j->methods, &j->n_methods, &j->loaded));
    FV_TRY(fv_explain_target_parse(s, &j->loaded, &j->target));
    FV_TRY(check_settings(j));
    FV_TRY(write_request(j));
    FV_TRY(fv_explain_source_open(s, j->checkpoint, &j->loaded, args->positional + 1,
                                  args->n_positional - 1, &j->source));
    if (j->target.target == FV_TARGET_LABEL && !j->source.dataset)
        return FV_FAIL(FV_ERR_CONFIG, "--target: @label needs --data-dir");
    j->stems = fv_arena_alloc(&j->arena, (size_t)j->source.count + 1, sizeof *j->stems);
    if (!j->stems) return FV_ERR_NOMEM;
    FV_TRY(fv_explanation_stems(j->source.path, j->source.count, &j->arena, j->stems));
    FV_TRY(fv_explain_pictures_open(s, j->methods, j->n_methods, j->source.count, &j->pictures));
    FV_TRY(fv_folder_prepare(s->out));
    if (!fv_explanation_weights(j->loaded.model, j->weights)) return FV_ERR_NOMEM;
    return fv_tape_create(&j->tape);
}

/* ---- results ---- */

static void print_row(const job *j, const fv_value *entry) {
    const fv_value *name = fv_value_find(entry, "target_name");
    const fv_value *error = fv_value_find(entry, "conservation_error");
    const fv_value *warning = fv_value_find(entry, "warning");
    char target[64], conservation[16] = "-";

    if (j->results.count == 0)
        fv_print("%-20s %-20s %11s %12s  %s\n", "method", "target", "probability", "conservation",
                 "overlay");
    snprintf(target, sizeof target, "%" PRId64 "%s%.40s", fv_value_find(entry, "target")->integer,
             name->text ? " " : "", name->text ? name->text : "");
    if (error->kind != FV_VALUE_NULL)
        snprintf(conservation, sizeof conservation, "%.1e", error->real);
    fv_print("%-20s %-20s %11.3f %12s  %s\n", fv_value_find(entry, "method")->text, target,
             fv_value_find(entry, "probability")->real, conservation,
             fv_value_find(entry, "overlay")->text);
    if (!warning->text) return;
    char text[512];
    snprintf(text, sizeof text, "%s: %s: %s", fv_value_find(entry, "image")->text,
             fv_value_find(entry, "method")->text, warning->text);
    fv_print_message(FV_REPORT_WARNING, text, fv_print_colored(j->settings->color));
}

static fv_status give_result(job *j, const fv_explanation_files *files, fv_arena *arena) {
    fv_value *entry;

    FV_TRY(fv_explanation_read(files, arena, &entry));
    if (!j->results.json) print_row(j, entry);
    return fv_result_list_add(&j->results, entry);
}

/* ---- the work ---- */

static fv_explanation_source source_of(const job *j, int64_t image, const fv_saliency_choice *m) {
    return (fv_explanation_source){.checkpoint = j->checkpoint,
                                   .image = j->source.path[image],
                                   .weights = j->weights,
                                   .request = j->request,
                                   .model = j->loaded.model,
                                   .preprocess = &j->loaded.preprocess,
                                   .choice = m,
                                   .looks = &j->pictures.looks};
}

static bool is_done(const job *j, int64_t image, const fv_saliency_choice *m,
                    const fv_explanation_files *files) {
    const fv_explanation_source source = source_of(j, image, m);
    return j->resume && fv_explanation_is_done(files, &source);
}

static int64_t target_of(const job *j, int64_t image) {
    return j->target.target == FV_TARGET_LABEL ? j->source.sample[image]->label : j->target.target;
}

static fv_status save(job *j, const group *g, int64_t k, const fv_saliency_choice *m,
                      const fv_explanation *e, const fv_explanation_files *files) {
    const fv_model_meta *meta = &j->loaded.meta;
    fv_explanation_source source = source_of(j, g->image[k], m);

    source.target_name = meta->n_labels ? meta->label_names[e->target] : NULL;
    source.picture = &g->picture[k];
    return fv_explanation_save(e, &source, files);
}

/* Explains the members which[n] of a group in one pass; when that fails, one by one, so that the message
 * names the image. */
static fv_status explain_some(job *j, group *g, const fv_saliency_choice *m, const int64_t *which,
                              int64_t n, const fv_explanation_files *files) {
    const fv_model *model = j->loaded.model;
    const int64_t image = 3 * model->input.height * model->input.width;
    fv_explanation e[MAX_PASS];
    int64_t target[MAX_PASS];
    const fv_explain_request request = {.choice = m,
                                        .target = target,
                                        .against = j->target.against,
                                        .seed = (uint64_t)j->settings->seed};

    for (int64_t i = 0; i < n; i++) {
        memcpy(g->some + i * image, g->pixels + which[i] * image, (size_t)image * sizeof *g->some);
        target[i] = target_of(j, g->image[which[i]]);
    }
    fv_status status = fv_explain(j->tape, model, g->some, n, &request, e);
    if (status != FV_OK && n == 1)
        return fv_error_context(status, "%s: %s", j->source.path[g->image[which[0]]], m->text);
    if (status != FV_OK) {
        for (int64_t i = 0; i < n; i++) FV_TRY(explain_some(j, g, m, which + i, 1, files));
        return FV_OK;
    }
    for (int64_t i = 0; i < n; i++) {
        if (status == FV_OK) status = save(j, g, which[i], m, &e[i], &files[which[i]]);
        fv_explanation_destroy(&e[i]);
    }
    return status;
}

static fv_status explain_group(job *j, group *g) {
    fv_explanation_files *files[MAX_METHODS];
    int64_t which[MAX_PASS];

    for (int m = 0; m < j->n_methods; m++) {
        int64_t n = 0;
        files[m] = fv_arena_alloc(&g->arena, (size_t)g->n, sizeof **files);
        if (!files[m]) return FV_ERR_NOMEM;
        for (int64_t k = 0; k < g->n; k++) {
            FV_TRY(fv_explanation_name(j->settings->out, j->stems[g->image[k]], j->methods[m].text,
                                       &g->arena, &files[m][k]));
            if (!is_done(j, g->image[k], &j->methods[m], &files[m][k])) which[n++] = k;
        }
        if (n) FV_TRY(explain_some(j, g, &j->methods[m], which, n, files[m]));
    }
    for (int64_t k = 0; k < g->n; k++) {
        fv_explanation_files maps[MAX_METHODS];
        for (int m = 0; m < j->n_methods; m++) maps[m] = files[m][k];
        FV_TRY(fv_explain_pictures_add(&j->pictures, &g->picture[k], j->stems[g->image[k]],
                                       &g->arena, maps));
        for (int m = 0; m < j->n_methods; m++) FV_TRY(give_result(j, &maps[m], &g->arena));
    }
    return FV_OK;
}

/* A bad image is left out, as long as --max-bad allows it. */
static fv_status load(job *j, group *g, int64_t i) {
    const fv_preprocess *pre = &j->loaded.preprocess;
    const fv_status status =
        fv_explain_source_load(&j->source, pre, i, &j->scratch, &g->picture[g->n],
                               g->pixels + g->n * 3 * pre->img_h * pre->img_w);

    if (status == FV_OK) {
        g->image[g->n++] = i;
        return FV_OK;
    }
    if (status == FV_ERR_NOMEM || j->n_bad == j->settings->max_bad) return status;
    j->n_bad++;
    fv_print_message(FV_REPORT_WARNING, fv_error_message(), fv_print_colored(j->settings->color));
    return FV_OK;
}

static fv_status explain_groups(job *j, group *g, int64_t size) {
    for (int64_t i = 0; i < j->source.count;) {
        g->n = 0;
        for (; i < j->source.count && g->n < size; i++) {
            if (fv_interrupt_stop(NULL))
                return FV_FAIL(FV_ERR_INTERRUPTED,
                               "stopped after %" PRId64 " of %" PRId64 " images", i - g->n,
                               j->source.count);
            FV_TRY(load(j, g, i));
        }
        if (g->n) FV_TRY(explain_group(j, g));
        fv_arena_rewind(&g->arena, (fv_arena_mark){0});
    }
    return FV_OK;
}

static fv_status explain_all(job *j) {
    const fv_settings *s = j->settings;
    const fv_model_input *input = &j->loaded.model->input;
    const int64_t asked = s->given.batch_size ? s->batch_size : PASS;
    const int64_t size = asked < j->source.count ? asked : j->source.count;
    const size_t values = (size_t)(3 * size * input->height * input->width);
    group g = {0};

    g.picture = fv_calloc((size_t)size, sizeof *g.picture);
    g.pixels = fv_alloc(values, sizeof *g.pixels);
    g.some = fv_alloc(values, sizeof *g.some);
    const bool ready = g.picture && g.pixels && g.some;
    fv_status status = ready ? explain_groups(j, &g, size) : FV_ERR_NOMEM;
    for (int64_t k = 0; g.picture && k < size; k++) fv_image_release(&g.picture[k]);
    fv_free(g.picture);
    fv_free(g.pixels);
    fv_free(g.some);
    fv_arena_destroy(&g.arena);
    if (status == FV_OK && j->n_bad == j->source.count)
        status = FV_FAIL(FV_ERR_FORMAT, "none of the images could be read");
    return status;
}

static fv_status finish(job *j) {
    const char *sheet;

    FV_TRY(fv_explain_pictures_end(&j->pictures, &j->arena, &sheet));
    if (sheet && !j->results.json) fv_print("sheet: %s\n", sheet);
    return FV_OK;
}

static fv_status run(const fv_args *args) {
    job j = {.settings = &args->settings, .checkpoint = args->positional[0]};

    fv_interrupt_install();
    fv_status status = prepare(&j, args);
    if (status == FV_OK) {
        fv_result_list_begin(&j.results, j.settings->json);
        status = explain_all(&j);
        if (status == FV_OK) status = finish(&j);
        fv_result_list_end(&j.results);
    }
    fv_explain_pictures_close(&j.pictures);
    fv_tape_destroy(j.tape);
    fv_explain_source_close(&j.source);
    fv_resize_scratch_free(&j.scratch);
    fv_checkpoint_args_close(&j.loaded);
    fv_arena_destroy(&j.arena);
    return status;
}

const fv_command fv_command_explain = {
    .name = "explain",
    .summary = "show which pixels speak for a class and which against it",
    .usage = "CKPT [IMAGE...] --out DIR [options]",
    .details =
        "CKPT is a run, checkpoint or hub folder or a .safetensors file; an IMAGE may be a "
        "folder,\n"
        "which stands for the images directly in it.  Instead of images, --data-dir takes a split\n"
        "of a data set.  Every image and method gives a raw map (safetensors), the map as a PNG\n"
        "and its overlay on the image; several methods also give <image>_grid.png with all maps "
        "of\n"
        "an image, and several images sheet.png with the first 16.  With --resume auto, what lies "
        "in\n"
        "DIR and answers the same question is kept.\n",
    .more = fv_explain_help,
    .example = "fovea explain run photo.jpg --method lrp,gradient_x_input --out maps\n"
               "fovea explain run data/validation/disc --count 4 --target disc --out maps --json\n"
               "fovea explain run --data-dir data --target @label --resume auto --out maps",
    .options = FV_CMD_EXPLAIN,
    .min_args = 1,
    .max_args = -1,
    .run = run,
};
