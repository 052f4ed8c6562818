/* saliency_case.h - what the cases of saliency files share: seeds, relevance passes, sums. */
#ifndef FV_TESTS_SALIENCY_CASE_H
#define FV_TESTS_SALIENCY_CASE_H

#include "eval/saliency/composite.h"
#include "tests/golden_runner/golden.h"

/* A step in FV_EXPLAIN in which every image is its own chunk. */
fv_step saliency_step(int64_t samples);

/* [B,K], zero but for each sample's target: 1, or the logit in R form.  NULL when memory runs out. */
const float *saliency_seed(golden *g, const fv_var *logits, const int64_t *target,
                           fv_signal_kind kind);

/* Relevance from y; the ledger is made in the file's arena and must close to 1e-4 for every sample.  A
 * failure is a failed line called `what`, and false. */
bool saliency_walk(golden *g, const char *what, fv_var *y, const float *start,
                   const fv_composite *composite, fv_ledger *ledger);

/* The same with a rule function of one's own and without a look at the ledger. */
bool saliency_walk_by(golden *g, const char *what, fv_var *y, const float *start,
                      fv_signal_kind kind, fv_rule_fn *pick, void *user, fv_ledger *ledger);

/* What the latest pass left at a variable or a tap, zeros where it was not reached; NULL for an unknown
 * name: a failed line. */
typedef enum saliency_what { SALIENCY_VALUE, SALIENCY_GRADIENT, SALIENCY_RELEVANCE } saliency_what;
const float *saliency_of(golden *g, const fv_var *v, saliency_what what);
const fv_var *saliency_tap(golden *g, const fv_tape *tape, const char *name);

/* Compares a variable, scaled by `factor`; _map: with its channels, the last of four axes, in front as
 * files have them. */
void saliency_compare(golden *g, const char *name, const fv_var *v, saliency_what what,
                      float factor, double tolerance);
void saliency_compare_map(golden *g, const char *name, const fv_var *v, saliency_what what,
                          double tolerance);

/* Sums over the last axis [B,...], and over everything but the first. */
const float *saliency_channel_sums(golden *g, const fv_shape *shape, const float *values);
void saliency_sample_sums(const fv_shape *shape, const float *values, int64_t stride, float *out);

/* Stored integers [n]; NULL when missing or of another count: a failed line. */
const int64_t *saliency_targets(golden *g, const char *name, int64_t n);

#endif
