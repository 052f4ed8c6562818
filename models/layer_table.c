#include "models/layer_table.h"

#include "core/op.h"

static fv_layer_row row_of(const fv_var *v) {
    fv_layer_row row = {.name = v->scope, .op = v->op->name, .output = v->shape};

    for (int i = 0; i < v->op->arity; i++) {
        const fv_param *p = v->in[i] ? v->in[i]->param : NULL;
        if (p && p->trainable) row.params += p->numel;
        if (p && !row.name[0]) row.name = p->name;
    }
    if (v->op->cost) row.macs = v->op->cost(v).macs;
    return row;
}

/* Of an op's result, if backward reads it and cannot have it restored, and of what the op saved beside it. */
static int64_t kept_bytes(const fv_var *v) {
    const fv_tensor y = fv_var_tensor(v);
    int64_t bytes = v->held && !v->restorable ? (int64_t)fv_tensor_bytes(&y) : 0;

    for (int i = 0; i < v->n_saved && v->needs_grad; i++)
        bytes += (int64_t)fv_tensor_bytes(&v->saved[i]);
    return bytes;
}

static fv_status collect(const fv_tape *tape, fv_arena *arena, fv_layer_table *out) {
    const int64_t n = fv_tape_count(tape);

    out->row = fv_arena_alloc(arena, (size_t)n, sizeof *out->row);
    if (!out->row) return FV_ERR_NOMEM;
    for (int64_t i = 0; i < n; i++) {
        const fv_var *v = fv_tape_at(tape, i);
        if (!v->op) continue;
        fv_layer_row *row = &out->row[out->count++];
        *row = row_of(v);
        row->kept_bytes = kept_bytes(v);
    }
    return FV_OK;
}

fv_status fv_layer_table_make(const fv_model *model, fv_arena *arena, fv_layer_table *out) {
    const fv_tensor image = {
        NULL, FV_F32,
        fv_shape_of(4, (int64_t)1, model->input.height, model->input.width, (int64_t)3)};
    fv_tape *tape = NULL;

    *out = (fv_layer_table){0};
    FV_TRY(fv_tape_create(&tape));
    fv_tape_begin(tape, &(fv_step){.mode = FV_TRAIN, .dry = true, .samples = 1});
    /* A described model has no gradients: asking for the image's makes every op need one. */
    fv_model_forward(model, fv_input(tape, &image, true));
    fv_status status = fv_tape_status(tape);
    if (status == FV_OK) status = collect(tape, arena, out);
    fv_tape_destroy(tape);
    return status;
}
