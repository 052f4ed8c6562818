/* faithful_table.h - the numbers of faithful.h over many images: means, intervals, comparisons. */
#ifndef FV_EVAL_SALIENCY_FAITHFUL_TABLE_H
#define FV_EVAL_SALIENCY_FAITHFUL_TABLE_H

#include "core/value.h"
#include "eval/saliency/faithful.h"
#include "eval/statistics.h"

typedef struct fv_faithful_table {
    const fv_faithful *question;
    int64_t n_images, capacity;
    double *values; /* [n_images, n_methods, count] */
    int32_t *label; /* [n_images]: class of the data set, -1 unknown */
} fv_faithful_table;

/* values: as fv_faithful_run gives them.  FV_ERR_NOMEM. */
fv_status fv_faithful_table_add(fv_faithful_table *table, const double *values, int32_t label);
void fv_faithful_table_free(fv_faithful_table *table);

/* Value k of method m of every image, [n_images] into out. */
void fv_faithful_table_column(const fv_faithful_table *table, int m, int k, double *out);

/* The mean of a column with its interval; of a per-class value (metric.h) the mean over classes of their
 * means, which the bootstrap repeats on images drawn anew. */
fv_status fv_faithful_table_summary(const fv_faithful_table *table, int m, int k, fv_summary *out);

/* Everything as a list of maps in arena: {method, count, <value>: mean, ..., intervals: {<value>:
 * [low, high]}, undefined: {<value>: n}}. */
fv_status fv_faithful_table_methods(const fv_faithful_table *table, fv_arena *arena,
                                    fv_value **out);

/* Every method against the method `against` by every value, as a list of {method, against, value,
 * difference, low, high, p, p_holm} in arena; p_holm is corrected over the whole list. */
fv_status fv_faithful_table_compare(const fv_faithful_table *table, int against, fv_arena *arena,
                                    fv_value **out);

#endif
