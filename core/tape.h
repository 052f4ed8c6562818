/* tape.h - define-by-run record of one step: forward now, gradients and relevance by walking back.
 *
 * Applying an op checks shapes, computes and appends a variable; tape order is topological.  The first
 * failure is stored and every later op returns the poison variable, so that models read like papers
 * and fv_tape_status is asked once per step.
 *
 * Axis 0 of every activation is the sample.  Samples are grouped into chunks of a fixed count
 * (fv_step.chunk_samples); matrix products never mix rows of two chunks, and parameter gradients are
 * computed per chunk and added in a fixed binary tree over the chunk's position in the global batch
 * (tree.h).  Hence the bits of a gradient do not depend on threads or on how the batch was cut.
 *
 * Memory: variables and their buffers belong to the tape and live until the next fv_tape_begin.  The
 * first step of a kind records buffer lifetimes, later ones replay into one planned block (memplan.h),
 * so a value is readable after the step only when it was kept (fv_keep) or watched.
 *
 * Precision: fv_step.bf16 makes the producers of matrix-product inputs (norms, patchify) write bf16;
 * an op's product dtype is its input's dtype.  Residual stream, statistics, softmax, logits, loss and
 * parameter gradients are f32. */
#ifndef FV_CORE_TAPE_H
#define FV_CORE_TAPE_H

#include "core/arena.h"
#include "core/param.h"
#include "core/rng.h"
#include "core/tensor.h"

#define FV_MAX_INPUTS 4
#define FV_MAX_SAVED  4

typedef struct fv_op fv_op;
typedef struct fv_tape fv_tape;
typedef struct fv_ledger fv_ledger;
typedef struct fv_rule fv_rule;

typedef enum fv_mode {
    FV_TRAIN, /* fused ops, what backward reads is kept, restored or computed again, stochastic depth on */
    FV_INFER,  /* fused ops, values die after their last reader */
    FV_EXPLAIN /* composed f32 ops with a relevance rule each; backward works too */
} fv_mode;

typedef struct fv_step {
    fv_mode mode;
    bool bf16;                    /* products in bf16 (ignored in FV_EXPLAIN) */
    bool dry;                     /* shapes and costs only: no buffers, no arithmetic */
    bool running_stats;           /* FV_TRAIN: batch norms use and keep their running statistics */
    bool check_finite;            /* stop at the first op with a non-finite output, naming it */
    uint64_t seed;                /* random keys of stochastic depth: seed, index, position */
    uint32_t index;               /* update number */
    int64_t first_sample;         /* position of this pass's first sample in the global batch */
    int64_t total_samples;        /* samples in the global batch; 0 = this pass is all of it */
    int64_t samples;              /* of this pass; a hint that tells memory plans apart */
    uint64_t purpose;             /* what will be done with the step: another such hint */
    int64_t chunk_samples;        /* power of two; 0 = the whole pass is one chunk */
    int64_t recompute;            /* FV_TRAIN: parts, from the first on, that are computed again */
    const fv_param_slab *partial; /* [fv_tree_levels(chunks)] partial sums between the passes of one
                                     batch; NULL when the pass is the whole batch */
} fv_step;

typedef struct fv_var {
    fv_shape shape;
    fv_dtype dtype;
    void *data;      /* NULL on a dry tape */
    const fv_op *op; /* NULL: a leaf */
    fv_tape *tape;
    struct fv_var *in[FV_MAX_INPUTS]; /* unused and left-out optional inputs are NULL */
    const void *attr;                 /* the op's own settings */
    fv_tensor saved[FV_MAX_SAVED];    /* declared by the op's shape rule, filled by forward */
    int n_saved;
    fv_param *param;   /* parameter leaves */
    bool needs_grad;   /* an input or ancestor wants a gradient */
    bool kept;         /* fv_keep */
    bool wanted;       /* by the backward pass, of a part that is computed again */
    bool held;         /* a backward pass reads the value */
    bool restorable;   /* from values that are there when it is wanted again */
    bool forgotten;    /* data is gone until the value is restored */
    bool restored;     /* it came back by fv_op.restore */
    const char *scope; /* path of the layer that applied the op, "" at top level */
    /* the rest is the tape's business */
    int32_t id, n_readers, buffer, saved_buffer[FV_MAX_SAVED], grad_buffer, signal_buffer;
    uint32_t watch;
    int signal_kind;
    float *signal;             /* relevance signal collected so far, f32 */
    fv_tensor grad, relevance; /* after a pass: leaves and watched variables */
} fv_var;

