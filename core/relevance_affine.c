/* relevance_affine.c - relevance of affine ops (relevance.h, fv_affine_kind).
 *
 * A rule is a table: one or two sides, each a denominator Z = sum of sign W_t x_t over its terms plus a
 * part of the bias, s = coefficient R / stab(Z), and x_t J(W_t)s to the input per term.  Products are the
 * op's own forward and backward on scratch weights and inputs, so that linear layers and convolutions
 * share all of it. */
#include "core/op.h"
#include "core/ops/op_list.h"

#include <string.h>

/* ---- the table ---- */

typedef enum part_of_x { X, X_POSITIVE, X_NEGATIVE, X_LOW, X_HIGH, X_ONE } part_of_x;

typedef enum part_of_w {
    W,
    W_POSITIVE,
    W_NEGATIVE,
    W_LIFTED,
    W_LOWERED,
    W_SQUARE,
    W_ONE
} part_of_w;

typedef enum rows { ALL_ROWS, ROWS_ABOVE, ROWS_BELOW } rows; /* by the sign of the output */

typedef struct term {
    part_of_x x;
    part_of_w w;
    float sign;
} term;

typedef struct side {
    int n_terms;
    term term[3];
    part_of_w bias; /* the same of the bias; W_ONE: none */
    rows rows;
    bool is_beta; /* counts -beta, else alpha */
    bool whole;   /* Z is the output itself */
} side;

typedef struct affine_rule {
    int n_sides;
    side side[2];
} affine_rule;

static const affine_rule rules[FV_AFFINE_COUNT] = {
    [FV_AFFINE_EPSILON] = {1, {{1, {{X, W, 1.0f}}, W, .whole = true}}},
    [FV_AFFINE_ZPLUS] =
        {1, {{2, {{X_POSITIVE, W_POSITIVE, 1.0f}, {X_NEGATIVE, W_NEGATIVE, 1.0f}}, W_POSITIVE}}},
    [FV_AFFINE_ALPHA_BETA] =
        {2,
         {{2, {{X_POSITIVE, W_POSITIVE, 1.0f}, {X_NEGATIVE, W_NEGATIVE, 1.0f}}, W_POSITIVE},
          {2,
           {{X_POSITIVE, W_NEGATIVE, 1.0f}, {X_NEGATIVE, W_POSITIVE, 1.0f}},
           W_NEGATIVE,
           .is_beta = true}}},
    [FV_AFFINE_GAMMA] =
        {2,
         {{2, {{X_POSITIVE, W_LIFTED, 1.0f}, {X_NEGATIVE, W_LOWERED, 1.0f}}, W_LIFTED, ROWS_ABOVE},
          {2,
           {{X_POSITIVE, W_LOWERED, 1.0f}, {X_NEGATIVE, W_LIFTED, 1.0f}},
           W_LOWERED,
           ROWS_BELOW}}},
    [FV_AFFINE_BOX] =
        {1, {{3, {{X, W, 1.0f}, {X_LOW, W_POSITIVE, -1.0f}, {X_HIGH, W_NEGATIVE, -1.0f}}, W_ONE}}},
    [FV_AFFINE_WSQUARE] = {1, {{1, {{X_ONE, W_SQUARE, 1.0f}}, W_SQUARE}}},
    [FV_AFFINE_FLAT] = {1, {{1, {{X_ONE, W_ONE, 1.0f}}, W_ONE}}},
    [FV_AFFINE_POSITIVE] = {1, {{1, {{X, W_POSITIVE, 1.0f}}, W_ONE}}},
};

typedef struct taking {
    part_of_w w;
    part_of_x x;
    const fv_rule *rule;
    const float *from;
    float *out;
    int64_t columns; /* of the input */
} taking;

static float weight_part(part_of_w part, float gamma, float w) {
    const float up = w > 0.0f ? w : 0.0f, down = w < 0.0f ? w : 0.0f;

    switch (part) {
    case W_POSITIVE:
        return up;
    case W_NEGATIVE:
        return down;
    case W_LIFTED:
        return w + gamma * up;
    case W_LOWERED:
        return w + gamma * down;
    case W_SQUARE:
        return w * w;
    case W_ONE:
        return 1.0f;
    case W:
        break;
    }
    return w;
}

static void take_weights_block(int64_t sample, int64_t begin, int64_t end, double *unused,
                               void *arg) {
    const taking *t = arg;

    (void)sample, (void)unused;
    for (int64_t i = begin; i < end; i++) t->out[i] = weight_part(t->w, t->rule->gamma, t->from[i]);
}

