/* cmd_faithful.c - fovea faithful: which explanation methods are right, by how much, and how surely. */
#include "cli/command.h"
#include "cli/explain_source.h"
#include "cli/explain_target.h"
#include "cli/faithful_output.h"
#include "cli/interrupt.h"
#include "cli/method_args.h"
#include "cli/print.h"
#include "cli/progress.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/file.h"
#include "data/sample.h"
#include "eval/saliency/faithful_log.h"
#include "eval/saliency/ground_truth.h"
#include "eval/saliency/randomisation.h"

#include <inttypes.h>
#include <string.h>

#define PASS 32 /* images of a pass that scores, unless --batch-size is given */

/* Everything that one call works with. */
typedef struct job {
    const fv_settings *settings;
    const char *checkpoint;
    fv_loaded loaded;
    fv_saliency_choice methods[FV_FAITHFUL_MAX_METHODS];
    fv_metric_setting *metric_settings;
    fv_explain_target target;
    fv_explain_source source;
    fv_faithful question;
    fv_faithful_table table;
    fv_faithful_log *log;      /* NULL without --out */
    int claim;                 /* on --out, -1 without */
    fv_randomiser *randomiser; /* NULL: not asked for */
    fv_randomisation_table randomisation;
    int64_t n_bad;
    fv_resize_scratch scratch;
    fv_arena arena;
} job;

/* One image as it is looked at. */
typedef struct view {
    fv_image picture;
    float *pixels, *clean;     /* [H,W,3] */
    uint8_t *mask, *marker;    /* [H,W] */
    double *values;            /* [methods, values] */
    fv_map_similarity *stages; /* [stages] */
} view;

/* ---- what was asked for ---- */

/* Settings of metrics: numbers by name. */
static fv_status parse_metric_settings(job *j) {
    const fv_value *map = j->settings->metric_args;
    int64_t n = 0;

    if (!map) return FV_OK;
    j->metric_settings =
        fv_arena_calloc(&j->arena, (size_t)map->count + 1, sizeof *j->metric_settings);
    if (!j->metric_settings) return FV_ERR_NOMEM;
    for (const fv_value *v = map->first; v; v = v->next) {
        if (v->kind != FV_VALUE_INT && v->kind != FV_VALUE_REAL)
            return FV_FAIL(FV_ERR_CONFIG, "metric_args.%s is not a number", v->key);
        j->metric_settings[n++] = (fv_metric_setting){v->key, v->real};
    }
    j->question.settings = j->metric_settings;
    j->question.n_settings = n;
    return fv_metric_check_settings(j->metric_settings, n);
}

static unsigned what_data_have(const job *j) {
    unsigned have = FV_METRIC_SCORER | FV_METRIC_EXPLAIN | FV_METRIC_ACCOUNT;

    for (int64_t i = 0; i < j->source.count; i++) {
        const fv_sample *s = j->source.sample[i];
        if (s->mask || s->n_boxes) have |= FV_METRIC_MASK;
        if (s->marker && s->clean) have |= FV_METRIC_MARKER;
    }
    return have;
}

static fv_status prepare_question(job *j) {
    const fv_settings *s = j->settings;
    fv_faithful *q = &j->question;

    if (strcmp(s->precision, "bf16") == 0)
        return FV_FAIL(FV_ERR_CONFIG, "--precision: explanations are computed in f32 only");
    if (s->resume[0] && (strcmp(s->resume, "auto") != 0 || !s->out[0]))
        return FV_FAIL(FV_ERR_CONFIG, "--resume: only auto, together with --out, is possible here");
    FV_TRY(parse_metric_settings(j));
    q->model = j->loaded.model;
    q->against = j->target.against;
    q->seed = (uint64_t)s->seed;
    q->max_images = s->given.batch_size ? s->batch_size : PASS;
    const fv_status status = fv_faithful_choose(q, s->metrics, what_data_have(j));
    if (status != FV_OK) return fv_error_context(status, "--metrics");
    j->table.question = q;
    return fv_tape_create(&q->tape);
}

static fv_status prepare_randomisation(job *j) {
    const char *kind = j->settings->randomisation;

    if (!kind[0]) return FV_OK;
    FV_TRY(fv_randomiser_create(j->loaded.model, j->question.seed, &j->randomiser));
    return fv_randomisation_table_init(&j->randomisation, j->randomiser, j->methods,
                                       j->question.n_methods);
}

