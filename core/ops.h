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

typedef struct fv_conv2d_args {
    int64_t stride;                    /* 0 stands for 1 */
    int64_t padding;                   /* rows and columns of zeros on each side */
    int64_t extra_bottom, extra_right; /* more of them below and to the right */
    int64_t groups;                    /* 0 stands for 1; C and O: depthwise */
    bool f32;                          /* write f32 whatever x is */
} fv_conv2d_args;

/* 2-D convolution of maps: x [B,H,W,C], weight [O,C/groups,kh,kw], bias [O] or NULL -> y [B,Ho,Wo,O],
 * Ho = (H + 2 padding + extra_bottom - kh) / stride + 1 rounded down.  The padding is smaller than the
 * kernel.  Computes in x's dtype and writes it.  A dense 1x1 kernel of stride 1 becomes fv_linear. */
fv_var *fv_conv2d(fv_var *x, fv_var *weight, fv_var *bias, const fv_conv2d_args *args);

/* Along the channels: x [B,C] f32, weight [1,1,k], k odd -> y_c = sum_t weight_t x_{c + t - k/2}, [B,C]. */
fv_var *fv_channel_conv(fv_var *x, fv_var *weight);

/* Element by element, in x's dtype: gelu x Phi(x) (erf form), relu max(x, 0), silu x sigma(x),
 * sigmoid sigma(x) = 1 / (1 + e^-x).  fv_activation chooses by kind and writes `out`. */
typedef enum fv_activation_kind { FV_GELU, FV_RELU, FV_SILU, FV_SIGMOID } fv_activation_kind;
fv_var *fv_activation(fv_var *x, fv_activation_kind kind, fv_dtype out);
fv_var *fv_gelu(fv_var *x);
fv_var *fv_relu(fv_var *x);
fv_var *fv_silu(fv_var *x);
fv_var *fv_sigmoid(fv_var *x);

/* Over the last axis: gamma, beta [C].  Writes `out` (fv_product_dtype(tape), or FV_F32). */
fv_var *fv_layernorm(fv_var *x, fv_var *gamma, fv_var *beta, float eps, fv_dtype out);

/* Over everything but the last axis: gamma, beta [C] parameters.  In FV_TRAIN with the statistics of
 * this pass (at least two rows; proposes new running ones, fv_tape_propose), in other modes, with
 * fv_step.running_stats and where they are frozen, with the running ones.  Writes `out`. */
typedef struct fv_batchnorm_stats {
    fv_param *mean, *var; /* buffers [C] */
    fv_param *batches;    /* buffer of one element, counts passes; may be NULL */
    float eps, momentum;  /* running += momentum (seen - running) */
} fv_batchnorm_stats;
fv_var *fv_batchnorm(fv_var *x, fv_var *gamma, fv_var *beta, const fv_batchnorm_stats *stats,
                     fv_dtype out);
/* relu(fv_batchnorm(...)): one pass in TRAIN and INFER, two ops in EXPLAIN. */
fv_var *fv_batchnorm_relu(fv_var *x, fv_var *gamma, fv_var *beta, const fv_batchnorm_stats *stats,
                          fv_dtype out);

/* y = a + b, equal shapes; f32.  _to writes `out`. */
fv_var *fv_add(fv_var *a, fv_var *b);
fv_var *fv_add_to(fv_var *a, fv_var *b, fv_dtype out);

/* y = x as `out`, f32 or bf16: what a product reads from the residual stream. */
fv_var *fv_cast(fv_var *x, fv_dtype out);

/* Residual with stochastic depth (Huang et al. 2016): y = x + s_b branch, in FV_TRAIN s_b = 1/(1-rate)
 * with probability 1-rate, else 0, drawn per sample; 1 in other modes.  y is f32. */
fv_var *fv_residual(fv_var *x, fv_var *branch, float rate);
/* relu(the same), written as `out`: one pass in TRAIN and INFER, two ops in EXPLAIN. */
fv_var *fv_residual_relu(fv_var *x, fv_var *branch, float rate, fv_dtype out);

/* y = factor * x */
fv_var *fv_scale(fv_var *x, float factor);

/* y = gamma x (layer scale), x [B,...,C], gamma [C] a parameter; in x's dtype. */
fv_var *fv_channel_scale(fv_var *x, fv_var *gamma);
/* y = s x (squeeze-excitation), x [B,...,C], s [B,C] or [B,1,1,C]; in x's dtype.  To relevance the
 * gate s is a constant. */
fv_var *fv_gate(fv_var *x, fv_var *s);

/* The same elements in another shape, dim 0 unchanged.  Shares x's buffer: costs nothing. */
fv_var *fv_reshape(fv_var *x, fv_shape shape);
fv_var *fv_map_to_tokens(fv_var *x);                       /* [B,H,W,C] -> [B,H W,C] */
fv_var *fv_tokens_to_map(fv_var *x, int64_t H, int64_t W); /* [B,H W,C] -> [B,H,W,C] */