static void take_weights(part_of_w part, const fv_rule *rule, int64_t n, const float *w,
                         float *out) {
    taking t = {.w = part, .rule = rule, .from = w, .out = out};

    fv_for_elements(1, n, 1, take_weights_block, &t);
}

static void take_inputs_block(int64_t sample, int64_t begin, int64_t end, double *unused,
                              void *arg) {
    const taking *t = arg;
    const float *box = t->x == X_LOW ? t->rule->low : t->rule->high;

    (void)sample, (void)unused;
    for (int64_t i = begin; i < end; i++) {
        if (t->x == X_LOW || t->x == X_HIGH)
            t->out[i] = box[i % t->columns * 3 / t->columns];
        else if (t->x == X_ONE)
            t->out[i] = 1.0f;
        else
            t->out[i] = (t->from[i] > 0.0f) == (t->x == X_POSITIVE) ? t->from[i] : 0.0f;
    }
}

/* The columns of a row are a pixel's channels, or patches of each channel one after the other. */
static void take_inputs(part_of_x part, const fv_rule *rule, const fv_var *x, float *out) {
    taking t = {
        .x = part, .rule = rule, .from = x->data, .out = out, .columns = fv_shape_last(&x->shape)};

    fv_for_elements(1, fv_shape_numel(&x->shape), 1, take_inputs_block, &t);
}

/* ---- products ---- */

typedef struct job {
    const fv_var *y;
    const fv_rule *rule;
    const float *r, *z;          /* relevance and value of the output */
    const float *weight, *bias;  /* folded where there is a batch norm; bias NULL: zeros */
    int64_t O, n_w, n_x, n_y, B; /* rows of W; elements; samples */
    float *w, *x, *Z, *y_tmp, *x_tmp, *s, *b;
} job;

static const float *input_of(const job *j, part_of_x part) {
    if (part == X) return j->y->in[0]->data;
    take_inputs(part, j->rule, j->y->in[0], j->x);
    return j->x;
}

/* The op with the weights of a term and without bias; frees what it took of the tape's scratch. */
typedef struct scratch_op {
    fv_var x, w, y;
} scratch_op;

static void replace(const job *j, const term *t, scratch_op *op) {
    take_weights(t->w, j->rule, j->n_w, j->weight, j->w);
    op->x = *j->y->in[0];
    op->w = *j->y->in[1];
    op->y = *j->y;
    op->w.data = j->w;
    op->w.param = NULL;
    op->y.in[0] = &op->x;
    op->y.in[1] = &op->w;
    op->y.in[2] = NULL;
}

/* out [n_y] = W_t x_t */
static fv_status product(const job *j, const term *t, float *out) {
    const int mark = fv_tape_scratch_mark(j->y->tape);
    scratch_op op;

    replace(j, t, &op);
    op.x.data = (void *)(uintptr_t)input_of(j, t->x);
    op.y.data = out;
    const fv_status status = op.y.op->forward(&op.y);
    fv_tape_scratch_release(j->y->tape, mark);
    return status;
}

/* out [n_x] = J(W_t) s */
static fv_status transposed(const job *j, const term *t, float *out) {
    const int mark = fv_tape_scratch_mark(j->y->tape);
    const fv_tensor s = {j->s, FV_F32, j->y->shape};
    fv_grad dx[FV_MAX_INPUTS] = {{.data = out, .dtype = FV_F32}};
    scratch_op op;

    replace(j, t, &op);
    const fv_status status = op.y.op->backward(&op.y, &s, dx);
    fv_tape_scratch_release(j->y->tape, mark);
    return status;
}

/* Whether all elements are known to be at least 0, from the ops in front alone: what is left out must
 * not depend on the batch. */
static bool never_negative(const fv_var *x) {
    while (x->op == &fv_op_max_pool || x->op == &fv_op_avg_pool || x->op == &fv_op_reshape)
        x = x->in[0];
    return x->op == &fv_op_relu;
}

static bool is_empty(const job *j, const term *t) {
    return t->x == X_NEGATIVE && never_negative(j->y->in[0]);
}

/* ---- one side ---- */

/* What the loops of one side read. */
typedef struct side_of {
    const job *j;
    const side *d;
    const float *x;          /* of the term at hand */
    float sign, coefficient; /* of the term, of the side */
    float *rx;
} side_of;

