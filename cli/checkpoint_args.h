/* checkpoint_args.h - the CKPT argument of a command with the options that go with it: --use-ema,
 * --img-size, --mean, --std, --interpolation, --crop-pct, and --model for a bare weights file. */
#ifndef FV_CLI_CHECKPOINT_ARGS_H
#define FV_CLI_CHECKPOINT_ARGS_H

#include "core/settings.h"
#include "data/transform.h"
#include "models/weights.h"

typedef struct fv_loaded {
    fv_model *model;
    fv_model_meta meta;
    fv_preprocess preprocess; /* the model's, with what the options change */
    fv_load_report report;    /* filled on errors too */
} fv_loaded;

/* What the model is wanted for. */
typedef struct fv_checkpoint_use {
    bool bf16;      /* keep a bf16 copy of the weights */
    bool gradients; /* keep gradients of the parameters */
} fv_checkpoint_use;

/* Errors as fv_model_open; FV_ERR_CONFIG for options that do not fit.  A line on stderr tells when names or shapes of the file are not our own.  End with
 * fv_checkpoint_args_close, also after a failure. */
fv_status fv_checkpoint_args_open(const fv_settings *settings, const char *path,
                                  fv_checkpoint_use use, fv_loaded *out);
void fv_checkpoint_args_close(fv_loaded *loaded); /* a zeroed one is fine */

#endif
