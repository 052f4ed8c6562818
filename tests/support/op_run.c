#include "tests/support/op_run.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- data ---- */

static float draw(const op_in *in, int which, int64_t i, bool round) {
    const fv_rng_key key = {
        .seed = 11, .purpose = FV_RNG_TEST, .step = (uint32_t)in->kind, .layer = (uint32_t)which};
    float v = fv_rng_normal(&key, (uint64_t)i);

    if (in->kind == OP_TARGETS) v = 0.1f + fabsf(v);
    return round ? fv_bf16_to_f32(fv_bf16_from_f32(v)) : v;
}

/* Rows of an index are runs of the circle 0, 1 .. dim[rank - 2] - 1, each starting elsewhere. */
static int32_t integer(const op_in *in, int64_t i) {
    if (in->kind == OP_LABELS) return (int32_t)(7 * i % in->dim[1]);
    const int64_t row = i / in->dim[in->rank - 1], column = i % in->dim[in->rank - 1];
    return (int32_t)((row * row + 2 * row + column) % in->dim[in->rank - 2]);
}

static fv_status make_input(op_data *d, int k) {
    const op_in *in = &d->c->in[k];
    fv_shape shape;
    const int64_t n = d->numel[k] = op_in_shape(in, d->samples, &shape);
    const bool round = d->bf16 && in->bf16;

    d->in64[k] = fv_arena_alloc(&d->arena, (size_t)n, sizeof(double));
    if (!d->in64[k]) return FV_ERR_NOMEM;
    if (in->kind == OP_PARAM) {
        char name[16];
        snprintf(name, sizeof name, "p%d", k);
        d->param[k] = fv_params_add(&d->params, name, shape, (fv_init){FV_INIT_ZEROS, 0});
        return FV_OK;
    }
    fv_tensor *t = &d->in[k];
    *t = (fv_tensor){.dtype = op_in_counts(in) ? FV_I32 : (round ? FV_BF16 : FV_F32),
                     .shape = shape};
    t->data = fv_arena_alloc(&d->arena, (size_t)n, sizeof(float));
    if (!t->data) return FV_ERR_NOMEM;
    for (int64_t i = 0; i < n; i++) {
        if (op_in_counts(in)) {
            const int32_t number = integer(in, i);
            ((int32_t *)t->data)[i] = number;
            d->in64[k][i] = (double)number;
        } else {
            fv_tensor_set(t, i, draw(in, k, i, round));
            d->in64[k][i] = (double)fv_tensor_get(t, i);
        }
    }
    return FV_OK;
}

static fv_status fill_params(op_data *d) {
    FV_TRY(fv_params_alloc(&d->params, (fv_params_alloc_options){.grad = true, .bf16 = d->bf16}));
    for (int k = 0; k < d->c->n_in; k++) {
        if (!d->param[k]) continue;
        for (int64_t i = 0; i < d->numel[k]; i++) {
            d->param[k]->value[i] = draw(&d->c->in[k], k, i, d->bf16 && d->c->in[k].bf16);
            d->in64[k][i] = (double)d->param[k]->value[i];
        }
    }
    fv_params_bf16_refresh(&d->params);
    return FV_OK;
}

/* Applies the case to samples first .. first + count - 1. */
static fv_var *apply(op_data *d, fv_tape *tape, int64_t first, int64_t count,
                     fv_var *in[FV_MAX_INPUTS]) {
    for (int k = 0; k < d->c->n_in; k++) {
        if (d->param[k]) {
            in[k] = fv_param_var(tape, d->param[k]);
            continue;
        }
        fv_tensor t = d->in[k];
        const int64_t per_sample = d->numel[k] / d->samples;
        t.data = (char *)t.data + (size_t)(first * per_sample) * fv_dtype_bytes(t.dtype);
        t.shape.dim[0] = count;
        in[k] = fv_input(tape, &t, !op_in_counts(&d->c->in[k]));
    }
    return d->c->build(in);
}

/* The shape of y comes from a dry step. */
static fv_status make_dy(op_data *d) {
    const fv_rng_key key = {.seed = 12, .purpose = FV_RNG_TEST};
    fv_var *in[FV_MAX_INPUTS];
    fv_tape *tape;

    FV_TRY(fv_tape_create(&tape));
    fv_tape_begin(tape, &(fv_step){.dry = true, .bf16 = d->bf16});
    const fv_var *y = apply(d, tape, 0, d->samples, in);
    d->n_y = fv_shape_numel(&y->shape);
    const fv_status status = fv_tape_status(tape);
    fv_tape_destroy(tape);
    if (status != FV_OK) return status;
    d->dy = fv_arena_alloc(&d->arena, (size_t)d->n_y, sizeof(float));
    if (!d->dy) return FV_ERR_NOMEM;
    for (int64_t i = 0; i < d->n_y; i++) {
        const float v = fv_rng_normal(&key, (uint64_t)i);
        d->dy[i] = d->bf16 ? fv_bf16_to_f32(fv_bf16_from_f32(v)) : v;
    }
    return FV_OK;
}

