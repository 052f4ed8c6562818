/* ops.h - builders of the ops: each takes and returns variables of one tape and never NULL.
 * Shapes in brackets; B is the sample axis.  A shape error poisons the tape (tape.h). */
#ifndef FV_CORE_OPS_H
#define FV_CORE_OPS_H

#include "core/tape.h"

/* y = x W^T + b.  x [..., I], W [O, I] (a parameter of any shape with I = numel / dim 0: patch
 * convolutions too), b [O] or NULL -> y [..., O].  Computes in x's dtype; y has it too, except that
 * fv_linear_f32 writes f32. */
fv_var *fv_linear(fv_var *x, fv_var *weight, fv_var *bias);
fv_var *fv_linear_f32(fv_var *x, fv_var *weight, fv_var *bias);

/* gelu(fv_linear(x, W, b)): one pass over the output in TRAIN and INFER, two ops in EXPLAIN. */
fv_var *fv_linear_gelu(fv_var *x, fv_var *weight, fv_var *bias);

/* erf form, y = x Phi(x) */
fv_var *fv_gelu(fv_var *x);

/* Over the last axis: gamma, beta [C].  Writes `out` (fv_product_dtype(tape), or FV_F32). */
fv_var *fv_layernorm(fv_var *x, fv_var *gamma, fv_var *beta, float eps, fv_dtype out);

/* y = a + b, equal shapes; f32. */
fv_var *fv_add(fv_var *a, fv_var *b);

/* Residual with stochastic depth (Huang et al. 2016): y = x + s_b branch, in FV_TRAIN s_b = 1/(1-rate)
 * with probability 1-rate, else 0, drawn per sample; 1 in other modes.  y is f32. */
fv_var *fv_residual(fv_var *x, fv_var *branch, float rate);

/* y = factor * x */
fv_var *fv_scale(fv_var *x, float factor);

/* x [B,H,W,3] f32 -> [B, (H/P)(W/P), 3 P P], patches row-major, elements in the order of a convolution
 * weight [D,3,P,P] (channel, row, column).  H, W multiples of P.  Writes the product dtype. */
fv_var *fv_patchify(fv_var *x, int64_t patch);

/* Puts a learned token [1,1,C] (or [1,C]) in front: x [B,N,C] -> [B,N+1,C], f32. */
fv_var *fv_prepend_token(fv_var *x, fv_var *token);

/* y = x + pos, x [B,N,C], pos parameter [1,N,C]; f32. */
fv_var *fv_add_pos(fv_var *x, fv_var *pos);

/* x [B,N,C] -> token `index` of each sample, [B,C]. */
fv_var *fv_select_token(fv_var *x, int64_t index);

/* x [B,N,C] -> tokens first .. first + count - 1 of each sample, [B,count,C]. */
fv_var *fv_slice_tokens(fv_var *x, int64_t first, int64_t count);

/* Global multi-head attention over packed projections: qkv [B,N,3,h,d] given as [B,N,3C] (q, k, v
 * blocks of C, head a owns channels [a d, (a+1) d)), softmax_j(scale q_i.k_j) v_j -> [B,N,C].
 * Scores are recomputed in backward; saves the rows' log-sum-exp [B,h,N]. */
fv_var *fv_attention(fv_var *qkv, int64_t heads, float scale);

/* The parts of its composed form. */
/* x [B,N,S h d] -> part `index` of S as heads, [B,h,N,d] */
fv_var *fv_heads_split(fv_var *x, int64_t heads, int64_t index, int64_t parts);
fv_var *fv_heads_merge(fv_var *x); /* [B,h,N,d] -> [B,N,h d] */
/* a [B,h,N,K], b [B,h,K,M] -> [B,h,N,M]; _nt: b [B,h,M,K] */
fv_var *fv_matmul(fv_var *a, fv_var *b);
fv_var *fv_matmul_nt(fv_var *a, fv_var *b);
fv_var *fv_softmax(fv_var *x); /* over the last axis */

/* Per-sample cross entropy with label smoothing s: (1-s) nll + s mean_k(-log p_k).
 * logits [B,K] f32, labels: i32 [B] in 0..K-1 -> [B] f32. */
fv_var *fv_cross_entropy(fv_var *logits, fv_var *labels, float smoothing);
/* targets f32 [B,K]: -sum_k t_k log p_k */
fv_var *fv_soft_cross_entropy(fv_var *logits, fv_var *targets);

#endif
