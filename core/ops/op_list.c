#include "core/ops/op_list.h"

const fv_op *const fv_ops[] = {
#define FV_X(name) &fv_op_##name,
    FV_OP_LIST(FV_X)
#undef FV_X
};

const int fv_ops_count = (int)(sizeof fv_ops / sizeof *fv_ops);
