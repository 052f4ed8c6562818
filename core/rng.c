#include "core/rng.h"

#include <math.h>

#define ROUNDS 10

/* The Philox key is the seed with the purpose mixed into its upper word; the counter is
 * (block, sample, step, layer). */
void fv_rng_block(const fv_rng_key *key, uint32_t block, uint32_t out[4]) {
    uint32_t k0 = (uint32_t)key->seed;
    uint32_t k1 = (uint32_t)(key->seed >> 32) ^ ((uint32_t)key->purpose * 0x85EBCA6Bu);
    uint32_t c0 = block, c1 = key->sample, c2 = key->step, c3 = key->layer;

    for (int round = 0; round < ROUNDS; round++) {
        const uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        const uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c0 = n0;
        c1 = (uint32_t)p1;
        c2 = n2;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

uint32_t fv_rng_u32(const fv_rng_key *key, uint64_t i) {
    uint32_t words[4];
    fv_rng_block(key, (uint32_t)(i / 4), words);
    return words[i % 4];
}

float fv_rng_uniform(const fv_rng_key *key, uint64_t i) {
    return (float)(fv_rng_u32(key, i) >> 8) * 0x1p-24f;
}

double fv_rng_uniform_double(const fv_rng_key *key, uint64_t i) {
    uint32_t words[4];
    fv_rng_block(key, (uint32_t)i, words);
    return (double)(((uint64_t)words[0] << 21) ^ (words[1] >> 11)) * 0x1p-53;
}

float fv_rng_normal(const fv_rng_key *key, uint64_t i) {
    uint32_t words[4];
    fv_rng_block(key, (uint32_t)(i / 2), words);
    const double u = ((double)words[0] + 1.0) * 0x1p-32; /* (0, 1] */
    const double angle = 6.283185307179586 * (double)words[1] * 0x1p-32;
    const double radius = sqrt(-2.0 * log(u));
    return (float)(radius * (i % 2 ? sin(angle) : cos(angle)));
}

uint32_t fv_rng_below(const fv_rng_key *key, uint64_t i, uint32_t n) {
    return (uint32_t)(((uint64_t)fv_rng_u32(key, i) * n) >> 32);
}

double fv_rng_next(fv_rng_stream *s) { return fv_rng_uniform_double(&s->key, s->next++); }

double fv_rng_next_normal(fv_rng_stream *s) {
    const double radius = sqrt(-2.0 * log(1.0 - fv_rng_next(s)));
    return radius * cos(6.283185307179586 * fv_rng_next(s));
}

int64_t fv_rng_next_below(fv_rng_stream *s, int64_t n) {
    return (int64_t)(fv_rng_next(s) * (double)n);
}

uint32_t fv_rng_name(const char *name) {
    uint64_t h = 0xCBF29CE484222325u;
    for (; *name; name++) h = (h ^ (unsigned char)*name) * 0x100000001B3u;
    return (uint32_t)(h ^ (h >> 32));
}
