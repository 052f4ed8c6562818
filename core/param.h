/* param.h - a model's parameters and buffers: an ordered list of named tensors in a few slabs.
 *
 * Layers declare them while the model is built, in timm's state_dict order; fv_params_alloc then puts
 * all values into one block (a slab), all gradients into another, and on request a bf16 copy of the
 * values into a third.  Every slab of a list has one layout, so optimiser moments, moving averages
 * and per-chunk gradients are more slabs (fv_params_slab_create) and a step over all parameters is a
 * loop over one array.  Padding between tensors is zero and stays zero as long as nobody writes it. */
#ifndef FV_CORE_PARAM_H
#define FV_CORE_PARAM_H

#include "core/arena.h"
#include "core/safetensors.h"
#include "core/tensor.h"

#include <stdbool.h>

typedef enum fv_init_kind {
    FV_INIT_ZEROS,
    FV_INIT_ONES,
    FV_INIT_CONSTANT,     /* value */
    FV_INIT_NORMAL,       /* mean 0, standard deviation value */
    FV_INIT_TRUNC_NORMAL, /* the same, redrawn while outside [-2, 2] (timm's trunc_normal_: the cut is
                             absolute, so for the usual 0.02 this is a normal distribution) */
    FV_INIT_UNIFORM,      /* [-value, value) */
} fv_init_kind;

typedef struct fv_init {
    fv_init_kind kind;
    float value;
} fv_init;

/* bits of fv_param.flags */
#define FV_PARAM_I64 1u /* a counter that files hold as I64 (BatchNorm's num_batches_tracked) */

typedef struct fv_param {
    const char *name; /* "blocks.0.attn.qkv.weight" */
    fv_shape shape;
    int64_t numel;
    float *value;        /* NULL before fv_params_alloc */
    float *grad;         /* NULL without gradients and for what is not trainable */
    fv_bf16 *value_bf16; /* NULL without the bf16 slab */
    bool buffer;         /* no parameter */
    bool trainable;      /* false: a buffer, or frozen */
    bool frozen;         /* by fv_params_freeze; buffers too, which keep their values then */
    bool no_decay_hint;  /* weight decay is not meant for it, whatever its rank */
    uint32_t flags;      /* FV_PARAM_* */
    fv_init init;
    uint32_t hash;  /* fv_rng_name(name) */
    int64_t index;  /* position in the list */
    int64_t offset; /* elements from the base of any slab to this tensor */
} fv_param;

/* One f32 block of a list's layout.  {0} is the empty slab. */
typedef struct fv_param_slab {
    float *base;
} fv_param_slab;

/* An empty list is {.arena = arena}. */
typedef struct fv_params {
    fv_param **item; /* [count], in declaration order */
    int64_t count;
    int64_t slab_numel;  /* elements of a slab, padding included */
    int64_t train_numel; /* the same of a slab of gradients: what is frozen lies behind it */
    fv_param_slab value, grad;
    fv_bf16 *value_bf16; /* slab_numel elements, or NULL */

    fv_arena *arena; /* holds names and fv_param structs; not owned */
    int64_t capacity;
    double *partial;  /* scratch of the block sums */
    fv_param poison;  /* what a failed declaration returns */
    fv_status status; /* first failed declaration */
    char message[256];
} fv_params;

/* Frees the slabs; the fv_param structs stay the arena's.  A zeroed or destroyed list is fine. */
void fv_params_destroy(fv_params *params);

/* Declares a trainable parameter (the name is copied).  Never NULL: after a failure (memory, a bad
 * shape, a name used twice) a dummy is returned and fv_params_status and fv_params_alloc tell. */
fv_param *fv_params_add(fv_params *params, const char *name, fv_shape shape, fv_init init);

/* The same for a buffer: saved and loaded, but without gradient. */
fv_param *fv_params_add_buffer(fv_params *params, const char *name, fv_shape shape, fv_init init);

/* FV_OK, or the first failed declaration with its message. */
fv_status fv_params_status(const fv_params *params);

/* Freezes what is called prefix, or is below it ("blocks.1" is not below "blocks.10"): parameters
 * become untrainable and buffers keep what they hold.  Returns how many tensors the prefix means, also
 * those frozen before.  Before fv_params_alloc. */
int64_t fv_params_freeze(fv_params *params, const char *prefix);

/* Allocates the slabs, zeroed, and sets value, grad and value_bf16.  Once, after all declarations. */
typedef struct fv_params_alloc_options {
    bool grad, bf16;
} fv_params_alloc_options;
fv_status fv_params_alloc(fv_params *params, fv_params_alloc_options options);

