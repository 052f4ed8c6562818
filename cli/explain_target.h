/* explain_target.h - --target and --against: which score is explained. */
#ifndef FV_CLI_EXPLAIN_TARGET_H
#define FV_CLI_EXPLAIN_TARGET_H

#include "cli/checkpoint_args.h"

#define FV_TARGET_PREDICTED (-1)
#define FV_TARGET_LABEL     (-2) /* the class that the data set gives the image */

typedef struct fv_explain_target {
    int64_t target;  /* a class, or FV_TARGET_* */
    int64_t against; /* a class, or FV_AGAINST_* of eval/saliency/explain.h */
} fv_explain_target;

/* A number is an index, anything else a class name.  FV_ERR_CONFIG names what does not exist. */
fv_status fv_explain_target_parse(const fv_settings *settings, const fv_loaded *loaded,
                                  fv_explain_target *out);

#endif
