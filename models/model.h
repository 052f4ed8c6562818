/* model.h - a named network: variant table, parameters, preprocessing, forward pass.
 *
 * Names, parameter names and shapes are timm's.  A model is built once from its name and optional
 * constructor arguments (timm's names: patch_size, embed_dim, depth, num_heads, mlp_ratio, ...), owns
 * its parameters and has no state besides them: the forward pass records ops on a tape. */
#ifndef FV_MODELS_MODEL_H
#define FV_MODELS_MODEL_H

#include "core/param.h"
#include "core/settings.h"
#include "core/tape.h"
#include "core/value.h"

/* What the pixels must look like (timm's pretrained_cfg). */
typedef struct fv_model_input {
    int64_t height, width; /* px */
    float mean[3], std[3];
    const char *interpolation; /* "bicubic" or "bilinear" */
    double crop_pct;           /* shorter side = floor(size / crop_pct) before the centre crop */
    bool any_size;             /* no parameter depends on the image's size */
} fv_model_input;

/* How a model is asked for.  Zero means the variant's own value. */
typedef struct fv_model_config {
    const char *name;       /* e.g. "vit_tiny_patch16_224", with an optional ".tag" */
    int64_t num_classes;    /* 0: the variant's (1000; mini models 10) */
    int64_t img_size;       /* px; 0: that of kwargs, else the variant's */
    double drop_path;       /* stochastic depth of the last block */
    const fv_value *kwargs; /* model_kwargs, may be NULL; unknown keys are errors.  num_classes and
                                   global_pool must agree with the rest, in_chans is 3 */
    const fv_value *attention;  /* attention.* group, may be NULL */
    const fv_value *pool, *pos; /* their groups, may be NULL */
    const char *freeze;         /* what training leaves alone (freeze.h), NULL: nothing */
    bool bf16;                  /* also keep a bf16 copy of the values, for fv_step.bf16 */
} fv_model_config;

/* What the options of a command ask for: model, its groups, num_classes, img_size, drop_path, freeze.
 * Borrows from the settings. */
fv_model_config fv_model_config_of(const fv_settings *settings);

typedef struct fv_model fv_model;

/* The layers that parameters belong to, by the beginnings of their names, as timm groups them: patterns
 * separated by spaces, # for a number, the first that fits counts.  The rest is the classifier's. */
typedef struct fv_layer_names {
    const char *stem;
    const char *blocks; /* in the order of the numbers; without the second one: with its block 0 */
    const char *last;   /* belongs to the last block; NULL: nothing */
} fv_layer_names;

/* A family's entry points; the variant's own numbers are in its table. */
typedef struct fv_family {
    const char *name; /* "vit" */
    /* Variant names of the family, in table order; NULL after the last. */
    const char *(*variant)(int i);
    /* Declares parameters, fills everything in the model behind `name`; kwargs and the groups are
     * already there, as copies.  Checks that all their keys are known. */
    fv_status (*build)(fv_model *model, const fv_model_config *cfg);
    /* x [B,H,W,3] f32 normalised -> logits [B,num_classes] f32. */
    fv_var *(*forward)(const fv_model *model, fv_var *x);
    fv_layer_names layers;
} fv_family;

struct fv_model {
    fv_arena arena; /* holds everything below */
    const fv_family *family;
    const char *name; /* variant, without tag */
    void *self;       /* the family's struct */
    fv_params params;
    fv_model_input input;
    int64_t num_classes;
    int64_t num_features; /* width of the classifier's input */
    int64_t tokens;       /* rows per sample that gradient chunks count: of the widest matrix
                             products; in a pyramid of maps, of the stage before the last */
    int64_t grid_h, grid_w,
        prefix_tokens; /* layout of token tensors: prefix first, then the grid */
    double drop_path;
    fv_value *kwargs, *attention, *pool, *pos; /* as asked for; NULL when empty */
    fv_value *args; /* resolved constructor arguments, timm's names: model_args in config.json */
    const char *global_pool; /* timm's name: "token" */
    const char *first_conv;  /* path of the layer that reads pixels */
    const char
        *classifiers[2]; /* paths of the classifier layers; [1] NULL but for distilled models */
    const char *
        *feature_names; /* taps of the intermediate features, in order: "tokens", "blocks.0"... */
    int n_features;
};

/* Builds a model with uninitialised values.  want_grad: gradients too.  FV_ERR_CONFIG: unknown name
 * (with "did you mean"), unknown or illegal argument, naming the rule.  The caller destroys *out. */
fv_status fv_model_create(const fv_model_config *cfg, bool want_grad, fv_model **out);
void fv_model_destroy(fv_model *model);

/* Fresh weights by the family's own initialisers; depends on seed and parameter names only. */
void fv_model_init(fv_model *model, uint64_t seed);

/* Does a parameter belong to one of the classifier layers? */
bool fv_model_is_classifier(const fv_model *model, const char *param);

/* Records the forward pass; returns logits [B,K] (tapped "logits"; classifier input "pre_logits"). */
fv_var *fv_model_forward(const fv_model *model, fv_var *x);

/* Samples per gradient chunk: the largest power of two with at most 2560 tokens, at least 1. */
int64_t fv_model_chunk_samples(const fv_model *model);

/* Samples of a pass over independent samples, of which there are `wanted` or more: whole chunks, as many as
 * there are threads at most.  Results do not depend on it, memory does; speed gains nothing from more. */
int64_t fv_model_pass_samples(const fv_model *model, int64_t wanted);

/* Every registered variant, in list order; NULL after the last. */
const char *fv_model_name(int i);
const fv_family *fv_model_family(const char *name); /* NULL: unknown */

/* The first variant from list position *i on whose name matches an fnmatch(3) pattern; *i becomes the
 * position behind it.  NULL when there is none.
 *     for (int i = 0; (name = fv_model_match("vit_*", &i));) ... */
const char *fv_model_match(const char *pattern, int *i);

/* fv_model_create without memory for values: for listings, summaries and costs. */
fv_status fv_model_describe(const fv_model_config *cfg, fv_model **out);

/* Costs of one image, from a dry run. */
typedef struct fv_model_cost {
    double macs, activations; /* activations: elements written by convolutions and linear layers */
} fv_model_cost;
fv_status fv_model_cost_of(const fv_model *model, fv_model_cost *out);

#endif