static fv_status open_log(job *j) {
    const fv_settings *s = j->settings;
    const fv_faithful_log_question question = {.question = &j->question,
                                               .data = s->data_dir,
                                               .split = s->split,
                                               .target = j->target.target};

    if (!s->out[0]) return FV_OK;
    FV_TRY(fv_folder_prepare(s->out));
    FV_TRY(fv_folder_claim(s->out, &j->claim));
    const char *path = fv_arena_printf(&j->arena, "%s/faithful.jsonl", s->out);
    return path ? fv_faithful_log_open(path, &question, s->resume[0] != '\0', &j->log)
                : FV_ERR_NOMEM;
}

static fv_status prepare(job *j) {
    const fv_settings *s = j->settings;

    FV_TRY(fv_method_args_open(s, "--methods", s->methods, j->checkpoint, &j->arena,
                               FV_FAITHFUL_MAX_METHODS, j->methods, &j->question.n_methods,
                               &j->loaded));
    j->question.methods = j->methods;
    FV_TRY(fv_explain_target_parse(s, &j->loaded, &j->target));
    if (!s->data_dir[0])
        return FV_FAIL(FV_ERR_CONFIG, "faithful needs --data-dir, the folder of the data set");
    FV_TRY(fv_explain_source_open(s, j->checkpoint, &j->loaded, NULL, 0, &j->source));
    FV_TRY(prepare_question(j));
    FV_TRY(prepare_randomisation(j));
    return open_log(j);
}

/* ---- the work ---- */

static fv_status load_clean(job *j, const fv_sample *sample, view *v, bool *known) {
    const fv_preprocess *pre = &j->loaded.preprocess;
    fv_image *image = NULL;

    *known = false;
    if (!sample->marker || !sample->clean) return FV_OK;
    FV_TRY(fv_preprocess_load(pre, sample->clean, &image));
    fv_status status = fv_transform_eval_image(pre, image, &j->scratch, &v->picture);
    if (status == FV_OK) {
        fv_normalize(pre, &v->picture, v->clean);
        status = fv_ground_truth_mask(sample->marker, pre, image->height, image->width, v->marker,
                                      known);
    }
    fv_image_destroy(image);
    return status;
}

static fv_status load(job *j, int64_t i, view *v, fv_faithful_image *out) {
    const fv_preprocess *pre = &j->loaded.preprocess;
    const fv_sample *sample = j->source.sample[i];
    fv_image *image = NULL;
    bool has_mask, has_marker;

    FV_TRY(fv_sample_load(sample, pre, &image));
    fv_status status = fv_transform_eval_image(pre, image, &j->scratch, &v->picture);
    if (status == FV_OK) {
        fv_normalize(pre, &v->picture, v->pixels);
        status = fv_ground_truth(sample, pre, image->height, image->width, v->mask, &has_mask);
    }
    fv_image_destroy(image);
    if (status == FV_OK) status = load_clean(j, sample, v, &has_marker);
    if (status != FV_OK) return fv_sample_context(status, sample);
    *out = (fv_faithful_image){.pixels = v->pixels,
                               .target = j->target.target == FV_TARGET_LABEL ? sample->label
                                                                             : j->target.target,
                               .mask = has_mask ? v->mask : NULL,
                               .marker = has_marker ? v->marker : NULL,
                               .clean = has_marker ? v->clean : NULL,
                               .index = sample - j->source.dataset->samples};
    return FV_OK;
}

static fv_status randomise(job *j, const fv_faithful_image *image, view *v) {
    for (int m = 0; j->randomiser && m < j->question.n_methods; m++) {
        const fv_randomisation r = {.tape = j->question.tape,
                                    .model = j->question.model,
                                    .randomiser = j->randomiser,
                                    .cascade = strcmp(j->settings->randomisation, "cascade") == 0,
                                    .method = &j->methods[m],
                                    .seed = j->question.seed,
                                    .max_images = j->question.max_images};
        const fv_status status = fv_randomisation_run(&r, image->pixels, image->target, v->stages);
        if (status != FV_OK) return fv_error_context(status, "%s", j->methods[m].text);
        fv_randomisation_table_add(&j->randomisation, m, v->stages);
    }
    return FV_OK;
}

static fv_status score_image(job *j, int64_t i, view *v) {
    const fv_sample *sample = j->source.sample[i];
    fv_faithful_image image;

    if (j->log && !j->randomiser && fv_faithful_log_find(j->log, sample->name, v->values))
        return fv_faithful_table_add(&j->table, v->values, sample->label);
    fv_status status = load(j, i, v, &image);
    if (status != FV_OK && status != FV_ERR_NOMEM && j->n_bad < j->settings->max_bad) {
        j->n_bad++;
        fv_print_message(FV_REPORT_WARNING, fv_error_message(),
                         fv_print_colored(j->settings->color));
        return FV_OK;
    }
    if (status == FV_OK) status = fv_faithful_run(&j->question, &image, v->values);
    if (status == FV_OK) status = randomise(j, &image, v);
    if (status != FV_OK) return fv_sample_context(status, sample);
    if (j->log) FV_TRY(fv_faithful_log_add(j->log, sample->name, v->values));
    return fv_faithful_table_add(&j->table, v->values, sample->label);
}

