/* halo.h - the geometry of blocked attention with halos, and its position terms, for op_halo_gather.c,
 * op_rel_logits.c and op_attention_halo.c.
 *
 * A map [H,W] is cut into blocks of b x b pixels, row-major; the window of block (Y, X) is rows
 * Y b - a .. Y b + b + a - 1 and columns likewise, w = b + 2a a side.  Queries are every stride-th
 * pixel: bq = b / stride a side of a block. */
#ifndef FV_CORE_OPS_HALO_H
#define FV_CORE_OPS_HALO_H

#include "core/op.h"

typedef struct fv_halo {
    int64_t H, W, block, halo;
    int64_t window;       /* w */
    int64_t down, across; /* blocks */
} fv_halo;

/* FV_ERR_SHAPE "<who>: 30x30 map, block 8" unless blocks fill the map. */
fv_status fv_halo_init(fv_halo *g, const char *who, int64_t H, int64_t W, int64_t block,
                       int64_t halo);

/* The pixel of position i (row-major) in the window of a block, -1 outside of the map. */
int64_t fv_halo_pixel(const fv_halo *g, int64_t block, int64_t i);

/* Position terms of bq x bq queries with w x w keys: the logit of query (i,j) and key (y,x) gets
 *     q . height[y - i + w - 1] + q . width[x - j + w - 1].
 * Of each table [2w-1,dk] only the P = w + bq - 1 rows from w - bq on occur; both, packed one behind the
 * other, are T [2P,dk], and R = q T^T [bq^2,2P] holds every term. */
typedef struct fv_rel {
    int64_t bq, w, dk;
    int64_t P;
} fv_rel;

static inline fv_rel fv_rel_of(int64_t bq, int64_t w, int64_t dk) {
    return (fv_rel){bq, w, dk, w + bq - 1};
}

/* T of dtype f32 or bf16. */
void fv_rel_pack(const fv_rel *g, const float *height, const float *width, fv_dtype dtype, void *T);
/* logits [bq^2,w^2] += the terms in R; and its transpose: dR = sums of dlogits. */
void fv_rel_add(const fv_rel *g, const float *R, float *logits);
void fv_rel_sum(const fv_rel *g, const float *dlogits, float *dR);
/* dT as gradients of the whole tables, zero in the rows that do not occur: out [2][2w-1,dk]. */
void fv_rel_unpack(const fv_rel *g, const float *dT, float *out);
/* Hands the tables' gradients over: partial has what fv_rel_unpack wrote for every sample of y and each
 * of its heads; dx are the gradients of height and width. */
fv_status fv_rel_param_gradient(const fv_var *y, const fv_rel *g, int64_t heads,
                                const float *partial, const fv_grad dx[2]);

#endif
