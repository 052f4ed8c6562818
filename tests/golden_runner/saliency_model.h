/* saliency_model.h - the networks of the saliency files as models, with the images and classes that the
 * files explain, and how a group of cases compares an explanation with what is stored. */
#ifndef FV_TESTS_SALIENCY_MODEL_H
#define FV_TESTS_SALIENCY_MODEL_H

#include "eval/saliency/explain_run.h"
#include "tests/golden_runner/golden.h"

#define SALIENCY_MAX_IMAGES 8

typedef struct saliency_model {
    golden *g;
    fv_model *model; /* with gradients */
    fv_tape *tape;
    int64_t N, H, W;       /* at most SALIENCY_MAX_IMAGES images */
    const float *pixels;   /* [N,H,W,3], in the file's arena */
    const int64_t *target; /* [N] */
} saliency_model;

/* Of convnet, vit and family_<model>.  False after a failed line; saliency_model_close either way. */
bool saliency_model_open_convnet(golden *g, saliency_model *m);
bool saliency_model_open_vit(golden *g, saliency_model *m);
bool saliency_model_open_family(golden *g, saliency_model *m);
void saliency_model_close(saliency_model *m);

/* Maps [N,H,W,C] as the files hold them, [N,C,H,W]; NULL when memory runs out. */
const float *saliency_model_planar(golden *g, const float *packed, int64_t N, int64_t pixels,
                                   int64_t C);

/* Explains all images by the method's text, or by choice where text is NULL; the caller destroys out[N].
 * False after a failed line called name. */
bool saliency_model_explain(const saliency_model *m, const char *name, const char *text,
                            const fv_saliency_choice *choice, fv_explanation out[]);

/* Compares relevance, else grids, else maps of out[N] with a stored tensor; maps: never grids. */
void saliency_model_compare(const saliency_model *m, const char *name, const fv_explanation out[],
                            bool maps, double scale, double tolerance);

/* Explains and compares. */
void saliency_model_check(const saliency_model *m, const char *name, const char *method, bool maps,
                          double scale, double tolerance);

#endif
