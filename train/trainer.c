#include "train/trainer.h"

#include "core/alloc.h"
#include "core/file.h"
#include "core/kernels/kernels.h"
#include "core/parallel.h"
#include "models/freeze.h"
#include "train/layer_decay.h"
#include "train/mem_limit.h"
#include "train/train_input.h"
#include "train/trainer_internal.h"

#include <math.h>
#include <string.h>

double fv_train_lr(const fv_settings *s) {
    if (s->lr > 0.0) return s->lr;
    const double ratio = (double)(s->batch_size * s->grad_accum_steps) / (double)s->lr_base_size;
    const bool adaptive = strstr(s->opt, "ada") || strstr(s->opt, "lamb");
    const bool root = s->lr_base_scale[0] ? strcmp(s->lr_base_scale, "sqrt") == 0 : adaptive;
    return s->lr_base * (root ? sqrt(ratio) : ratio);
}

/* ---- parts ---- */

static fv_status set_precision(fv_trainer *t) {
    bool emulated;

    FV_TRY(fv_precision_resolve(t->settings->precision, &t->bf16, &emulated));
    if (emulated)
        fv_report_warning(t->report,
                          "%s has no bf16 dot products: bf16 works but is emulated, f32 is faster",
                          fv_cpu_model());
    return FV_OK;
}

/* What was asked for wrongly is told before any file is looked at. */
static fv_status check_settings(const fv_trainer *t) {
    const fv_settings *s = t->settings;
    const fv_model_config config = fv_model_config_of(s);
    fv_model *model = NULL;
    size_t limit;

    FV_TRY(fv_mem_limit_parse(s->mem_limit, &limit));
    if (!s->model[0]) return FV_FAIL(FV_ERR_CONFIG, "train needs --model (see 'fovea models')");
    if (!s->data_dir[0])
        return FV_FAIL(FV_ERR_CONFIG, "train needs --data-dir, the folder of the data set");
    FV_TRY(fv_model_describe(&config, &model));
    const fv_status status = fv_model_freeze(model, s->freeze);
    fv_model_destroy(model);
    return status;
}

static fv_status build_model(fv_trainer *t) {
    const fv_settings *s = t->settings;
    const int64_t n = t->train->n_classes;
    fv_model_config config = fv_model_config_of(s);

    if (s->num_classes && s->num_classes != n)
        return FV_FAIL(FV_ERR_CONFIG, "--num-classes %lld, but %s has %lld classes",
                       (long long)s->num_classes, s->data_dir, (long long)n);
    config.num_classes = n;
    config.bf16 = t->bf16;
    FV_TRY(fv_model_create(&config, true, &t->model));
    FV_TRY(fv_train_pixels(s, &t->model->input, &t->preprocess, &t->augment));
    fv_model_init(t->model, (uint64_t)s->seed);
    return s->initial_checkpoint[0] && !t->resumed.folder ? fv_trainer_load_initial(t) : FV_OK;
}

static fv_status set_layer_decay(fv_trainer *t) {
    const fv_layer_decay config = {t->settings->layer_decay, t->settings->layer_decay_min_scale};
    const size_t n = (size_t)t->model->params.count;

    if (!(config.decay > 0.0)) return FV_OK;
    t->lr_scale = fv_arena_alloc(&t->arena, n, sizeof *t->lr_scale);
    return t->lr_scale ? fv_layer_decay_scales(&config, t->model, t->lr_scale) : FV_ERR_NOMEM;
}

