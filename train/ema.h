/* ema.h - a moving average of the weights, which is evaluated in their place (Polyak and Juditsky 1992;
 * timm's ModelEmaV3).
 *
 *     average = decay average + (1 - decay) value
 *
 * for every parameter and, as in timm, for the running statistics of batch norms; integer counters are
 * copied.  Element by element, so that the bits do not depend on threads. */
#ifndef FV_TRAIN_EMA_H
#define FV_TRAIN_EMA_H

#include "core/param.h"

typedef struct fv_ema_config {
    double decay;
    bool warmup; /* a smaller decay at first: 1 - t^(-2/3) at update t, where that is less */
} fv_ema_config;

typedef struct fv_ema fv_ema;

/* An average that starts as the values of now.  params outlives *out, which the caller frees with
 * fv_ema_destroy. */
fv_status fv_ema_create(const fv_ema_config *config, fv_params *params, fv_ema **out);
void fv_ema_destroy(fv_ema *ema); /* NULL is fine */

/* The decay of update t = 1, 2, ...  The first update takes the values as they are. */
double fv_ema_decay(const fv_ema_config *config, int64_t t);

/* After update t of the values.  Allocates nothing, cannot fail. */
void fv_ema_update(fv_ema *ema, int64_t t);
/* The same with a given decay. */
void fv_ema_average(fv_ema *ema, double decay);

/* Exchanges the average with the values (and their bf16 copy): an even number of times in all. */
void fv_ema_swap(fv_ema *ema);

const fv_param_slab *fv_ema_slab(const fv_ema *ema);

/* A weights file: names and shapes of the parameters.  After a failed load the average is undefined. */
fv_status fv_ema_save(const fv_ema *ema, const char *path);
fv_status fv_ema_load(fv_ema *ema, const char *path);

#endif
