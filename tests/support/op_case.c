#include "tests/support/op_case.h"

static const op_case *const tables[] = {op_cases_linear, op_cases_conv,      op_cases_row,
                                        op_cases_token,  op_cases_attention, op_cases_loss,
                                        op_cases_map};

const op_case *op_case_at(int i) {
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const op_case *c = tables[t]; c->op; c++)
            if (i-- == 0) return c;
    return NULL;
}

int64_t op_in_shape(const op_in *in, int64_t samples, fv_shape *shape) {
    *shape = (fv_shape){.rank = in->rank};
    for (int i = 0; i < in->rank; i++) shape->dim[i] = in->dim[i];
    if (in->kind == OP_LABELS) *shape = fv_shape_of(1, samples);
    if (in->kind != OP_PARAM) shape->dim[0] = samples;
    return fv_shape_numel(shape);
}