static fv_status build_optimizer(fv_trainer *t) {
    const fv_settings *s = t->settings;
    fv_optimizer_config config;
    size_t mem_limit;
    int64_t batch_size = fv_stepper_batch_size(t->model, s->batch_size);

    FV_TRY(fv_mem_limit_parse(s->mem_limit, &mem_limit));
    FV_TRY(fv_trainer_plan_mixing(t, &batch_size));
    FV_TRY(set_layer_decay(t));
    fv_optimizer_config_init(&config);
    config.lr_scale = t->lr_scale;
    config.name = s->opt;
    config.weight_decay = s->weight_decay;
    config.momentum = s->momentum;
    if (s->opt_betas.count == 2) {
        config.beta1 = s->opt_betas.v[0];
        config.beta2 = s->opt_betas.v[1];
    }
    if (s->opt_eps > 0.0) config.eps = s->opt_eps;
    FV_TRY(fv_optimizer_create(&config, &t->model->params, &t->optimizer));
    if (s->model_ema)
        FV_TRY(fv_ema_create(&(fv_ema_config){s->model_ema_decay, s->model_ema_warmup},
                             &t->model->params, &t->ema));
    return fv_stepper_create(&(fv_stepper_config){.model = t->model,
                                                  .optimizer = t->optimizer,
                                                  .ema = t->ema,
                                                  .effective_batch = t->effective_batch,
                                                  .batch_size = batch_size,
                                                  .seed = (uint64_t)s->seed,
                                                  .bf16 = t->bf16,
                                                  .smoothing = (float)s->smoothing,
                                                  .bce = s->bce_loss,
                                                  .clip_grad = s->clip_grad,
                                                  .grad_checkpointing = s->grad_checkpointing,
                                                  .mem_limit = mem_limit},
                             &t->stepper);
}

static fv_status build_loaders(fv_trainer *t) {
    const fv_settings *s = t->settings;

    t->workers = fv_loader_workers(s->workers);
    t->order = fv_alloc((size_t)t->train->n_samples, sizeof *t->order);
    if (!t->order) return FV_ERR_NOMEM;
    if (fv_train_repeats(s)) {
        t->repeat = fv_alloc((size_t)t->train->n_samples, sizeof *t->repeat);
        if (!t->repeat) return FV_ERR_NOMEM;
    }
    FV_TRY(fv_loader_create(
        &(fv_loader_config){.dataset = t->train,
                            .preprocess = &t->preprocess,
                            .augment = &t->augment,
                            .seed = (uint64_t)s->seed,
                            .workers = t->workers,
                            .depth =
                                fv_loader_depth(s->batch_size, fv_stepper_pass_samples(t->stepper)),
                            .batch_size = fv_stepper_pass_samples(t->stepper),
                            .max_bad = s->max_bad},
        &t->loader));
    const int64_t batch = s->validation_batch_size ? s->validation_batch_size : s->batch_size;
    return fv_evaluator_create(&(fv_evaluator_config){.model = t->model,
                                                      .dataset = t->val,
                                                      .preprocess = &t->preprocess,
                                                      .tape = fv_stepper_tape(t->stepper),
                                                      .batch_size = batch,
                                                      .workers = t->workers,
                                                      .max_bad = s->max_bad},
                               &t->evaluator);
}

/* Time counts epochs, or updates with --sched-on-updates.  As in timm the warm-up is part of the
 * epochs, or comes before them with --warmup-prefix. */
static void set_schedule(fv_trainer *t) {
    const fv_settings *s = t->settings;
    const int64_t unit = s->sched_on_updates ? t->updates_per_epoch : 1;

    t->schedule = (fv_schedule){.base_lr = fv_train_lr(s),
                                .lr_min = s->min_lr,
                                .warmup_lr_init = s->warmup_lr,
                                .cycle_mul = s->lr_cycle_mul,
                                .cycle_decay = s->lr_cycle_decay,
                                .t_initial = s->epochs * unit,
                                .warmup_t = s->warmup_epochs * unit,
                                .cycle_limit = s->lr_cycle_limit,
                                .warmup_prefix = s->warmup_prefix};
    t->epochs = fv_schedule_length(&t->schedule) / unit + s->cooldown_epochs;
    if (__builtin_mul_overflow(t->epochs, t->updates_per_epoch, &t->stop_step))
        t->stop_step = INT64_MAX;
    if (s->max_steps > 0 && s->max_steps < t->stop_step) t->stop_step = s->max_steps;
}

