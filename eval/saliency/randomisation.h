/* randomisation.h - the parameter randomisation test of an explanation method on one image: maps of the
 * model whose stages become random, compared with the trained model's (randomiser.h,
 * metric_randomisation.h).
 *
 * The explained class stays the one of the trained model.  Relevance is divided by the score it starts
 * from: the score changes its sign under random weights, which would look like anti-correlation. */
#ifndef FV_EVAL_SALIENCY_RANDOMISATION_H
#define FV_EVAL_SALIENCY_RANDOMISATION_H

#include "eval/saliency/explain.h"
#include "eval/saliency/metric_randomisation.h"
#include "eval/saliency/randomiser.h"

typedef struct fv_randomisation {
    fv_tape *tape;
    const fv_model *model; /* the randomiser's */
    fv_randomiser *randomiser;
    bool cascade; /* stages stay random; else each alone */
    const fv_saliency_choice *method;
    uint64_t seed;
    int64_t max_images;
} fv_randomisation;

/* out [stages].  The model has its own values again afterwards, also on errors.  A map of a random model
 * that is not finite counts as constant.  Errors: fv_explain's, FV_ERR_SHAPE (images below 7 px),
 * FV_ERR_NOMEM. */
fv_status fv_randomisation_run(const fv_randomisation *r, const float *pixels, int64_t target,
                               fv_map_similarity *out);

/* The similarities of many images, per method and stage; means over images. */
typedef struct fv_randomisation_table {
    const char *const *stage;  /* [n_stages] names, the randomiser's */
    const char *const *method; /* [n_methods] texts */
    int64_t n_stages;
    int n_methods;
    fv_map_similarity
        *sum;          /* [methods, stages]: sums over the images whose maps were not constant */
    int64_t *count;    /* [methods, stages] images */
    int64_t *constant; /* [methods, stages] of these, with a constant map */
    fv_arena arena;
} fv_randomisation_table;

fv_status fv_randomisation_table_init(fv_randomisation_table *table,
                                      const fv_randomiser *randomiser,
                                      const fv_saliency_choice *methods, int n_methods);
void fv_randomisation_table_free(fv_randomisation_table *table); /* a zeroed one is fine */
void fv_randomisation_table_add(fv_randomisation_table *table, int method,
                                const fv_map_similarity *stages);

/* A list of {method, stage, spearman, spearman_abs, ssim, count, constant} in arena: means over the
 * images whose map was not constant, null without one. */
fv_value *fv_randomisation_table_value(const fv_randomisation_table *table, fv_arena *arena);

#endif
