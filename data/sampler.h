/* sampler.h - the order in which an epoch visits the samples: a pure function of (seed, epoch). */
#ifndef FV_DATA_SAMPLER_H
#define FV_DATA_SAMPLER_H

#include <stdint.h>

/* A uniformly random permutation of 0 .. n-1; n < 2^32. */
void fv_sampler_shuffle(uint64_t seed, uint32_t epoch, int64_t n, int64_t *order);

/* Repeated augmentation (Hoffer et al. 2020, "Augment your batch"): of a permutation 0 .. n-1 in order
 * its beginning, every index `repeats` times.  The copies of an index are neighbours but for the order
 * inside each batch: first all first copies, then all second ones ..., so that neighbours in a batch
 * differ.  repeat[i] in 0 .. repeats - 1 tells the copies apart.  repeats 2..255. */
void fv_sampler_repeat(int64_t repeats, int64_t batch, int64_t n, int64_t *order, uint8_t *repeat);

/* 0 .. n-1 in turn: evaluation sees every sample once. */
void fv_sampler_sequence(int64_t n, int64_t *order);

/* Updates of one epoch: floor(n / effective batch); the rest of the order is dropped. */
int64_t fv_sampler_updates(int64_t n, int64_t effective_batch);

#endif
