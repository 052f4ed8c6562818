/* explanation_file.h - an explanation as files: the raw map with its account, and two pictures of it.
 *
 *     <stem>_<method>.safetensors   "map" [H,W] and, where the method gives them, "relevance" [H,W,3]
 *                                   and "grid" [h,w], F32; __metadata__: model, checkpoint, weights
 *                                   (XXH3 of the values), image, method, target, target_name, logit,
 *                                   probability, score, conservation_error, warning, and as JSON
 *                                   request, numbers, ledger and parameters
 *     <stem>_<method>_heat.png      the map in colours, as explanation_look.h says
 *     <stem>_<method>_overlay.png   the same over the picture
 *
 * A colon in a method becomes a minus sign.  Each file is written whole or not at all, the raw one last,
 * so that it stands for all three; equal explanations give equal bytes. */
#ifndef FV_EVAL_SALIENCY_EXPLANATION_FILE_H
#define FV_EVAL_SALIENCY_EXPLANATION_FILE_H

#include "data/transform.h"
#include "eval/saliency/explain.h"
#include "eval/saliency/explanation_look.h"

/* Where an explanation comes from; every text is borrowed. */
typedef struct fv_explanation_source {
    const char *checkpoint, *image; /* as they were given */
    const char *weights;            /* fv_explanation_weights of the model */
    const char *request;            /* JSON: target and against as asked for, seed */
    const char *target_name;        /* NULL: the model knows no names */
    const fv_model *model;
    const fv_preprocess *preprocess;
    const fv_saliency_choice *choice;
    const fv_explanation_looks *looks; /* NULL: the usual ones */
    const fv_image *picture;           /* the pixels that the model saw, [H,W] */
} fv_explanation_source;

typedef struct fv_explanation_files {
    const char *raw, *map, *overlay; /* paths, in the arena */
    const char
        *grid; /* picture of all maps of the image (explanation_sheet.h); NULL: none was made */
} fv_explanation_files;

/* The three paths in folder; grid is NULL. */
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

/* A hash of all parameter values of a model, 16 hexadecimal digits into text; returns text.  NULL when
 * memory runs out. */
const char *fv_explanation_weights(const fv_model *model, char text[17]);

/* What the files of an earlier call say, as the entry of a result list {image, method, target,
 * target_name, logit, probability, score, map, overlay, raw, grid, conservation_error, ledger, ...} in
 * arena.
 * Errors: those of fv_safetensors_open, FV_ERR_FORMAT. */
fv_status fv_explanation_read(const fv_explanation_files *files, fv_arena *arena, fv_value **entry);

/* Whether the files are there and answer the same question: same weights, image, request, method and
 * parameters. */
bool fv_explanation_is_done(const fv_explanation_files *files, const fv_explanation_source *source);

/* Everything that the map depends on beside weights, pixels and class, and how the pictures show it, as a
 * map in arena; NULL when memory runs out. */
fv_value *fv_explanation_parameters(const fv_explanation_source *source, fv_arena *arena);

/* The account as a map: start, input, the sinks, end_to_end, worst_op, worst_op_name.  A null value
 * without an account; NULL when memory runs out. */
fv_value *fv_explanation_ledger(const fv_explanation *e, fv_arena *arena);

#endif
