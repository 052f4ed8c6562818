/* analysis.h - the attention heads of a network over many images: what each is worth, where it looks, and
 * how alike the layers are.
 *
 *     fv_analysis *analysis = NULL;
 *     status = fv_analysis_create(model, 100, 8, &analysis);
 *     for each image: status = fv_analysis_add(analysis, pixels, label);
 *     status = fv_analysis_finish(analysis);
 *     ... analysis->layers, fv_analysis_value, fv_analysis_save ...
 *     fv_analysis_destroy(analysis);
 *
 * Images are looked at one by one and their numbers added up, so that memory does not grow with them but
 * for the pooled features of at most FV_SIMILARITY_IMAGES. */
#ifndef FV_EVAL_ANALYSIS_ANALYSIS_H
#define FV_EVAL_ANALYSIS_ANALYSIS_H

#include "core/value.h"
#include "eval/analysis/head_importance.h"
#include "eval/analysis/head_profile.h"
#include "eval/analysis/moments.h"

#define FV_SIMILARITY_IMAGES 256

/* Numbers of importance with the drop in accuracy behind them. */
#define FV_ANALYSIS_METRICS (FV_IMPORTANCE_COUNT + 1)

typedef struct fv_analysis_head {
    fv_moments importance[FV_IMPORTANCE_COUNT];
    int64_t right;        /* images whose answer is right without the head */
    double accuracy_drop; /* percent points; after fv_analysis_finish */
    /* Not of channel attention. */
    fv_moments profile[FV_HEAD_PROFILE_COUNT];
    fv_moments *ring_sum, *ring_mean; /* [n_rings] */
    fv_moments *offset;               /* [offset_h,offset_w] */
    fv_moments *received;             /* [n_keys]: mean weight that a position gets */
    int64_t sink_at;                  /* the position that gets most; after fv_analysis_finish */
} fv_analysis_head;

typedef struct fv_analysis_layer {
    const char *path;
    fv_attention_layout layout;
    int64_t n_keys;
    fv_head_profile profile; /* of one image and head; its sizes hold for all */
    fv_analysis_head *head;  /* [layout.heads] */
} fv_analysis_layer;

typedef struct fv_analysis {
    const fv_model *model;
    fv_tape *tape;
    fv_arena arena, image_arena;
    fv_head_probe probe;
    fv_analysis_layer
        *layers; /* [n_layers] in the order of the network; none before the first image */
    int64_t n_layers, n_heads;      /* n_heads: of all layers */
    fv_head_importance *importance; /* [n_heads], of one image */
    int64_t n_images, right;
    /* After fv_analysis_finish: */
    double rank_correlation[FV_ANALYSIS_METRICS][FV_ANALYSIS_METRICS]; /* Spearman's, of the heads'
                                       means; NaN where one is constant */
    double
        *similarity; /* [model->n_features]^2: linear CKA of the pooled features (Kornblith et al.
                           2019, "Similarity of neural network representations revisited", eq. 1 with
                           linear kernels); NaN where one is constant */
    /* The features: mean over positions, [kept images, width]. */
    const char **watched; /* their names, NULL ends */
    float **features;
    int64_t *width;
    int64_t n_kept, max_kept;
} fv_analysis;

/* max_images: that will come; max_batch: images in one pass, 0 = 8.  The caller destroys *out. */
fv_status fv_analysis_create(const fv_model *model, int64_t max_images, int64_t max_batch,
                             fv_analysis **out);
void fv_analysis_destroy(fv_analysis *analysis); /* NULL is fine */

/* One image [H,W,3] with its class. */
fv_status fv_analysis_add(fv_analysis *analysis, const float *pixels, int32_t label);

fv_status fv_analysis_finish(fv_analysis *analysis);

/* "dprob" ... "gradient", "accuracy_drop" */
const char *fv_analysis_metric_name(int i);
double fv_analysis_metric(const fv_analysis_head *head, int i); /* mean over images */

/* ---- results (analysis_output.c) ---- */

/* Adds layers, heads, similarity and rank_correlation to a map in arena. */
void fv_analysis_describe(const fv_analysis *analysis, fv_arena *arena, fv_value *map);

/* folder/analysis.safetensors: importance.{mean,se} [heads,6], accuracy_drop [heads], profile.{mean,se}
 * [heads,6] (NaN for channels), cka, rank_correlation, and for each layer with positions
 * ring_sum.<path>, ring_mean.<path>, offset.<path> and received.<path>, [h,...] each.  Metadata: model,
 * checkpoint, count, and as JSON heads and metrics. */
fv_status fv_analysis_save(const fv_analysis *analysis, const char *checkpoint, const char *path);

/* ---- pictures (analysis_picture.c) ---- */

/* Mean weight by offset from the query, one square per head, one row per layer; each square from 0
 * to its largest value. */
fv_status fv_analysis_save_offsets(const fv_analysis *analysis, const char *path);
/* Mean weight by ring, one row per layer (mean of its heads), one column per ring; from 0 to the largest
 * value of all; white where a map has no such ring. */
fv_status fv_analysis_save_rings(const fv_analysis *analysis, const char *path);

#endif