fv_status op_data_create(const op_case *c, int64_t samples, bool bf16, op_data *out) {
    *out = (op_data){.c = c, .samples = samples, .bf16 = bf16};
    out->params.arena = &out->arena;
    fv_status status = FV_OK;
    for (int k = 0; status == FV_OK && k < c->n_in; k++) status = make_input(out, k);
    if (status == FV_OK) status = fill_params(out);
    if (status == FV_OK) status = make_dy(out);
    if (status != FV_OK) op_data_destroy(out);
    return status;
}

void op_data_destroy(op_data *d) {
    fv_params_destroy(&d->params);
    fv_arena_destroy(&d->arena);
}

double *op_data_oracle(op_data *d) {
    double *y = fv_arena_calloc(&d->arena, (size_t)d->n_y, sizeof *y);
    if (y) d->c->oracle(d->samples, d->in64, y);
    return y;
}

/* ---- the second reader ---- */

float op_first_gradient(int k, int64_t i) { return 0.25f * (float)((i + k) % 7 - 3); }

typedef struct reader_attr {
    int index[FV_MAX_INPUTS]; /* which input of the case each of its inputs is */
} reader_attr;

static fv_status reader_shape(fv_var *y) {
    y->shape = y->in[0]->shape;
    y->dtype = FV_F32;
    return FV_OK;
}

static fv_status reader_forward(fv_var *y) {
    const fv_tensor from = fv_var_tensor(y->in[0]);
    for (int64_t i = 0; i < fv_shape_numel(&y->shape); i++)
        ((float *)y->data)[i] = fv_tensor_get(&from, i);
    return FV_OK;
}

static fv_status reader_backward(const fv_var *y, const fv_tensor *dy, fv_grad dx[]) {
    const reader_attr *attr = y->attr;

    if (dx[0].data) fv_grad_store(&dx[0], 0, fv_shape_numel(&y->shape), dy->data);
    for (int j = 1; j < FV_MAX_INPUTS; j++)
        for (int64_t i = 0; dx[j].data && i < fv_shape_numel(&y->in[j]->shape); i++)
            fv_grad_store(&dx[j], i, 1, &(float){op_first_gradient(attr->index[j], i)});
    return FV_OK;
}

/* y = its first input, and given gradients to the others: it reads everything once more. */
static const fv_op reader = {.name = "test_reader",
                             .arity = FV_MAX_INPUTS,
                             .attr_bytes = sizeof(reader_attr),
                             .shape = reader_shape,
                             .forward = reader_forward,
                             .backward = reader_backward,
                             .relevance = fv_relevance_move,
                             .cost = fv_cost_elementwise};

static fv_var *read_again(const op_data *d, fv_var *y, fv_var *const in[], bool inputs) {
    fv_var *all[FV_MAX_INPUTS] = {y};
    reader_attr attr = {{0}};
    int n = 1;

    for (int k = 0; inputs && k < d->c->n_in && n < FV_MAX_INPUTS; k++) {
        if (d->param[k] || op_in_counts(&d->c->in[k])) continue;
        attr.index[n] = k;
        all[n++] = in[k];
    }
    return fv_apply(&reader, all, &attr);
}

/* ---- gradients ---- */

/* 0xff bytes are NaN in any float type; integers become 0. */
static void scribble(const fv_var *y, uint32_t which) {
    for (int i = 0; i < y->op->arity; i++) {
        if (!(which & FV_READS_IN(i)) || !y->in[i]) continue;
        const fv_tensor t = fv_var_tensor(y->in[i]);
        memset(t.data, t.dtype == FV_I32 ? 0 : 0xff, fv_tensor_bytes(&t));
        if (y->in[i]->param && y->in[i]->param->value_bf16)
            memset(y->in[i]->param->value_bf16, 0xff,
                   (size_t)y->in[i]->param->numel * sizeof(fv_bf16));
    }
    if (which & FV_READS_Y) {
        const fv_tensor t = fv_var_tensor(y);
        memset(t.data, 0xff, fv_tensor_bytes(&t));
    }
}

static void take(op_data *d, const op_settings *s, fv_var *const in[], const fv_var *y,
                 int64_t first, int64_t count, op_result *out) {
    const int64_t y_per = d->n_y / d->samples;
    const float none = y->in[0]->op->constant ? 0.0f : NAN; /* a choice gives no gradient */

    memcpy(out->y + first * y_per, y->data, (size_t)(count * y_per) * sizeof(float));
    for (int k = 0; k < d->c->n_in; k++) {
        const int64_t per = d->numel[k] / d->samples;
        if (d->param[k] || !out->dx[k]) continue;
        for (int64_t i = 0; i < count * per; i++) {
            const float g = in[k]->grad.data ? fv_tensor_get(&in[k]->grad, i) : none;
            out->dx[k][first * per + i] = s->add ? g - op_first_gradient(k, i) : g;
        }
    }
}

