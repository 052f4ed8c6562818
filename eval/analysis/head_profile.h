/* head_profile.h - where a head looks: how its weights are spread over distances, of one image.
 *
 * Over the queries i on the map and the keys j on the map, in Chebyshev rings k around the query (a
 * strided query stands on the key at its upper left corner), for a map of H x W keys:
 *     ring_sum_k   mean_i sum_{j in ring k} A_ij
 *     ring_mean_k  mean over the queries that have a ring k of the mean of its weights
 *     self         mean_i A_ii;  to_cls, to_prefix: mean_i of the weight on the class token, on all
 *                  prefix tokens
 *     distance     mean_i of sum_j A_ij |i - j| / sum_j A_ij, Euclidean, in positions
 *     offset       for each (dy,dx) the mean of A over the queries whose key at that offset is on the map
 * Over all queries, those of prefix tokens included:
 *     entropy      mean_i of -sum_j A_ij ln A_ij over the whole row, padding included
 *     sink         the largest mean weight that any one position gets, and which it is (attention
 *                  sinks: Xiao et al. 2024; Darcet et al. 2024, "Vision transformers need registers")
 * Keys outside of a window have weight 0 and count as such. */
#ifndef FV_EVAL_ANALYSIS_HEAD_PROFILE_H
#define FV_EVAL_ANALYSIS_HEAD_PROFILE_H

#include "eval/saliency/attention_record.h"

/* Numbers per head that do not depend on the map's size: name in results. */
#define FV_HEAD_PROFILE_LIST(X) \
    X(to_cls)                   \
    X(to_prefix)                \
    X(self)                     \
    X(entropy)                  \
    X(distance)                 \
    X(sink)

typedef enum fv_head_profile_number {
#define FV_X(name) FV_HEAD_##name,
    FV_HEAD_PROFILE_LIST(FV_X)
#undef FV_X
        FV_HEAD_PROFILE_COUNT
} fv_head_profile_number;

extern const char *const fv_head_profile_names[FV_HEAD_PROFILE_COUNT];

typedef struct fv_head_profile {
    double number[FV_HEAD_PROFILE_COUNT];
    int64_t sink_at;              /* position, prefix first */
    int64_t n_rings;              /* max(H,W) */
    double *ring_sum, *ring_mean; /* [n_rings] */
    double *with_ring;            /* [n_rings]: queries that have such a ring */
    int64_t offset_h, offset_w;   /* 2H-1, 2W-1: offset 0 in the middle */
    double *offset;               /* [offset_h,offset_w] */
    double *column;               /* [n_keys]: mean weight of each position */
    int64_t *count;               /* [offset_h,offset_w]: queries with that offset */
} fv_head_profile;

/* Room for the profile of a head of a, in arena; not of channels. */
fv_status fv_head_profile_init(fv_head_profile *p, const fv_attention_matrix *a, fv_arena *arena);

/* Overwrites p.  Without prefix tokens to_cls and to_prefix are 0. */
void fv_head_profile_of(const fv_attention_matrix *a, int64_t sample, int64_t head,
                        fv_head_profile *p);

#endif