/* Caller destroys.  A tape keeps its memory between steps and is used by one thread. */
fv_status fv_tape_create(fv_tape **out);
void fv_tape_destroy(fv_tape *tape);

/* Starts a step; all variables of the previous one become invalid. */
void fv_tape_begin(fv_tape *tape, const fv_step *step);
const fv_step *fv_tape_step(const fv_tape *tape);
/* The first failure since fv_tape_begin; its message is set again for the calling thread. */
fv_status fv_tape_status(fv_tape *tape);
/* Stores a failure found outside of an op (a layer's shape check); returns the poison variable. */
fv_var *fv_tape_fail(fv_tape *tape, fv_status status);

/* Leaves.  The data is borrowed and must outlive the step. */
fv_var *fv_input(fv_tape *tape, const fv_tensor *t, bool needs_grad);
/* A parameter may be read by one op per training step (its gradient is written, not added): a second
 * reader in FV_TRAIN is FV_ERR_UNSUPPORTED. */
fv_var *fv_param_var(fv_tape *tape, fv_param *param);

/* Sets the layer path recorded with the ops that follow ("blocks.0.attn"); returns the old one. */
const char *fv_tape_scope(fv_tape *tape, const char *path);
/* The same with the path "<scope>.<name>", which the tape keeps until the next step. */
const char *fv_tape_scope_child(fv_tape *tape, const char *name);
/* Depth-first number of the current op within the step: the layer entry of random keys. */
uint32_t fv_tape_next_layer(fv_tape *tape);

/* ---- watches: registered before the forward pass, patterns as in fnmatch(3) ---- */
#define FV_WATCH_VALUE 1u
#define FV_WATCH_GRAD  2u
/* In FV_EXPLAIN also of parameters, by their names: after a pass those that take relevance (positions,
 * class token) have theirs, [B,numel]. */
#define FV_WATCH_RELEVANCE 4u
#define FV_WATCH_EDIT      8u /* the tape's edit function is called on it */
fv_status fv_tape_watch(fv_tape *tape, const char *pattern, uint32_t what); /* until cleared */
void fv_tape_clear_watches(fv_tape *tape); /* and the edit function */
/* Called with each tapped variable under an FV_WATCH_EDIT, before anything has read it: may change its
 * values in place (an intervention).  Passes that walk back take the changed values for the op's own; only
 * batch norm with ReLU in one op, outside of FV_EXPLAIN, finds the sign again from its input. */
typedef void fv_edit_fn(fv_var *x, const char *name, void *user);
void fv_tape_set_edit(fv_tape *tape, fv_edit_fn *edit, void *user);
/* Is told when an op begins and when it ends, in the forward pass and in fv_tape_backward (but for ops
 * that have nothing to do there, since their gradient is handed over as it is).  What is computed again
 * counts as forward, what is restored as its reader's.  For measurements; NULL: nobody is. */
typedef void fv_op_observer(void *user, const fv_var *y, bool backward, bool ends);
void fv_tape_observe(fv_tape *tape, fv_op_observer *observer, void *user);
/* Names an activation; free when nothing watches it.  Returns x.  What an op makes of a parameter is
 * named after it too: "blocks.0.mlp.fc1.weight.output" is the layer's output, in FV_EXPLAIN before an
 * activation (elsewhere the two may be one op). */
fv_var *fv_tap(fv_var *x, const char *name);
/* The same under "<scope>.<name>", for what ops and layers compose within their scope. */
fv_var *fv_tap_part(fv_var *x, const char *name);
/* The variable tapped under a name in this step, NULL if none. */
fv_var *fv_tape_find(const fv_tape *tape, const char *name);
/* Keeps the value of x readable until the next step.  Returns x. */
fv_var *fv_keep(fv_var *x);

