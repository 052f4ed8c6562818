/* method.h - what an explanation method is, and how one is asked for.
 *
 * A method is a const descriptor in its own file and one line in saliency_list.h.  It is asked for by a
 * text that says everything about it, "NAME[:VARIANT][:PARAMETER=VALUE]...":
 *     lrp    lrp:cplrp    smoothgrad:squared:samples=50    gradcam:layer=stages.2
 * so that a file name or a row of a table tells how a map was made. */
#ifndef FV_EVAL_SALIENCY_METHOD_H
#define FV_EVAL_SALIENCY_METHOD_H

#include "core/arena.h"
#include "core/status.h"
#include "core/value.h"

#include <stdbool.h>
#include <stdint.h>

#define FV_SALIENCY_MAX_PARAMS 8

typedef struct fv_explain_run fv_explain_run;
typedef struct fv_saliency_method fv_saliency_method;

/* A number that a method can be told. */
typedef struct fv_saliency_param {
    const char *name;
    double initial, min, max;
    bool integer;
    const char *help;
} fv_saliency_param;

/* A method with its variant and numbers.  Texts are borrowed or in the arena of fv_saliency_parse. */
typedef struct fv_saliency_choice {
    const char *text; /* as it was given: the method's name in results */
    const fv_saliency_method *method;
    const char *variant;                  /* NULL when the method has none */
    double param[FV_SALIENCY_MAX_PARAMS]; /* in the order of method->params */
    const char *layer;                    /* tap names joined by '+'; NULL: the method's default */
} fv_saliency_choice;

/* What a method's run fills in for each image. */
typedef enum fv_saliency_kind {
    FV_SALIENCY_PIXELS, /* relevance [H,W,3]; the map is the sum over channels */
    FV_SALIENCY_MAP,    /* map [H,W] */
    FV_SALIENCY_GRID    /* grid [h,w] of a layer; the map is its bilinear enlargement.  A run that
                           combines layers makes no grid and fills map */
} fv_saliency_kind;

struct fv_saliency_method {
    const char *name;
    const char *summary;         /* one line */
    const char *source;          /* paper: authors, year */
    const char *const *variants; /* NULL-terminated, the first is the default; NULL: none */
    const fv_saliency_param
        *params; /* at most FV_SALIENCY_MAX_PARAMS, ended by a NULL name; NULL: none */
    fv_saliency_kind kind;
    bool has_sign;    /* negative values speak against the class */
    bool takes_layer; /* looks at one or several inner activations */
    /* Whether a variant differs from has_sign; NULL: none does. */
    bool (*variant_has_sign)(const fv_saliency_choice *choice);
    /* Whether it takes gradients of parameters, which the model must keep; NULL: it does not. */
    bool (*trains)(const fv_saliency_choice *choice);
    /* Registers watches before the forward pass is recorded; NULL: none are needed. */
    fv_status (*prepare)(fv_explain_run *run);
    fv_status (*run)(fv_explain_run *run);
    /* Adds to map, in arena, what the map depends on beside variant, numbers and layer; may be NULL. */
    void (*describe)(const fv_saliency_choice *choice, fv_arena *arena, fv_value *map);
};

/* Reads a method's text.  FV_ERR_CONFIG names what is unknown, with "did you mean", and what there is. */
fv_status fv_saliency_parse(const char *text, fv_arena *arena, fv_saliency_choice *out);

/* The same for a list with commas or spaces between.  The caller's out holds max; a method that is there
 * twice is refused. */
fv_status fv_saliency_parse_list(const char *text, fv_arena *arena, int max,
                                 fv_saliency_choice *out, int *n);

/* Gives layer (borrowed) to the choices that look at a layer and name none; FV_ERR_CONFIG: there is none. */
fv_status fv_saliency_use_layer(const char *layer, fv_saliency_choice *choices, int n);

const fv_saliency_method *fv_saliency_at(int i); /* in list order, NULL after the last */

/* The value of a parameter of the method; name must be one of its. */
double fv_saliency_number(const fv_saliency_choice *choice, const char *name);

bool fv_saliency_has_sign(const fv_saliency_choice *choice);
bool fv_saliency_trains(const fv_saliency_choice *choice);

/* Variant, numbers, layer and what describe adds, as a map in arena; NULL when memory runs out. */
fv_value *fv_saliency_settings(const fv_saliency_choice *choice, fv_arena *arena);

#endif
