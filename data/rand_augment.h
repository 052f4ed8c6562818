/* rand_augment.h - what timm's "rand-m9-mstd0.5-inc1" means (RandAugment: Cubuk et al. 2020).
 *
 * `layers` times one of 15 operations is drawn and applied with probability prob, at a magnitude drawn
 * around m: the operations are Pillow's (data/pixels.h), their ranges timm's. */
#ifndef FV_DATA_RAND_AUGMENT_H
#define FV_DATA_RAND_AUGMENT_H

#include "core/status.h"

#include <stdbool.h>
#include <stdint.h>

/* A zeroed struct does nothing. */
typedef struct fv_rand_augment {
    int64_t layers;   /* n, 0: off */
    double magnitude; /* m, in tenths of the range of an operation */
    double deviation; /* mstd: of the normal distribution around m; above 100: uniform in 0..m */
    double most;      /* mmax */
    double prob;      /* p */
    bool increasing;  /* inc: a larger magnitude is always a stronger effect */
} fv_rand_augment;

/* "rand" with parts -m9 -n2 -mstd0.5 -mmax10 -inc1 -p0.5 in any order; these are timm's values but for
 * m (10), mstd (0) and inc (0).  "" is off.  FV_ERR_CONFIG names the part that is not understood. */
fv_status fv_rand_augment_parse(const char *text, fv_rand_augment *out);

#endif
