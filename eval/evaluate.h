/* evaluate.h - accuracy, loss and calibration of a model on a data set.
 *
 * Every sample is seen once, in the order of the data set.  What is counted depends on the model and
 * the samples alone: batches are whole gradient chunks of the model (tape.h), and per-sample numbers
 * are kept and added in the order of the data set in double, so that batch size, threads and workers
 * change no bit of the result (with bad images left out, those of the same batch size agree).
 *
 *     fv_evaluator *evaluator = NULL;
 *     status = fv_evaluator_create(&(fv_evaluator_config){...}, &evaluator);
 *     for each epoch: status = fv_evaluator_run(evaluator, &options, &result);
 *     fv_evaluator_destroy(evaluator);
 *
 * The evaluator keeps its loader, and its tape when none is lent, between runs, of which
 * the later ones allocate nothing but what decoders do. */
#ifndef FV_EVAL_EVALUATE_H
#define FV_EVAL_EVALUATE_H

#include "core/report.h"
#include "data/loader.h"
#include "models/model.h"

#define FV_ECE_BINS 15

typedef struct fv_evaluator_config {
    const fv_model *model;     /* its values may change between runs; outlives the evaluator */
    const fv_dataset *dataset; /* outlives the evaluator */
    const fv_preprocess *preprocess; /* copied; its size must be the model's */
    int64_t batch_size;              /* of a pass at most (fv_model_pass_samples) */
    int workers;                     /* loader threads, 0 = none */
    int64_t max_bad;                 /* bad images to leave out before giving up */
    fv_tape *tape;                   /* borrowed; NULL: the evaluator makes its own */
} fv_evaluator_config;

/* A batch of results, valid during the call. */
typedef struct fv_evaluated {
    const float *logits;   /* [n, n_classes] */
    const int32_t *labels; /* [n] */
    const int64_t *index;  /* [n], into the data set, ascending over the whole run */
    int64_t n, n_classes;
} fv_evaluated;

typedef struct fv_evaluate_options {
    bool bf16; /* products in bf16; the model must have its bf16 copy */
    /* Called after each batch, in order; a failure ends the run.  May be NULL. */
    fv_status (*sink)(void *user, const fv_evaluated *batch);
    void *sink_user;
    const fv_report *report; /* a step per batch; its stop ends the run (FV_ERR_INTERRUPTED) */
    const char *label;       /* of the steps, NULL = "Test" */
    int64_t log_interval;    /* batches between steps that are due, 0 = 50; the last always is */
} fv_evaluate_options;

typedef struct fv_evaluate_result {
    double top1, top5; /* percent; ties go to the lower class, NaN is never right */
    double loss;       /* mean cross entropy, without smoothing */
    double ece;        /* expected calibration error in 0..1: FV_ECE_BINS equal bins of confidence,
                          Guo et al. 2017, eq. 3 */
    int64_t count;     /* samples evaluated */
    int64_t n_bad;     /* bad images left out */
    double seconds, images_per_second; /* wall clock, loading included */
} fv_evaluate_result;

typedef struct fv_evaluator fv_evaluator;

/* The caller destroys *out; NULL on error.  Errors: FV_ERR_CONFIG (number of classes, sizes, batch),
 * FV_ERR_NOMEM, FV_ERR_INTERNAL (threads). */
fv_status fv_evaluator_create(const fv_evaluator_config *config, fv_evaluator **out);
void fv_evaluator_destroy(fv_evaluator *evaluator); /* NULL is fine */

/* options may be NULL.  Errors: what the loader gives (a bad image, with its path), FV_ERR_FORMAT
 * when no image at all could be read, FV_ERR_INTERRUPTED, the sink's, FV_ERR_NOMEM.  *out is zeroed
 * on error. */
fv_status fv_evaluator_run(fv_evaluator *evaluator, const fv_evaluate_options *options,
                           fv_evaluate_result *out);

/* Create, run once, destroy. */
fv_status fv_evaluate(const fv_evaluator_config *config, const fv_evaluate_options *options,
                      fv_evaluate_result *out);

/* ---- the measures of one sample, for other programs of the same numbers ---- */

/* Classes ahead of label: larger logits, equal ones of a lower class, and NaN. */
int64_t fv_label_rank(const float *logits, int64_t n_classes, int32_t label);

/* -log softmax(logits)[label], in double. */
double fv_label_loss(const float *logits, int64_t n_classes, int32_t label);

/* The largest softmax probability, in double; *argmax is the lowest such class. */
double fv_confidence(const float *logits, int64_t n_classes, int64_t *argmax);

/* Over n samples, in their order. */
double fv_calibration_error(const double *confidence, const bool *correct, int64_t n);

#endif