static void add_product(int64_t sample, int64_t begin, int64_t end, double *unused, void *arg) {
    const side_of *o = arg;

    (void)sample, (void)unused;
    fv_kernel()->axpy(end - begin, o->sign, o->j->y_tmp + begin, o->j->Z + begin);
}

static void add_bias(int64_t sample, int64_t begin, int64_t end, double *unused, void *arg) {
    const job *j = ((const side_of *)arg)->j;

    (void)sample, (void)unused;
    for (int64_t i = begin; i < end; i += j->O)
        for (int64_t o = 0; o < j->O; o++) j->Z[i + o] += j->b[o];
}

static fv_status denominator(const job *j, const side *d) {
    if (d->whole && !j->rule->zero_bias) {
        memcpy(j->Z, j->z, (size_t)j->n_y * sizeof *j->Z);
        return FV_OK;
    }
    memset(j->Z, 0, (size_t)j->n_y * sizeof *j->Z);
    for (int t = 0; t < d->n_terms; t++) {
        if (is_empty(j, &d->term[t])) continue;
        FV_TRY(product(j, &d->term[t], j->y_tmp));
        fv_for_elements(1, j->n_y, 1, add_product, &(side_of){.j = j, .sign = d->term[t].sign});
    }
    fv_for_elements(1, j->n_y, j->O, add_bias, &(side_of){.j = j});
    return FV_OK;
}

static bool takes_part(const side *d, float z) {
    return d->rows == ALL_ROWS || (d->rows == ROWS_ABOVE ? z > 0.0f : z < 0.0f);
}

/* s, and what the bias and the stabiliser take: sum s b and sum s (D - Z). */
static void divide_rows(int64_t sample, int64_t begin, int64_t end, double *sums, void *arg) {
    const side_of *of = arg;
    const job *j = of->j;
    const fv_stabiliser stab = fv_sample_stabiliser(j->rule, sample);

    for (int64_t row = begin; row < end; row += j->O) {
        for (int64_t o = 0; o < j->O; o++) {
            const int64_t i = row + o;
            const float D = fv_stabilise(stab, j->Z[i]);
            j->s[i] = takes_part(of->d, j->z[i]) ? of->coefficient * j->r[i] / D : 0.0f;
            sums[0] += (double)j->s[i] * (double)j->b[o];
            sums[1] += (double)j->s[i] * ((double)D - (double)j->Z[i]);
        }
    }
}

static void divide(const job *j, const side *d, float coefficient) {
    side_of of = {.j = j, .d = d, .coefficient = coefficient};

    fv_stabilise_samples(j->rule, j->n_y / j->B, j->Z, 1.0f);
    fv_ledger_sum(j->rule->ledger, j->n_y / j->B, j->O, divide_rows, &of,
                  (fv_sink[]){FV_SINK_BIAS, FV_SINK_EPS}, 2);
}

static void add_relevance(int64_t sample, int64_t begin, int64_t end, double *unused, void *arg) {
    const side_of *o = arg;

    (void)sample, (void)unused;
    for (int64_t i = begin; i < end; i++) o->rx[i] += o->sign * o->x[i] * o->j->x_tmp[i];
}

static fv_status hand_on(const job *j, const side *d, float *rx) {
    for (int t = 0; t < d->n_terms; t++) {
        const term *part = &d->term[t];
        if (is_empty(j, part)) continue;
        FV_TRY(transposed(j, part, j->x_tmp));
        side_of of = {.j = j, .x = input_of(j, part->x), .sign = part->sign, .rx = rx};
        fv_for_elements(1, j->n_x, 1, add_relevance, &of);
    }
    return FV_OK;
}

static void take_bias(const job *j, const side *d) {
    memset(j->b, 0, (size_t)j->O * sizeof *j->b);
    if (!j->bias || j->rule->zero_bias || d->bias == W_ONE) return;
    take_weights(d->bias, j->rule, j->O, j->bias, j->b);
}

/* ---- the rules ---- */

static fv_status fold(job *j) {
    float *w = fv_tape_scratch(j->y->tape, j->n_w), *b = fv_tape_scratch(j->y->tape, j->O);

    if (!w || !b) return FV_ERR_NOMEM;
    fv_relevance_fold(j->y, j->rule->folded, w, b);
    j->weight = w;
    j->bias = b;
    j->z = j->rule->folded->data;
    return FV_OK;
}

