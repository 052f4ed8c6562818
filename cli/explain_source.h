/* explain_source.h - the images that a command looks at one after the other: image arguments, or a split
 * of a data set. */
#ifndef FV_CLI_EXPLAIN_SOURCE_H
#define FV_CLI_EXPLAIN_SOURCE_H

#include "cli/checkpoint_args.h"
#include "data/dataset.h"

typedef struct fv_explain_source {
    int64_t count;
    const char **path;        /* [count]; of samples what fv_sample_title says */
    const fv_sample **sample; /* [count]; NULL without a data set */
    fv_dataset *dataset;      /* NULL: image arguments */
    fv_arena arena;
} fv_explain_source;

/* Images from arguments (folders stand for theirs) or from --data-dir and --split, one of the two;
 * --count limits each folder or class.  A data set must have the classes of the checkpoint.  End with
 * fv_explain_source_close, also after a failure. */
fv_status fv_explain_source_open(const fv_settings *settings, const char *checkpoint,
                                 const fv_loaded *loaded, const char *const *args, int n_args,
                                 fv_explain_source *out);
void fv_explain_source_close(fv_explain_source *source);

/* Decodes image i: the RGB8 pixels that the model sees, and the same normalised, [H,W,3].  Errors name
 * the file. */
fv_status fv_explain_source_load(const fv_explain_source *source, const fv_preprocess *preprocess,
                                 int64_t i, fv_resize_scratch *scratch, fv_image *picture,
                                 float *pixels);

#endif
