/* generator.h - the parameter and image generator of the golden files: a counter stream of splitmix64
 * seeded with the FNV-1a hash of salt + name.  Element i of a tensor depends on its name and i only. */
#ifndef FV_TESTS_GENERATOR_H
#define FV_TESTS_GENERATOR_H

#include "core/param.h"

#include <stdint.h>

uint64_t fv_generator_seed(const char *salt, const char *name);
double fv_generator_draw(uint64_t seed, uint64_t i); /* [-1, 1), 24 random bits */

/* Every value of a parameter list, by name, rank and fan-in. */
void fv_generate_params(fv_params *params, const char *salt);

/* Images [N,C,H,W] of the generator as [N,H,W,C]: fine noise plus 16-pixel blocks. */
void fv_generate_images(const char *salt, const char *name, int64_t N, int64_t C, int64_t H,
                        int64_t W, float *nhwc);

#endif