/* Fills every value from its initialiser: draws depend on (seed, name, element) only, not on the
 * order of declarations or the number of threads.  Refreshes the bf16 copy. */
void fv_params_init(fv_params *params, uint64_t seed);

fv_param *fv_params_find(const fv_params *params, const char *name); /* NULL when absent */
int64_t fv_params_count(const fv_params *params);     /* values of parameters, frozen ones too */
int64_t fv_params_frozen(const fv_params *params);    /* of the frozen ones among them */
bool fv_params_have_buffers(const fv_params *params); /* that training changes */

/* Another slab of this layout, zeroed; needs fv_params_alloc first.  The second has no memory for what
 * is frozen: for gradients and what goes with them.  The caller frees it with fv_params_slab_destroy
 * ({0} is fine). */
fv_status fv_params_slab_create(const fv_params *params, fv_param_slab *out);
fv_status fv_params_train_slab_create(const fv_params *params, fv_param_slab *out);
void fv_params_slab_destroy(fv_param_slab *slab);
float *fv_param_slab_at(const fv_params *params, const fv_param_slab *slab, const fv_param *param);

/* value -> value_bf16, over the thread budget; nothing without the bf16 slab. */
void fv_params_bf16_refresh(fv_params *params);

void fv_params_grad_zero(fv_params *params); /* nothing without gradients */

/* Sum of squares of a slab: fixed blocks, each in double, added in index order, so that the bits do
 * not depend on threads.  Not for two threads at once on one list. */
double fv_params_slab_sum_squares(const fv_params *params, const fv_param_slab *slab);
double fv_params_grad_norm(const fv_params *params); /* Euclidean, of the whole gradient */

/* Which tensors of a file or list take part. */
typedef enum fv_params_which { FV_PARAMS_ALL, FV_PARAMS_TRAINABLE } fv_params_which;

/* Reads all values from an open file (F32, F16, BF16 or F64).  Names and shapes must agree exactly,
 * but for I64 counters, which may be absent and then keep their value, as in PyTorch.  Otherwise
 * FV_ERR_SHAPE with one message that counts and names what is missing, unexpected or of another
 * shape, and no value has changed.  Refreshes the bf16 copy. */
fv_status fv_params_load(fv_params *params, const fv_safetensors *st);

/* Where a file with other names holds a parameter: one tensor, or up to FV_PARAM_PARTS equal ones that
 * make it up one behind the other along axis 0 (query, key and value). */
#define FV_PARAM_PARTS 3
typedef struct fv_param_source {
    const char *part[FV_PARAM_PARTS];
    int n;
    bool keep; /* the value stays; what the file has under these names is passed over */
} fv_param_source;

typedef struct fv_name_list {
    const char **name; /* [count], fit for a line of text */
    int64_t count;
} fv_name_list;

/* How a list and a file agree; names are the file's. */
typedef struct fv_param_report {
    int64_t read; /* tensors of the file that belong to the list */
    fv_name_list missing, unexpected;
    fv_name_list unfit;    /* "head.weight: 10x64, not 7x64" */
    fv_name_list reshaped; /* "head.weight: 10x64x1x1 to 10x64": read as they are */
} fv_param_report;

/* fv_params_load with source[i] for params->item[i] (NULL: own names), which also takes a matrix
 * [out,in] for a kernel [out,c,h,w] with as many values, and the other way round.  The report (may be
 * NULL) is filled on success and on FV_ERR_SHAPE, with its texts in arena. */
fv_status fv_params_load_from(fv_params *params, const fv_safetensors *st,
                              const fv_param_source *source, fv_arena *arena,
                              fv_param_report *report);

/* Reads a slab whose tensors are called prefix + name ("exp_avg." + ...).  Missing ones and other
 * shapes are errors as above; other tensors of the file are not looked at. */
fv_status fv_params_slab_load(const fv_params *params, fv_params_which which, const char *prefix,
                              const fv_safetensors *st, fv_param_slab *slab);

/* Appends the tensors of a slab, called prefix + name, to items[*n_items...], which has room for
 * params->count more.  Names and I64 counters live in arena, other data stays in the slab. */
fv_status fv_params_items(const fv_params *params, fv_params_which which, const fv_param_slab *slab,
                          const char *prefix, fv_arena *arena, fv_safetensors_item items[],
                          int64_t *n_items);

/* Writes all tensors of a slab (NULL: the values) under their own names, as fv_safetensors_save. */
fv_status fv_params_save(const fv_params *params, const fv_param_slab *slab, const char *path,
                         const fv_safetensors_meta *meta, int64_t n_meta);

#endif
