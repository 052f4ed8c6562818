#include "train/stepper.h"

#include "core/alloc.h"
#include "core/kernels/kernels.h"
#include "core/ops.h"
#include "core/tree.h"

#include <math.h>
#include <string.h>

struct fv_stepper {
    fv_stepper_config config;
    fv_tape *tape;
    fv_param_slab partial[FV_TREE_LEVELS]; /* gradients between the passes of one update, or {0} */
    float *losses;                         /* [effective_batch] */
    float *dy;                             /* [effective_batch], each 1 / effective_batch */
    int64_t chunk, pass_samples;
    int64_t blocks, recompute; /* of them, the first ones */
    bool settled;              /* how many is decided */
};

static int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

int64_t fv_stepper_batch_size(const fv_model *model, int64_t batch_size) {
    if (fv_params_have_buffers(&model->params)) return batch_size;
    const int64_t pass = fv_model_pass_samples(model, batch_size);
    return pass < batch_size ? pass : batch_size;
}

static fv_status allocate(fv_stepper *s) {
    const int64_t n = s->config.effective_batch;

    FV_TRY(fv_tape_create(&s->tape));
    s->losses = fv_calloc((size_t)n, sizeof *s->losses);
    s->dy = fv_alloc((size_t)n, sizeof *s->dy);
    if (!s->losses || !s->dy) return FV_ERR_NOMEM;
    for (int64_t i = 0; i < n; i++) s->dy[i] = 1.0f / (float)n;
    if (s->pass_samples >= n) return FV_OK;
    const int levels = fv_tree_levels((n + s->chunk - 1) / s->chunk);
    /* Between passes the sums of whole passes are kept: below the lowest bit of a pass there are none. */
    for (int l = __builtin_ctzll((uint64_t)(s->pass_samples / s->chunk)); l < levels; l++)
        FV_TRY(fv_params_train_slab_create(&s->config.model->params, &s->partial[l]));
    return FV_OK;
}

/* Statistics must be those of the samples that were asked for: where there are any, chunks become small
 * enough to fill a pass. */
static int64_t chunk_samples(const fv_stepper_config *config) {
    int64_t chunk = fv_model_chunk_samples(config->model);

    if (!fv_params_have_buffers(&config->model->params)) return chunk;
    while (config->batch_size % chunk != 0) chunk /= 2;
    return chunk;
}

/* A step without arithmetic tells how many blocks there are. */
static fv_status plan_memory(fv_stepper *s) {
    const fv_model_input *in = &s->config.model->input;
    const fv_tensor x = {NULL, FV_F32,
                         fv_shape_of(4, s->pass_samples, in->height, in->width, (int64_t)3)};

    fv_tape_begin(s->tape, &(fv_step){.mode = FV_TRAIN, .dry = true});
    fv_model_forward(s->config.model, fv_input(s->tape, &x, false));
    FV_TRY(fv_tape_status(s->tape));
    s->blocks = fv_tape_parts(s->tape);
    s->recompute = s->config.grad_checkpointing ? s->blocks : 0;
    const size_t limit = s->config.mem_limit;
    s->settled = !limit;
    if (limit)
        fv_tape_set_limit(s->tape, limit > FV_STEPPER_RESERVE ? limit - FV_STEPPER_RESERVE : 1);
    return FV_OK;
}

/* 1, 3, 7 ... blocks; false when all are. */
static bool recompute_more(fv_stepper *s) {
    const int64_t more = 2 * s->recompute + 1;

    if (s->recompute == s->blocks) return false;
    s->recompute = more < s->blocks ? more : s->blocks;
    return true;
}

int64_t fv_stepper_recomputed(const fv_stepper *s, int64_t *all) {
    *all = s->blocks;
    return s->recompute;
}

fv_status fv_stepper_create(const fv_stepper_config *config, fv_stepper **out) {
    *out = NULL;
    if (config->effective_batch < 1 || config->batch_size < 1)
        return FV_FAIL(FV_ERR_CONFIG, "a batch needs at least one sample");
    fv_stepper *s = fv_calloc(1, sizeof *s);
    if (!s) return FV_ERR_NOMEM;
    s->config = *config;
    s->chunk = chunk_samples(config);
    s->pass_samples = round_up(config->batch_size, s->chunk);
    if (s->pass_samples > config->effective_batch) s->pass_samples = config->effective_batch;
    fv_status status = allocate(s);
    if (status == FV_OK) status = plan_memory(s);
    if (status != FV_OK) {
        fv_stepper_destroy(s);
        return status;
    }
    *out = s;
    return FV_OK;
}

void fv_stepper_destroy(fv_stepper *s) {
    if (!s) return;
    fv_tape_destroy(s->tape);
    for (int l = 0; l < FV_TREE_LEVELS; l++) fv_params_slab_destroy(&s->partial[l]);
    fv_free(s->losses);
    fv_free(s->dy);
    fv_free(s);
}

int64_t fv_stepper_pass_samples(const fv_stepper *s) { return s->pass_samples; }

fv_tape *fv_stepper_tape(const fv_stepper *s) { return s->tape; }

size_t fv_stepper_bytes(const fv_stepper *s) { return fv_tape_bytes(s->tape); }