static void announce(const fv_trainer *t) {
    fv_report_info(t->report, "model   %s, %.2f M parameters, %lldx%lld, %s", t->model->name,
                   (double)fv_params_count(&t->model->params) / 1e6,
                   (long long)t->model->input.height, (long long)t->model->input.width,
                   t->bf16 ? "bf16" : "f32");
    const int64_t frozen = fv_params_frozen(&t->model->params);
    if (frozen)
        fv_report_info(t->report, "frozen  %s: %lld of %lld parameters are left to train",
                       t->settings->freeze,
                       (long long)(fv_params_count(&t->model->params) - frozen),
                       (long long)fv_params_count(&t->model->params));
    if (t->lr_scale)
        fv_report_info(t->report, "rates   from %.3g of the learning rate in %s to all of it in %s",
                       t->lr_scale[0], t->model->params.item[0]->name, t->model->classifiers[0]);
    fv_report_info(t->report, "data    %s: %lld training, %lld validation images, %lld classes",
                   t->settings->data_dir, (long long)t->train->n_samples,
                   (long long)t->val->n_samples, (long long)t->train->n_classes);
    fv_report_info(
        t->report,
        "run     %s: %lld epochs of %lld updates of %lld images, %d threads + %d loaders", t->out,
        (long long)t->epochs, (long long)t->updates_per_epoch, (long long)t->effective_batch,
        fv_threads(), t->workers);
    if (t->resumed.folder)
        fv_report_info(t->report, "resume  %s: epoch %lld, %lld updates done", t->resumed.folder,
                       (long long)t->state.epoch, (long long)t->state.step);
}

/* ---- life ---- */

static fv_status create(fv_trainer *t) {
    FV_TRY(fv_trainer_find_run(t));
    FV_TRY(set_precision(t));
    FV_TRY(check_settings(t));
    FV_TRY(fv_trainer_open_data(t));
    FV_TRY(build_model(t));
    FV_TRY(build_optimizer(t));
    FV_TRY(fv_trainer_allocate_targets(t));
    FV_TRY(build_loaders(t));
    set_schedule(t);
    FV_TRY(fv_trainer_freeze(t));
    FV_TRY(fv_trainer_claim_run(t));
    if (t->resumed.folder) FV_TRY(fv_trainer_load(t));
    if (!fv_trainer_finished(t)) t->state.final.exists = false; /* goes on as if never stopped */
    FV_TRY(fv_trainer_write_info(t));
    if (t->resumed.folder) FV_TRY(fv_trainer_settle(t));
    const fv_run_state *s = &t->state;
    const fv_run_log_start start = {
        .run = t->out,
        .summary_bytes = s->final.exists ? s->final.summary_bytes : s->summary_bytes,
        .log_bytes = s->final.exists ? s->final.log_bytes : s->log_bytes,
        .ema = t->ema != NULL};
    FV_TRY(fv_run_log_open(&start, &t->log));
    t->state.summary_bytes = t->log.summary_bytes;
    announce(t);
    return FV_OK;
}

fv_status fv_trainer_create(const fv_settings *settings, const fv_report *report,
                            fv_trainer **out) {
    *out = NULL;
    fv_trainer *t = fv_calloc(1, sizeof *t);
    if (!t) return FV_ERR_NOMEM;
    t->settings = settings;
    t->report = report;
    t->log = (fv_run_log){.summary = -1, .log = -1};
    t->saved_step = t->claim = -1;
    const fv_status status = create(t);
    if (status != FV_OK) {
        fv_trainer_destroy(t);
        return status;
    }
    *out = t;
    return FV_OK;
}

void fv_trainer_destroy(fv_trainer *t) {
    if (!t) return;
    fv_run_log_close(&t->log);
    fv_evaluator_destroy(t->evaluator); /* records on the stepper's tape */
    fv_loader_destroy(t->loader);
    fv_stepper_destroy(t->stepper);
    fv_ema_destroy(t->ema);
    fv_optimizer_destroy(t->optimizer);
    fv_model_destroy(t->model);
    fv_dataset_destroy(t->val);
    fv_dataset_destroy(t->train);
    fv_free(t->order);
    fv_free(t->repeat);
    fv_free(t->targets);
    fv_arena_destroy(&t->arena);
    fv_folder_release(t->claim);
    fv_free(t);
}

const fv_train_result *fv_trainer_result(const fv_trainer *t) { return &t->result; }