/* Windows of k x k pixels (k <= 16), x [B,H,W,C] -> [B,Ho,Wo,C], Ho = floor((H + 2 pad - k)/stride) + 1,
 * in x's dtype.  max: what lies outside never wins (pad <= k/2), the first of equals does. */
fv_var *fv_max_pool(fv_var *x, int64_t k, int64_t stride, int64_t pad);
fv_var *fv_avg_pool(fv_var *x, int64_t k, int64_t stride);

/* Mean over all positions but the first `skip`: x [B,N,C] or [B,H,W,C] -> [B,C].  Writes `out`. */
fv_var *fv_mean_tokens(fv_var *x, int64_t skip, fv_dtype out);

/* x [B,H,W,C] -> windows of h x w pixels [B,nW,h w,C], windows and pixels row-major, zeros at the bottom
 * and right where h, w do not divide H, W.  Merge is the inverse: -> [B,H,W,C], zeros left out. */
fv_var *fv_window_partition(fv_var *x, int64_t h, int64_t w);
fv_var *fv_window_merge(fv_var *x, int64_t h, int64_t w, int64_t H, int64_t W);

/* x [B,H,W,C] with zeros at the bottom and right up to multiples of h and w; x itself when it has them. */
fv_var *fv_pad_map(fv_var *x, int64_t h, int64_t w);
/* The upper left part [B,H,W,C]; x itself when that is all. */
fv_var *fv_crop_map(fv_var *x, int64_t H, int64_t W);

/* x [B,H,W,3] f32 -> [B, (H/P)(W/P), 3 P P], patches row-major, elements in the order of a convolution
 * weight [D,3,P,P] (channel, row, column).  H, W multiples of P.  Writes the product dtype. */
fv_var *fv_patchify(fv_var *x, int64_t patch);

/* Puts a learned token [1,1,C] (or [1,C]) in front: x [B,N,C] -> [B,N+1,C], f32. */
fv_var *fv_prepend_token(fv_var *x, fv_var *token);

/* y = x + pos, x [B,N,C], pos parameter [1,N,C]; f32. */
fv_var *fv_add_pos(fv_var *x, fv_var *pos);

/* x [B,N,C] -> token `index` of each sample, [B,C]. */
fv_var *fv_select_token(fv_var *x, int64_t index);

/* x [B,N,C] -> tokens first .. first + count - 1 of each sample, [B,count,C]; of each window where x is
 * [B,nW,N,C]. */
fv_var *fv_slice_tokens(fv_var *x, int64_t first, int64_t count);

/* a [...,m], b [...,n] -> [...,m+n], and elements first .. first + count - 1 of the last axis. */
fv_var *fv_join_channels(fv_var *a, fv_var *b);
fv_var *fv_slice_channels(fv_var *x, int64_t first, int64_t count);

/* Multi-head attention over packed projections: qkv [B,N,3,h,d] given as [B,N,3C] (q, k, v blocks of C,
 * head a owns channels [a d, (a+1) d)), softmax_j(scale q_i.k_j) v_j -> [B,N,C].  Windows [B,nW,N,3C]
 * attend each to itself -> [B,nW,N,C].  Scores are recomputed in backward; saves the rows' log-sum-exp.
 * _queries: only tokens first .. first + count - 1 ask (count 0: all), all N answer -> [B,(nW,)count,C]. */
fv_var *fv_attention(fv_var *qkv, int64_t heads, float scale);
fv_var *fv_attention_queries(fv_var *qkv, int64_t heads, float scale, int64_t first, int64_t count);

/* Channel attention (Ding et al. 2022): groups g of d = C/g channels of qkv [B,N,3C] -> [B,N,C]:
 *     FV_CHANNEL_KV  A = softmax(scale k^T v) [d,d], y_t = A q_t;  0 stands for scale d^-1/2
 *     FV_CHANNEL_QK  A = softmax(scale q^T k), y_t = A v_t;        0 stands for scale N^-1/2
 * Saves A. */
typedef enum fv_channel_roles { FV_CHANNEL_KV, FV_CHANNEL_QK } fv_channel_roles;
fv_var *fv_channel_attention(fv_var *qkv, int64_t groups, float scale, fv_channel_roles roles);

/* Prefix tokens [B,P,C] in front of the tokens of each sample or window: x [B,N,C] -> [B,P+N,C],
 * x [B,nW,N,C] -> [B,nW,P+N,C].  Both of one dtype, which y has too. */
fv_var *fv_join_prefix(fv_var *prefix, fv_var *x);

/* Bi-level routing (Zhu et al. 2023, eqs. 3 and 4) over regions of n pixels: qkv [B,R,n,3C] -> i32
 * [B,R,topk], for each region the regions whose keys' mean has the largest product with the mean of its
 * queries, over all C channels, best first; of equals the lower index.  A choice: no gradient. */
