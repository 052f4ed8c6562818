/* explanation_file.h - an explanation as files: the raw map with its account, and two pictures of it.
 *
 *     <stem>_<method>.safetensors   "map" [H,W] and "relevance" [H,W,3], F32; __metadata__: model,
 *                                   checkpoint, image, method, target, target_name, logit, probability,
 *                                   conservation_error, and as JSON ledger and parameters
 *     <stem>_<method>_heat.png      blue (against) - white - red (for the class)
 *     <stem>_<method>_overlay.png   the same over the grey picture, fading where relevance is small
 *
 * A colon in a method becomes a minus sign.  Each file is written whole or not at all; equal
 * explanations give equal bytes. */
#ifndef FV_EVAL_SALIENCY_EXPLANATION_FILE_H
#define FV_EVAL_SALIENCY_EXPLANATION_FILE_H

#include "data/transform.h"
#include "eval/saliency/explain.h"

/* Where an explanation comes from; every text is borrowed. */
typedef struct fv_explanation_source {
    const char *checkpoint, *image; /* as they were given */
    const char *target_name;        /* NULL: the model knows no names */
    const fv_model *model;
    const fv_preprocess *preprocess;
    const fv_saliency_choice *choice;
    const fv_image *picture; /* the pixels that the model saw, [H,W] */
} fv_explanation_source;

typedef struct fv_explanation_files {
    const char *raw, *map, *overlay; /* paths, in the arena */
} fv_explanation_files;

/* The three paths in folder. */
fv_status fv_explanation_name(const char *folder, const char *stem, const char *method,
                              fv_arena *arena, fv_explanation_files *out);

/* A stem for each of n image paths: the file's name without its suffix, cut to 180 bytes, and made
 * unique with -2, -3 ...  Depends on the order of the paths only.  stems [n] lie in the arena. */
fv_status fv_explanation_stems(const char *const *images, int64_t n, fv_arena *arena,
                               const char **stems);

/* Writes the three files; the pictures are enlarged by a whole factor to at least 224 pixels.
 * Errors: FV_ERR_IO, FV_ERR_NOT_FOUND, FV_ERR_NOMEM, FV_ERR_SHAPE (another size of picture). */
fv_status fv_explanation_save(const fv_explanation *e, const fv_explanation_source *source,
                              const fv_explanation_files *files);

/* The account as a map: start, input, the sinks, end_to_end, worst_op, worst_op_name.  A null value
 * without an account; NULL when memory runs out. */
fv_value *fv_explanation_ledger(const fv_explanation *e, fv_arena *arena);

#endif
