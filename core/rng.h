/* rng.h - counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror and Shaw 2011,
 * "Parallel random numbers: as easy as 1, 2, 3").
 *
 * A number is a pure function of its key; there is no state to save.  The key is (seed, purpose,
 * epoch or step, position in the global batch or sample index, layer); i is the i-th draw of it. */
#ifndef FV_CORE_RNG_H
#define FV_CORE_RNG_H

#include <stdint.h>

/* One stream per use, so that two uses never share numbers.  Append only: the order is part of what
 * a seed means. */
typedef enum fv_rng_purpose {
    FV_RNG_INIT,    /* parameter initialisation: layer = hash of the parameter's name */
    FV_RNG_SHUFFLE, /* sample order: step = epoch */
    FV_RNG_AUGMENT, /* augmentation: step = epoch, sample = index in the data set */
    FV_RNG_DROP,    /* stochastic depth: step, sample = position in the global batch, layer */
    FV_RNG_SYNTH,   /* the synthetic data set */
    FV_RNG_TEST,
    FV_RNG_MIX,    /* mixup and cutmix: step */
    FV_RNG_METRIC, /* metrics of explanations: step = repetition, sample, layer = hash of the use */
    FV_RNG_RESAMPLE,   /* bootstrap and sign flips: step = replicate, layer = hash of a name */
    FV_RNG_SMOOTHGRAD, /* noise on an explained image: step = draw */
    FV_RNG_RISE,       /* masks of an explained image: step = mask */
    FV_RNG_RANDOM_MAP, /* the map that other maps are compared with */
    FV_RNG_SUBSET,     /* samples of a class that stay: layer = hash of its name */
} fv_rng_purpose;

typedef struct fv_rng_key {
    uint64_t seed;
    fv_rng_purpose purpose;
    uint32_t step;   /* epoch or update */
    uint32_t sample; /* sample index or position in the global batch */
    uint32_t layer;
} fv_rng_key;

/* Four 32-bit words: counter block `block` of the key's stream. */
void fv_rng_block(const fv_rng_key *key, uint32_t block, uint32_t out[4]);

uint32_t fv_rng_u32(const fv_rng_key *key, uint64_t i);
float fv_rng_uniform(const fv_rng_key *key, uint64_t i);         /* [0, 1), 24 bits */
double fv_rng_uniform_double(const fv_rng_key *key, uint64_t i); /* [0, 1), 53 bits; own numbers */
float fv_rng_normal(const fv_rng_key *key, uint64_t i); /* standard normal, Box and Muller */
uint32_t fv_rng_below(const fv_rng_key *key, uint64_t i, uint32_t n); /* 0..n-1, bias < 2^-32 n */

/* The draws of one key in turn, each made of one block. */
typedef struct fv_rng_stream {
    fv_rng_key key;
    uint64_t next;
} fv_rng_stream;
double fv_rng_next(fv_rng_stream *stream);                   /* [0, 1), 53 bits */
double fv_rng_next_normal(fv_rng_stream *stream);            /* standard normal */
int64_t fv_rng_next_below(fv_rng_stream *stream, int64_t n); /* 0..n-1, bias < 2^-53 n */

/* FNV-1a of a name, folded to 32 bits: the layer entry of keys that belong to a named thing. */
uint32_t fv_rng_name(const char *name);

#endif