static void begin(fv_stepper *s, const fv_stepper_pass *pass) {
    const fv_step step = {.mode = FV_TRAIN,
                          .bf16 = s->config.bf16,
                          .check_finite = pass->check_finite,
                          .seed = s->config.seed,
                          .index = pass->index,
                          .first_sample = pass->first,
                          .total_samples = s->config.effective_batch,
                          .samples = pass->n,
                          .chunk_samples = s->chunk,
                          .recompute = s->recompute,
                          .partial =
                              s->pass_samples < s->config.effective_batch ? s->partial : NULL};
    fv_tape_begin(s->tape, &step);
}

/* logits [n,K] -> [n] */
static fv_var *loss_of(const fv_stepper *s, const fv_stepper_pass *pass, fv_var *logits) {
    const int64_t K = s->config.model->num_classes;
    const fv_tensor labels = {pass->labels, FV_I32, fv_shape_of(1, pass->n)};
    const fv_tensor targets = {pass->targets, FV_F32, fv_shape_of(2, pass->n, K)};

    if (!pass->targets)
        return fv_cross_entropy(logits, fv_input(s->tape, &labels, false), s->config.smoothing);
    fv_var *t = fv_input(s->tape, &targets, false);
    return s->config.bce ? fv_bce(logits, t) : fv_soft_cross_entropy(logits, t);
}

static fv_status run(fv_stepper *s, const fv_stepper_pass *pass) {
    const fv_model_input *in = &s->config.model->input;
    const fv_tensor x = {pass->pixels, FV_F32,
                         fv_shape_of(4, pass->n, in->height, in->width, (int64_t)3)};

    begin(s, pass);
    fv_var *logits = fv_model_forward(s->config.model, fv_input(s->tape, &x, false));
    fv_var *loss = fv_keep(loss_of(s, pass, logits));
    FV_TRY(fv_tape_status(s->tape));
    float *losses = s->losses + pass->first;
    memcpy(losses, loss->data, (size_t)pass->n * sizeof *losses);
    if (!fv_kernel()->all_finite(pass->n, losses))
        return FV_FAIL(FV_ERR_NONFINITE, "the loss is not finite");
    return fv_tape_backward(s->tape, loss, s->dy + pass->first);
}

/* While it is not settled how much is recomputed, which the first pass of a run decides. */
static fv_status attempt(fv_stepper *s, const fv_stepper_pass *pass) {
    FV_TRY(run(s, pass));
    if (s->settled || fv_tape_fits(s->tape)) return FV_OK;
    return FV_FAIL(FV_ERR_NOMEM, "the memory plan takes more than what is left to activations");
}

fv_status fv_stepper_run(fv_stepper *s, const fv_stepper_pass *pass) {
    fv_status status;

    if (s->config.bce && !pass->targets)
        return FV_FAIL(FV_ERR_INTERNAL, "binary cross entropy needs targets");
    do status = attempt(s, pass);
    while (status == FV_ERR_NOMEM && !s->settled && recompute_more(s));
    if (status == FV_ERR_NOMEM && !s->settled)
        fv_error_context(status,
                         "a pass of %lld images does not fit into %zu MB, all blocks recomputed",
                         (long long)pass->n, s->config.mem_limit >> 20);
    if (status == FV_OK && !s->settled) {
        fv_tape_set_limit(s->tape, 0); /* later passes are like this one, or smaller */
        s->settled = true;
    }
    return status;
}

static fv_status bad_gradient(const fv_params *params) {
    for (int64_t i = 0; i < params->count; i++) {
        const fv_param *p = params->item[i];
        if (p->grad && !fv_kernel()->all_finite(p->numel, p->grad))
            return FV_FAIL(FV_ERR_NONFINITE, "the gradient of %s is not finite", p->name);
    }
    return FV_FAIL(FV_ERR_NONFINITE, "the norm of the gradient is not finite");
}

fv_status fv_stepper_judge(fv_stepper *s, fv_stepper_result *out) {
    double sum = 0.0;

    for (int64_t i = 0; i < s->config.effective_batch; i++) sum += (double)s->losses[i];
    out->loss_sum = sum;
    out->loss = sum / (double)s->config.effective_batch;
    out->grad_norm = fv_params_grad_norm(&s->config.model->params);
    return isfinite(out->grad_norm) ? FV_OK : bad_gradient(&s->config.model->params);
}

void fv_stepper_commit(fv_stepper *s, double lr, const fv_stepper_result *result) {
    fv_optimizer_step(s->config.optimizer, lr,
                      fv_clip_factor(result->grad_norm, s->config.clip_grad));
    fv_tape_commit(s->tape);
    if (s->config.ema) fv_ema_update(s->config.ema, fv_optimizer_updates(s->config.optimizer));
}

fv_status fv_precision_resolve(const char *precision, bool *bf16, bool *emulated) {
    const bool native = (fv_cpu_flags() & FV_CPU_AVX512_BF16) != 0;

    *bf16 = *emulated = false;
    if (strcmp(precision, "bf16") == 0) {
        *bf16 = true;
        *emulated = !native;
    } else if (strcmp(precision, "auto") == 0) {
        *bf16 = native;
    } else if (strcmp(precision, "f32") != 0) {
        return FV_FAIL(FV_ERR_CONFIG, "unknown precision '%s'; known: auto, f32, bf16", precision);
    }
    return FV_OK;
}