static fv_status score_images(job *j, view *v, const fv_report *report) {
    const double begin = fv_clock_seconds();

    for (int64_t i = 0; i < j->source.count; i++) {
        if (fv_report_stop(report))
            return FV_FAIL(FV_ERR_INTERRUPTED, "stopped after %" PRId64 " of %" PRId64 " images", i,
                           j->source.count);
        FV_TRY(score_image(j, i, v));
        fv_report_progress(report, &(fv_report_step){.label = "Score",
                                                     .done = i + 1,
                                                     .total = j->source.count,
                                                     .images = i + 1,
                                                     .seconds = fv_clock_seconds() - begin,
                                                     .due = (i + 1) % 50 == 0});
    }
    if (j->table.n_images) return FV_OK;
    return FV_FAIL(FV_ERR_FORMAT, "none of the images could be read");
}

static fv_status score_all(job *j) {
    const fv_model_input *input = &j->loaded.model->input;
    const size_t n = (size_t)(input->height * input->width);
    const size_t values = (size_t)(j->question.n_methods * fv_faithful_count(&j->question)) + 1;
    const size_t stages = j->randomiser ? (size_t)fv_randomiser_stages(j->randomiser) : 1;
    view v = {.pixels = fv_alloc(3 * n, sizeof *v.pixels),
              .clean = fv_alloc(3 * n, sizeof *v.clean),
              .mask = fv_alloc(n, sizeof *v.mask),
              .marker = fv_alloc(n, sizeof *v.marker),
              .values = fv_alloc(values, sizeof *v.values),
              .stages = fv_alloc(stages, sizeof *v.stages)};
    fv_progress progress;
    fv_status status = FV_ERR_NOMEM;

    fv_progress_init(&progress, j->settings->color);
    const fv_report report = fv_progress_report(&progress);
    if (v.pixels && v.clean && v.mask && v.marker && v.values && v.stages)
        status = score_images(j, &v, &report);
    fv_progress_end(&progress);
    fv_image_release(&v.picture);
    fv_free(v.pixels);
    fv_free(v.clean);
    fv_free(v.mask);
    fv_free(v.marker);
    fv_free(v.values);
    fv_free(v.stages);
    return status;
}

static fv_status write_results(job *j) {
    const fv_faithful_output output = {.table = &j->table,
                                       .randomisation = j->randomiser ? &j->randomisation : NULL,
                                       .checkpoint = j->checkpoint,
                                       .settings = j->settings};
    return fv_faithful_output_write(&output);
}

static fv_status run(const fv_args *args) {
    job j = {.settings = &args->settings, .checkpoint = args->positional[0], .claim = -1};

    fv_interrupt_install();
    fv_status status = prepare(&j);
    if (status == FV_OK) status = score_all(&j);
    if (status == FV_OK) status = write_results(&j);
    fv_faithful_log_close(j.log);
    fv_faithful_table_free(&j.table);
    fv_randomisation_table_free(&j.randomisation);
    fv_randomiser_destroy(j.randomiser);
    fv_tape_destroy(j.question.tape);
    fv_explain_source_close(&j.source);
    fv_resize_scratch_free(&j.scratch);
    fv_checkpoint_args_close(&j.loaded);
    fv_arena_destroy(&j.arena);
    fv_folder_release(j.claim);
    return status;
}

const fv_command fv_command_faithful = {
    .name = "faithful",
    .summary = "score explanation methods: faithfulness, localisation, sanity",
    .usage = "CKPT --data-dir DIR --methods A,B [options]",
    .details =
        "Explains images of a split with each method and measures the maps.  Means come with\n"
        "bootstrap intervals, and with centre, edge or random among the methods also with paired\n"
        "comparisons against them.  --out keeps every image's numbers (faithful.jsonl), the table\n"
        "(faithful.csv) and the result (faithful.json); --resume auto goes on where it stopped.\n"
        "--randomisation compares each map with those of a model whose stages become random.\n",
    .more = fv_faithful_help,
    .example = "fovea faithful run --data-dir data --methods lrp,gradcam,centre --count 5 --json",
    .options = FV_CMD_FAITHFUL,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