static fv_status run_pass(op_data *d, const op_settings *s, fv_tape *tape,
                          const fv_param_slab *partial, int64_t first, op_result *out) {
    const int64_t pass = s->pass ? s->pass : d->samples;
    const int64_t count = d->samples - first < pass ? d->samples - first : pass;
    fv_var *in[FV_MAX_INPUTS];

    fv_tape_begin(tape, &(fv_step){.mode = s->mode,
                                   .bf16 = d->bf16,
                                   .running_stats = d->c->running_stats,
                                   .seed = 5,
                                   .index = 3,
                                   .first_sample = first,
                                   .total_samples = d->samples,
                                   .samples = count,
                                   .chunk_samples = s->chunk,
                                   .partial = partial});
    fv_var *y = apply(d, tape, first, count, in);
    if (s->scribble) fv_keep(y);
    if (s->forget && y->op->restore) {
        scribble(y, FV_READS_Y);
        y->forgotten = true;
    }
    fv_var *z = fv_keep(read_again(d, y, in, s->add));
    FV_TRY(fv_tape_status(tape));
    scribble(y, s->scribble);
    if (s->mode != FV_INFER)
        FV_TRY(fv_tape_backward(tape, z, d->dy + first * (d->n_y / d->samples)));
    take(d, s, in, z, first, count, out);
    return FV_OK;
}

fv_status op_run(op_data *d, const op_settings *s, op_result *out) {
    fv_param_slab partial[FV_TREE_LEVELS] = {{NULL}};
    const int64_t chunks = s->chunk ? (d->samples + s->chunk - 1) / s->chunk : 1;
    const int levels = s->pass ? fv_tree_levels(chunks) : 0;
    fv_tape *tape = NULL;

    *out = (op_result){.y = fv_arena_calloc(&d->arena, (size_t)d->n_y, sizeof(float))};
    fv_params_grad_zero(&d->params);
    fv_status status = out->y ? fv_tape_create(&tape) : FV_ERR_NOMEM;
    for (int l = 0; status == FV_OK && l < levels; l++)
        status = fv_params_slab_create(&d->params, &partial[l]);
    for (int k = 0; status == FV_OK && s->mode != FV_INFER && k < d->c->n_in; k++) {
        if (op_in_counts(&d->c->in[k]) || (d->param[k] && s->mode != FV_TRAIN)) continue;
        out->dx[k] = fv_arena_calloc(&d->arena, (size_t)d->numel[k], sizeof(float));
        if (!out->dx[k]) status = FV_ERR_NOMEM;
    }
    const int64_t step = s->pass ? s->pass : d->samples;
    for (int64_t first = 0; status == FV_OK && first < d->samples; first += step)
        status = run_pass(d, s, tape, levels ? partial : NULL, first, out);
    for (int k = 0; status == FV_OK && k < d->c->n_in; k++)
        if (d->param[k] && out->dx[k])
            memcpy(out->dx[k], d->param[k]->grad, (size_t)d->numel[k] * sizeof(float));
    fv_tape_destroy(tape);
    for (int l = 0; l < levels; l++) fv_params_slab_destroy(&partial[l]);
    return status;
}

/* ---- relevance ---- */

static void pick(const fv_var *y, void *user, fv_rule *rule) {
    (void)y;
    *rule = *(const fv_rule *)user;
}

static fv_status relevance_of(op_data *d, const fv_rule *rule, fv_tape *tape, op_relevance *out) {
    fv_var *in[FV_MAX_INPUTS];

    fv_tape_begin(tape, &(fv_step){.mode = FV_EXPLAIN, .samples = d->samples});
    fv_var *y = fv_keep(apply(d, tape, 0, d->samples, in));
    FV_TRY(fv_tape_relevance(tape, y, d->dy, (int)rule->kind, pick, (void *)rule, &out->ledger));
    memcpy(out->y, y->data, (size_t)d->n_y * sizeof(float));
    for (int k = 0; k < d->c->n_in; k++)
        if (out->rx[k])
            memcpy(out->rx[k], in[k]->relevance.data, (size_t)d->numel[k] * sizeof(float));
    return FV_OK;
}

fv_status op_run_relevance(op_data *d, const fv_rule *rule, op_relevance *out) {
    fv_tape *tape = NULL;

    *out = (op_relevance){0};
    FV_TRY(fv_ledger_init(&out->ledger, d->samples, &d->arena));
    out->y = fv_arena_calloc(&d->arena, (size_t)d->n_y, sizeof(float));
    if (!out->y) return FV_ERR_NOMEM;
    for (int k = 0; k < d->c->n_in; k++) {
        if (d->param[k] || op_in_counts(&d->c->in[k])) continue;
        out->rx[k] = fv_arena_calloc(&d->arena, (size_t)d->numel[k], sizeof(float));
        if (!out->rx[k]) return FV_ERR_NOMEM;
    }
    fv_status status = fv_tape_create(&tape);
    if (status == FV_OK) status = relevance_of(d, rule, tape, out);
    fv_tape_destroy(tape);
    return status;
}
