/* features.h - what a model's classifier reads, for every sample of a data set.
 *
 * Features are the pooled "pre_logits" (of a distilled model the mean of both tokens', as in timm).  They
 * depend on the model and the samples alone, not on threads, workers or the batch size. */
#ifndef FV_EVAL_FEATURES_H
#define FV_EVAL_FEATURES_H

#include "core/report.h"
#include "data/loader.h"
#include "models/model.h"

typedef struct fv_features_config {
    const fv_model *model;
    const fv_dataset *dataset; /* its classes need not be the model's; outlives the features */
    const fv_preprocess *preprocess;
    int64_t batch_size; /* of a pass at most (fv_model_pass_samples) */
    int workers;
    int64_t max_bad;
    bool bf16;
    const char *label; /* of the steps that are reported */
} fv_features_config;

typedef struct fv_features {
    const fv_dataset *dataset;
    int64_t n, C;   /* samples read, width */
    float *x;       /* [n,C] */
    int32_t *label; /* [n] */
    int64_t *index; /* [n], into the data set, ascending */
    double seconds; /* wall clock, loading included */
} fv_features;

/* The caller frees with fv_features_free, also after an error.  Errors as fv_evaluator_run. */
fv_status fv_features_extract(const fv_features_config *config, const fv_report *report,
                              fv_features *out);
void fv_features_free(fv_features *features); /* a zeroed one is fine */

/* Writes "features" [n,C] F32 and "labels" [n] I32 of a split and, unless train is NULL,
 * "train_features" and "train_labels"; names of samples and classes are metadata, JSON lists "names",
 * "train_names" and "classes". */
fv_status fv_features_save(const fv_features *features, const fv_features *train, const char *path);

#endif