fv_var *fv_route(fv_var *qkv, int64_t topk);

/* Attention of each region's pixels to those of the k regions that index [B,R,k] i32 names, and to prefix
 * tokens (qkv of theirs [B,P,3C], or NULL), per head: qkv [B,R,n,3C], head a owning channels [a d, (a+1) d) of q, k and v, softmax_j(scale q_i.k_j) v_j
 * -> [B,R,n,C].  Scores are recomputed in backward; saves the rows' log-sum-exp [B,h,R,n]. */
fv_var *fv_routed_attention(fv_var *qkv, fv_var *index, fv_var *prefix, int64_t heads, float scale);

/* A part of its composed form: x [B,R,n,C], index [B,R,k] -> the pixels of the named regions one after
 * the other, [B,R,k n,C]. */
fv_var *fv_region_gather(fv_var *x, fv_var *index);

/* What composed attention is made of, tapped under the scope as "queries" [...,Q,d], "keys" and "values"
 * [...,N,d], "logits" (scaled, with position terms) and "weights" [...,Q,N], "mixed" [...,Q,d].  Channel
 * attention calls its matrices "channel_logits" and "channel_weights" [B,g,d,d]; what prefix tokens do
 * with all tokens stands under "prefix.queries" and so on. */
typedef struct fv_attention_parts {
    fv_var *q, *k, *v, *logits;
} fv_attention_parts;
fv_var *fv_attention_mix(const fv_attention_parts *p); /* softmax(logits) v */

/* The parts of the composed forms. */
/* x [B,N,S h d] -> part `index` of S as heads, [B,h,N,d]; [B,nW,N,S h d] -> [B,nW,h,N,d] */
fv_var *fv_heads_split(fv_var *x, int64_t heads, int64_t index, int64_t parts);
fv_var *fv_heads_merge(fv_var *x); /* [B,h,N,d] -> [B,N,h d]; [B,nW,h,N,d] -> [B,nW,N,h d] */
/* a [B,h,N,K], b [B,h,K,M] -> [B,h,N,M]; _nt: b [B,h,M,K]; _tn: a [B,h,K,N] */
fv_var *fv_matmul(fv_var *a, fv_var *b);
fv_var *fv_matmul_nt(fv_var *a, fv_var *b);
fv_var *fv_matmul_tn(fv_var *a, fv_var *b);
fv_var *fv_softmax(fv_var *x); /* over the last axis */

/* Blocked local attention with halos (Vaswani et al. 2021).  q [B,H/s,W/s,h dk], kv [B,H,W,h (dk + dv)]
 * with each head's keys before its values, tables height and width [2w-1,dk] (parameters): the queries of
 * each block of b x b pixels attend to the w x w pixels around it, w = b + 2 halo, zero and not masked
 * outside of the map -> y [B,H/s,W/s,h dv] of q's dtype,
 *     logit[i j, y x] = dk^-1/2 q_ij . k_yx + q_ij . height[y - i + w - 1] + q_ij . width[x - j + w - 1],
 * i and j counting queries, y and x pixels.  H and W are multiples of b, b of s.  Saves the rows'
 * log-sum-exp; backward computes the scores again. */
typedef struct fv_halo_args {
    int64_t heads, block, halo;
    int64_t stride; /* of queries; 0 stands for 1 */
} fv_halo_args;
fv_var *fv_attention_halo(fv_var *q, fv_var *kv, fv_var *height, fv_var *width,
                          const fv_halo_args *args);

/* The parts of its composed form. */
/* x [B,H,W,h S] -> channels first .. first + count - 1 of each head's S in the windows around the n blocks,
 * zero outside of the map: [B,h,n,w^2,count] */
fv_var *fv_halo_gather(fv_var *x, int64_t block, int64_t halo, int64_t heads, int64_t first,
                       int64_t count);
/* q [B,h,n,bq^2,dk], tables [2w-1,dk] -> the two position terms of the logits, [B,h,n,bq^2,w^2] */
fv_var *fv_rel_logits(fv_var *q, fv_var *height, fv_var *width, int64_t bq, int64_t w);

/* Per-sample cross entropy with label smoothing s: (1-s) nll + s mean_k(-log p_k).
 * logits [B,K] f32, labels: i32 [B] in 0..K-1 -> [B] f32. */
fv_var *fv_cross_entropy(fv_var *logits, fv_var *labels, float smoothing);
/* targets f32 [B,K]: -sum_k t_k log p_k */
fv_var *fv_soft_cross_entropy(fv_var *logits, fv_var *targets);
/* Binary cross entropy with targets f32 [B,K] in 0..1, averaged over classes -> [B] f32. */
fv_var *fv_bce(fv_var *logits, fv_var *targets);

#endif
