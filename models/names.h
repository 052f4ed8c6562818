/* names.h - parameter names that other publishers use: one table per naming, read in both directions.
 *
 * Ours are timm's.  A table has a rule per line; the first whose pattern fits a name of ours tells what
 * the other side calls it.  In patterns '#' stands for a number and a '*' at the end for the rest; both
 * are carried over in order.  "{a,b,c}" on the other side means three tensors that make up ours one
 * behind the other along axis 0.  A new naming is a file names_<publisher>.c and a line below. */
#ifndef FV_MODELS_NAMES_H
#define FV_MODELS_NAMES_H

#include "models/model.h"

typedef struct fv_name_rule {
    const char *ours, *theirs;
} fv_name_rule;

typedef struct fv_naming {
    const char *name;         /* what --to takes: "authors" */
    const char *whose;        /* "the DaViT authors' names" */
    const char *family;       /* of models; NULL: any */
    const fv_name_rule *rule; /* {NULL, NULL} behind the last */
} fv_naming;

#define FV_NAMING_LIST(X) X(timm) X(davit_authors) X(vit_transformers) X(deit_transformers)

#define FV_X(name) extern const fv_naming fv_naming_##name;
FV_NAMING_LIST(FV_X)
#undef FV_X

/* The i-th naming that serves a family, our own first; NULL behind the last. */
const fv_naming *fv_naming_at(const char *family, int i);

/* What a naming calls our name, with prefix in front, in arena; out->n is 0 when no rule fits. */
fv_status fv_naming_apply(const fv_naming *naming, const char *prefix, const char *ours,
                          fv_arena *arena, fv_param_source *out);

/* How the tensors of a file are called. */
typedef struct fv_tensor_names {
    const fv_naming *naming;
    const char *prefix;            /* in front of every name: "model.", "" */
    const fv_param_source *source; /* [params->count] */
} fv_tensor_names;

/* The naming of which the most parameters are there; our own wins a tie.  Wrappers in front of every
 * name of the file ("module.", "model.", "state_dict.") make up the prefix. */
fv_status fv_tensor_names_choose(const fv_model *model, const fv_safetensors *st, fv_arena *arena,
                                 fv_tensor_names *out);

/* The naming called name ("timm", "authors") that knows all parameters of the model, no prefix.
 * FV_ERR_CONFIG with a list of the family's namings when there is none. */
fv_status fv_tensor_names_called(const fv_model *model, const char *name, fv_arena *arena,
                                 fv_tensor_names *out);

/* The tensor that is our parameter called name, NULL when none is. */
const fv_safetensors_entry *fv_tensor_names_find(const fv_tensor_names *names,
                                                 const fv_model *model, const fv_safetensors *st,
                                                 const char *name);

#endif
