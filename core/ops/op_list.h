/* op_list.h - every op.  A new op is a file in core/ops/ and its name here; the list makes the extern
 * declarations, fv_ops[] and the tests that run over all ops. */
#ifndef FV_CORE_OPS_OP_LIST_H
#define FV_CORE_OPS_OP_LIST_H

#include "core/op.h"

#define FV_OP_LIST(X)         \
    X(linear)                 \
    X(linear_gelu)            \
    X(conv2d)                 \
    X(channel_conv)           \
    X(attention)              \
    X(channel_attention)      \
    X(route)                  \
    X(routed_attention)       \
    X(region_gather)          \
    X(attention_halo)         \
    X(halo_gather)            \
    X(rel_logits)             \
    X(gelu)                   \
    X(relu)                   \
    X(silu)                   \
    X(sigmoid)                \
    X(layernorm)              \
    X(batchnorm)              \
    X(batchnorm_running)      \
    X(batchnorm_relu)         \
    X(batchnorm_running_relu) \
    X(add)                    \
    X(cast)                   \
    X(residual)               \
    X(residual_relu)          \
    X(scale)                  \
    X(channel_scale)          \
    X(gate)                   \
    X(reshape)                \
    X(max_pool)               \
    X(avg_pool)               \
    X(mean_tokens)            \
    X(window_partition)       \
    X(window_merge)           \
    X(pad_map)                \
    X(crop_map)               \
    X(patchify)               \
    X(prepend_token)          \
    X(add_pos)                \
    X(select_token)           \
    X(slice_tokens)           \
    X(join_prefix)            \
    X(join_channels)          \
    X(slice_channels)         \
    X(heads_split)            \
    X(heads_merge)            \
    X(matmul)                 \
    X(matmul_nt)              \
    X(matmul_tn)              \
    X(softmax)                \
    X(cross_entropy)          \
    X(bce)                    \
    X(soft_cross_entropy)

#define FV_X(name) extern const fv_op fv_op_##name;
FV_OP_LIST(FV_X)
#undef FV_X

#endif