static fv_status prepare(job *j, const fv_var *y, const float *r, const fv_rule *rule) {
    fv_tape *tape = y->tape;

    *j = (job){.y = y,
               .rule = rule,
               .r = r,
               .z = y->data,
               .weight = y->in[1]->data,
               .bias = y->in[2] ? y->in[2]->data : NULL,
               .O = fv_shape_last(&y->shape),
               .n_w = fv_shape_numel(&y->in[1]->shape),
               .n_x = fv_shape_numel(&y->in[0]->shape),
               .n_y = fv_shape_numel(&y->shape),
               .B = y->shape.dim[0]};
    /* one block: an op may hold few scratch buffers */
    const int64_t most = 3 * j->n_y + 2 * j->n_x + j->n_w + j->O;
    j->Z = fv_tape_scratch(tape, most);
    if (!j->Z) return FV_ERR_NOMEM;
    j->y_tmp = j->Z + j->n_y;
    j->s = j->y_tmp + j->n_y;
    j->x = j->s + j->n_y;
    j->x_tmp = j->x + j->n_x;
    j->w = j->x_tmp + j->n_x;
    j->b = j->w + j->n_w;
    return rule->folded ? fold(j) : FV_OK;
}

/* Rows of z = 0 belong to neither side. */
static void drop_block(int64_t sample, int64_t begin, int64_t end, double *sums, void *arg) {
    const job *j = arg;

    (void)sample;
    for (int64_t i = begin; i < end; i++)
        if (j->z[i] == 0.0f) sums[0] += (double)j->r[i];
}

static fv_status check(const fv_var *y, const fv_rule *rule) {
    if (rule->affine != FV_AFFINE_BOX) return FV_OK;
    if (!rule->low || !rule->high)
        return FV_FAIL(FV_ERR_CONFIG, "the box rule needs the smallest and largest pixel");
    if (fv_shape_last(&y->in[0]->shape) % 3 == 0) return FV_OK;
    return FV_FAIL(FV_ERR_CONFIG, "the box rule is for an op that reads the image");
}

static fv_status by_table(const fv_var *y, const fv_signal *ry, float *rx, const fv_rule *rule) {
    const affine_rule *table = &rules[rule->affine];
    const bool balanced = rule->affine == FV_AFFINE_ALPHA_BETA;
    job j;

    FV_TRY(check(y, rule));
    if (fv_shape_numel(&y->shape) == 0) return FV_OK;
    FV_TRY(prepare(&j, y, ry->data, rule));
    if (rx) memset(rx, 0, (size_t)j.n_x * sizeof *rx);
    if (table->side[0].rows != ALL_ROWS)
        fv_ledger_sum(rule->ledger, j.n_y / j.B, 1, drop_block, &j, (fv_sink[]){FV_SINK_DROP}, 1);
    for (int i = 0; i < table->n_sides; i++) {
        const side *d = &table->side[i];
        take_bias(&j, d);
        FV_TRY(denominator(&j, d));
        divide(&j, d, !balanced ? 1.0f : d->is_beta ? -rule->beta : rule->alpha);
        if (rx) FV_TRY(hand_on(&j, d, rx));
    }
    return FV_OK;
}

typedef struct bias_of {
    const float *bias, *g;
    int64_t O;
} bias_of;

static void bias_rows(int64_t sample, int64_t begin, int64_t end, double *sums, void *arg) {
    const bias_of *of = arg;

    (void)sample;
    for (int64_t i = begin; i < end; i += of->O)
        for (int64_t o = 0; o < of->O; o++) sums[0] += (double)of->bias[o] * (double)of->g[i + o];
}

/* GI: g_x = g_y W; the bias takes sum b g. */
fv_status fv_relevance_affine(const fv_var *y, const fv_signal *ry, fv_signal rx[],
                              const fv_rule *rule) {
    const int64_t B = y->shape.dim[0], n = B ? fv_shape_numel(&y->shape) / B : 0;
    bias_of of = {y->in[2] ? y->in[2]->data : NULL, ry->data, fv_shape_last(&y->shape)};

    if (ry->kind == FV_SIGNAL_R) return by_table(y, ry, rx[0].data, rule);
    if (of.bias) fv_ledger_sum(rule->ledger, n, of.O, bias_rows, &of, (fv_sink[]){FV_SINK_BIAS}, 1);
    if (!rx[0].data) return FV_OK;
    const fv_tensor dy = {ry->data, FV_F32, y->shape};
    fv_grad dx[FV_MAX_INPUTS] = {{.data = rx[0].data, .dtype = FV_F32}};
    return y->op->backward(y, &dy, dx);
}
