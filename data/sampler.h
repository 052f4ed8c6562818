/* sampler.h - the order in which an epoch visits the samples: a pure function of (seed, epoch). */
#ifndef FV_DATA_SAMPLER_H
#define FV_DATA_SAMPLER_H

#include <stdint.h>

/* A uniformly random permutation of 0 .. n-1; n < 2^32. */
void fv_sampler_shuffle(uint64_t seed, uint32_t epoch, int64_t n, int64_t *order);

/* 0 .. n-1 in turn: evaluation sees every sample once. */
void fv_sampler_sequence(int64_t n, int64_t *order);

/* Updates of one epoch: floor(n / effective batch); the rest of the order is dropped. */
int64_t fv_sampler_updates(int64_t n, int64_t effective_batch);

#endif
