/* elements.h - loops over all elements of [samples, n], in parallel, with sums of each sample.
 *
 * A sample is cut into blocks of whole rows by n alone, and the sums of its blocks are joined in order:
 * they depend neither on the number of threads nor on the other samples of the batch. */
#ifndef FV_CORE_ELEMENTS_H
#define FV_CORE_ELEMENTS_H

#include <stdint.h>

#define FV_ELEMENT_SUMS 3

/* Elements [begin, end), counted over all samples, of one sample.  Adds to sums, which is zeroed
 * before; NULL where nothing is summed. */
typedef void fv_elements_fn(int64_t sample, int64_t begin, int64_t end, double *sums, void *arg);

/* n: elements of a sample, a multiple of row. */
void fv_for_elements(int64_t n_samples, int64_t n, int64_t row, fv_elements_fn *fn, void *arg);

/* totals [n_samples, FV_ELEMENT_SUMS].  join puts a block's sums into a sample's; NULL: adds. */
typedef void fv_elements_join(double *total, const double *block);
void fv_sum_elements(int64_t n_samples, int64_t n, int64_t row, fv_elements_fn *fn,
                     fv_elements_join *join, void *arg, double *totals);

#endif