/* ---- recomputation: less memory for more time, and the same bits ---- */
/* Layers mark their parts (blocks): what is recorded from begin on, up to the part's result y, which is
 * returned.  Nothing else of a part may be read behind it, and parts do not overlap.  In FV_TRAIN the
 * first fv_step.recompute parts forget their activations and compute them again, with the same random
 * keys, when the backward pass needs them; the others forget what no backward reads or what their ops
 * can restore.  Neither happens while an edit function is set.  In FV_INFER a part's end is the end of
 * all its values but y and those that are kept. */
int64_t fv_recompute_begin(const fv_tape *tape);
fv_var *fv_recompute_end(fv_var *y, int64_t begin);
int64_t fv_tape_parts(const fv_tape *tape); /* marked so far in this FV_TRAIN step, dry ones too */

/* ---- notes: what layers tell about the ops they apply, for those who read the record ---- */
typedef struct fv_note {
    const char *scope; /* the tape's when it was made */
    const char *kind;  /* what data is; borrowed */
    const void *data;
    const struct fv_note *next;
} fv_note;
/* Keeps a copy of data until the next step; in FV_EXPLAIN only, other modes take no notes. */
void fv_tape_note(fv_tape *tape, const char *kind, const void *data, size_t n_bytes);
const fv_note *fv_tape_notes(const fv_tape *tape); /* in order; NULL: none */

/* ---- passes ---- */
/* Gradient of sum(dy * y): fills grad of variables that need one and of parameters.  dy is f32 of y's
 * shape.  Parameter gradients of passes that are not the last of the batch stay partial (tree.h). */
fv_status fv_tape_backward(fv_tape *tape, fv_var *y, const float *dy);

/* Called for each op in backward order; fills in the rule.  user is the caller's. */
typedef void fv_rule_fn(const fv_var *y, void *user, fv_rule *rule);
/* Relevance from y (R = start, f32 of y's shape; kind R) or from the gradient signal start (kind GI)
 * to every variable that needs a gradient; FV_EXPLAIN only.  ledger may be NULL. */
fv_status fv_tape_relevance(fv_tape *tape, fv_var *y, const float *start, int kind,
                            fv_rule_fn *pick, void *user, fv_ledger *ledger);

/* ---- what a step changes in the model ---- */
/* Forward passes leave the model as it is.  An op that keeps statistics proposes what a buffer is to
 * hold next: it writes *next [numel] from *now, which is the buffer's value or, in a later pass of one
 * update, what the pass before proposed.  Both belong to the tape.  A TRAIN step with the index of the
 * TRAIN step before it and a larger first_sample is a later pass of its update; any other one forgets
 * what was not committed.  Proposing again in one pass starts from the same *now. */
fv_status fv_tape_propose(fv_tape *tape, fv_param *buffer, const float **now, float **next);
/* Puts the proposed values into the buffers, in the order of their first proposal, once losses and
 * gradients are known to be good; after a failed step forgets them instead.  Cannot fail. */
void fv_tape_commit(fv_tape *tape);

/* Scratch of n floats for the op that runs now, valid until it returns; NULL when memory runs out
 * (the message is set).  Ops only; per-task scratch comes from fv_scratch. */
float *fv_tape_scratch(fv_tape *tape, int64_t n);
/* Gives up what was taken since the mark: for an op that runs others. */
int fv_tape_scratch_mark(const fv_tape *tape);
void fv_tape_scratch_release(fv_tape *tape, int mark);

size_t fv_tape_bytes(const fv_tape *tape); /* that its buffers take */
/* Steps that are recorded fail with FV_ERR_NOMEM when their buffers, with all that fv_alloc holds, take more
 * bytes; 0: no limit. */
void fv_tape_set_limit(fv_tape *tape, size_t bytes);
/* Behind a step: may it be repeated within the limit? */
bool fv_tape_fits(fv_tape *tape);

/* ---- the record ---- */
int64_t fv_tape_count(const fv_tape *tape); /* variables, leaves included */
fv_var *fv_tape_at(const fv_tape *tape, int64_t i);

/* ---- shapes ---- */
int64_t fv_dim(const fv_var *x, int axis); /* negative axes count from the end */
fv_tensor fv_var_tensor(const fv_var *x);

/* bf16 when the step computes products in bf16, else f32: what norms and patchify write. */
fv_dtype fv_product_dtype(const fv_tape *tape);

#endif
