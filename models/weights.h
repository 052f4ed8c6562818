/* weights.h - models from and to files: a checkpoint or hub folder, a run folder or a bare .safetensors.
 *
 * config.json beside the weights has the form of timm's hub folders: {architecture, num_classes,
 * num_features, global_pool, label_names, model_args, pretrained_cfg{input_size, mean, std,
 * interpolation, crop_pct, ...}}; published folders load here, ours load in timm (mini models and token
 * mixers other than mhsa aside, which timm does not know; the groups attention, pool and pos stand
 * beside model_args and timm passes them over). */
#ifndef FV_MODELS_WEIGHTS_H
#define FV_MODELS_WEIGHTS_H

#include "core/checkpoint.h"
#include "models/model.h"
#include "models/names.h"
#include "models/pos_resample.h"

/* Which names a weights file uses and how its tensors fit.  End with fv_load_report_destroy. */
typedef struct fv_load_report {
    fv_arena arena;      /* holds everything below */
    const char *weights; /* path of the file */
    const char *whose;   /* "our own names" */
    const char *prefix;  /* in front of all names of the file, "" when none */
    bool foreign;        /* not our own names */
    fv_param_report tensors;
    fv_grid_size grid_from, grid_to; /* of positions that were resized; 0 when none were */
    bool new_head;                   /* the classifier was left as it was initialised */
    int64_t head_classes;            /* of the file's classifier then, 0 without one */
    int64_t num_classes;             /* of the model */
} fv_load_report;
void fv_load_report_destroy(fv_load_report *report); /* a zeroed one is fine */

/* "PATH: 200 tensors read by transformers' ViT names, 0 of them reshaped; positions resized from 8x8 to
 * 12x12; head re-initialised: 20 classes there, 4 here" into text, each part where it is so; "" when
 * names and shapes were our own.  Returns text. */
#define FV_LOAD_REPORT_TEXT 1024
const char *fv_load_report_text(const fv_load_report *report, char text[FV_LOAD_REPORT_TEXT]);

typedef struct fv_model_overrides {
    fv_model_config config; /* what is not zero goes before what the file says, in maps by key */
    bool use_ema;           /* read model_ema.safetensors */
    fv_load_report *report; /* zeroed; filled as far as it comes, also on errors.  May be NULL */
} fv_model_overrides;

/* What else the files say; independent of the model's life. */
typedef struct fv_model_meta {
    fv_arena arena;                 /* holds everything below */
    fv_checkpoint_files files;      /* texts; NULL for what is not there */
    const char *weights;            /* path of the file that was read */
    fv_value *config;               /* config.json; NULL for a bare file */
    const char *const *label_names; /* [n_labels] class names, NULL when unknown */
    int64_t n_labels;               /* 0 or the model's num_classes */
} fv_model_meta;

/* What becomes of the classifier. */
typedef enum fv_load_head {
    FV_HEAD_FITS,   /* it is read; another number of classes is an error */
    FV_HEAD_ADAPTS, /* it is read when the file has one of as many classes, else left as it is */
    FV_HEAD_NEW     /* it is left as it is: the classes are others */
} fv_load_head;

/* Reads the values of a model from an open weights file: our names, or those of a table in names.h.
 * Positions of another grid are resized (pos_resample.h), tokens in front of the grid kept; the file's
 * grid is taken to be square.  report may be NULL.  Errors: FV_ERR_SHAPE naming what is missing,
 * unexpected or of another shape; FV_ERR_UNSUPPORTED (positions of no square grid). */
fv_status fv_model_load_values(fv_model *model, const fv_safetensors *st, fv_load_head head,
                               fv_load_report *report);

/* Builds the model that path holds and reads its values.  The weights file's header is judged before
 * anything else.  A bare file does not say what it is: overrides->config.name must; its number of
 * classes is that of its classifier.  overrides may be NULL.  The caller destroys *out with
 * fv_model_destroy and *meta with fv_model_meta_destroy; on error *out is NULL and *meta empty.
 * Errors: FV_ERR_NOT_FOUND, FV_ERR_IO; FV_ERR_FORMAT (config.json, the weights file);  FV_ERR_SHAPE
 * naming what is missing, unexpected or of another shape; FV_ERR_UNSUPPORTED (positions of no
 * square grid); FV_ERR_CONFIG for what overrides ask for, or lack; FV_ERR_NOMEM. */
fv_status fv_model_open(const char *path, const fv_model_overrides *overrides, bool want_grad,
                        fv_model **out, fv_model_meta *meta);
void fv_model_meta_destroy(fv_model_meta *meta); /* a zeroed one is fine */

/* config.json of a model as a tree (NULL when memory runs out) or as text, in arena.  label_names
 * [model->num_classes] may be NULL.  A pure function of its arguments. */
fv_value *fv_model_config_tree(const fv_model *model, const char *const *label_names,
                               fv_arena *arena);
fv_status fv_model_config_json(const fv_model *model, const char *const *label_names,
                               fv_arena *arena, char **text);

/* Writes model.safetensors and config.json into a folder, which is created when needed: what
 * fv_model_open reads back to the same bits. */
fv_status fv_model_save(const fv_model *model, const char *const *label_names, const char *folder);

/* The same with the tensors called as a naming of the model's family does (fv_tensor_names_called). */
fv_status fv_model_save_named(const fv_model *model, const char *const *label_names,
                              const fv_tensor_names *names, const char *folder);

#endif
