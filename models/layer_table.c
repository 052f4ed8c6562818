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

/* The variable in whose buffer the values stand. */
static const fv_var *owner(const fv_var *v) {
    while (v->op && v->op->alias) v = v->in[0];
    return v;
}

/* Which buffers some backward reads, by the owner's number. */
static void mark_kept(const fv_tape *tape, bool kept[]) {
    for (int64_t k = 0; k < fv_tape_count(tape); k++) {
        const fv_var *v = fv_tape_at(tape, k);
        if (!v->op || !v->needs_grad) continue;
        if (v->op->reads & FV_READS_Y) kept[owner(v)->id] = true;
        for (int i = 0; i < v->op->arity; i++)
            if (v->in[i] && v->op->reads & FV_READS_IN(i)) kept[owner(v->in[i])->id] = true;
    }
}

/* Of an op's result, if it is kept, and of what the op saved beside it. */
static int64_t kept_bytes(const fv_var *v, const bool kept[]) {
    const fv_tensor y = fv_var_tensor(v);
    int64_t bytes = kept[v->id] ? (int64_t)fv_tensor_bytes(&y) : 0;

    for (int i = 0; i < v->n_saved && v->needs_grad; i++)
        bytes += (int64_t)fv_tensor_bytes(&v->saved[i]);
    return bytes;
}

static fv_status collect(const fv_tape *tape, fv_arena *arena, fv_layer_table *out) {
    const int64_t n = fv_tape_count(tape);
    bool *kept = fv_arena_calloc(arena, (size_t)n, sizeof *kept);

    out->row = fv_arena_alloc(arena, (size_t)n, sizeof *out->row);
    if (!out->row || !kept) return FV_ERR_NOMEM;
    mark_kept(tape, kept);
    for (int64_t i = 0; i < n; i++) {
        const fv_var *v = fv_tape_at(tape, i);
        if (!v->op) continue;
        fv_layer_row *row = &out->row[out->count++];
        *row = row_of(v);
        row->kept_bytes = kept_bytes(v, kept);
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
