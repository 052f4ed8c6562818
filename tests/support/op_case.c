#include "tests/support/op_case.h"

#include <string.h>

static const op_case *const tables[] = {op_cases_linear, op_cases_conv,      op_cases_row,
                                        op_cases_token,  op_cases_attention, op_cases_routing,
                                        op_cases_loss,   op_cases_map,       op_cases_halo};

const op_case *op_case_at(int i) {
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const op_case *c = tables[t]; c->op; c++)
            if (i-- == 0) return c;
    return NULL;
}

const fv_op *op_case_op(const op_case *c) {
    for (int i = 0; i < fv_ops_count; i++)
        if (strcmp(fv_ops[i]->name, c->op) == 0) return fv_ops[i];
    return NULL;
}

bool op_in_counts(const op_in *in) { return in->kind == OP_LABELS || in->kind == OP_INDEX; }

int64_t op_in_shape(const op_in *in, int64_t samples, fv_shape *shape) {
    *shape = (fv_shape){.rank = in->rank};
    for (int i = 0; i < in->rank; i++) shape->dim[i] = in->dim[i];
    if (in->kind == OP_LABELS) *shape = fv_shape_of(1, samples);
    if (in->kind != OP_PARAM) shape->dim[0] = samples;
    return fv_shape_numel(shape);
}
