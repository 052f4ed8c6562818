/* tape_internal.h - the tape's own state, shared by tape.c, the passes, and builders that name the
 * nodes they compose. */
#ifndef FV_CORE_TAPE_INTERNAL_H
#define FV_CORE_TAPE_INTERNAL_H

#include "core/memplan.h"
#include "core/op.h"

typedef struct fv_tap_entry {
    const char *name;
    fv_var *var;
} fv_tap_entry;

typedef struct fv_watch {
    char *pattern;
    uint32_t what;
} fv_watch;

/* Variables of a part that is computed again. */
typedef struct fv_part {
    int32_t first, last; /* last: its result */
} fv_part;

/* What a buffer of the model is to hold after the update (fv_tape_propose). */
typedef struct fv_proposal {
    fv_param *buffer;
    float *now, *next; /* [numel] each, one block; kept for the next update */
    int64_t numel;
    uint32_t pass; /* serial of the step that wrote next */
    bool live;
} fv_proposal;

struct fv_tape {
    fv_step step;
    fv_status status;
    char message[1024];
    uint32_t serial; /* steps begun */
    uint32_t next_layer;
    const char *scope;
    fv_arena nodes; /* variables, attributes; rewound every step */
    fv_memplan *plan;
    fv_var poison;
    fv_var **vars;
    int64_t n_vars, vars_capacity;
    fv_tap_entry *taps;
    int64_t n_taps, taps_capacity;
    fv_watch *watches;
    int64_t n_watches;
    fv_edit_fn *edit;
    void *edit_user;
    fv_op_observer *observer;
    void *observer_user;
    fv_part *parts; /* in order */
    int64_t n_parts, parts_capacity, parts_seen;
    int64_t judged;                  /* variables that fv_tape_forget has seen */
    fv_note *first_note, *last_note; /* in nodes */
    int32_t scratch[8];              /* buffers of the op that runs now */
    int n_scratch;
    fv_proposal *proposals;
    int64_t n_proposals, proposals_capacity;
    uint32_t update;      /* index of the latest TRAIN step */
    int64_t update_first; /* its first sample */
    bool walked;          /* a pass over this step has succeeded */
};

static inline void fv_tape_tell(const fv_tape *tape, const fv_var *y, bool backward, bool ends) {
    if (tape->observer) tape->observer(tape->observer_user, y, backward, ends);
}

/* Stores the first failure, with the thread's message. */
void fv_tape_store(fv_tape *tape, fv_status status);

/* A planned buffer; NULL: FV_ERR_NOMEM, the message is set. */
void *fv_tape_buffer(fv_tape *tape, size_t bytes, int32_t *id);

/* The op has returned and its buffers are marked as used: gives up the fv_tape_scratch buffers.
 * FV_ERR_INTERNAL when a buffer was read that the memory plan had given away. */
fv_status fv_tape_end_op(fv_tape *tape);

/* What reads names (FV_READS_IN, FV_READS_Y) and what y saves is used now. */
void fv_tape_use(fv_tape *tape, const fv_var *y, uint32_t reads);

/* The variable whose buffer an alias shares; v itself if it is none. */
fv_var *fv_tape_owner(fv_var *v);

/* An alias takes the buffer that its input has now. */
static inline void fv_tape_take_input(fv_var *alias) {
    alias->data = alias->in[0]->data;
    alias->buffer = alias->in[0]->buffer;
}

/* v's buffer outlives the part that ends with result. */
static inline bool fv_tape_outlives(const fv_var *v, const fv_var *result) {
    return v->kept || v->buffer == result->buffer;
}

/* y has been recorded, behind its inputs: notes what its backward is going to read, and whether y can be
 * restored. */
void fv_tape_note_reads(fv_var *y);

/* Forgets variables that no call has judged yet, up to end: those that can be restored, and of those from begin
 * on, which only a backward pass may still read, what none reads.  result, which is read next, stays. */
void fv_tape_forget(fv_tape *tape, int64_t end, int64_t begin, const fv_var *result);

/* Brings back what y's op is going to read (FV_READS_IN, FV_READS_Y) and the tape has forgotten. */
fv_status fv_tape_restore(fv_var *y, uint32_t reads);

/* Runs the forward pass of y's op, whose buffers are there. */
fv_status fv_tape_run(fv_tape *tape, fv_var *y);

/* Computes again what the backward pass is going to read of a part; and when the pass has left it, gives
 * up what had no backward of its own. */
fv_status fv_tape_recompute(fv_tape *tape, const fv_part *part);
void fv_tape_leave_part(fv_tape *tape, const fv_part *part);

/* Forgets proposals unless this step is a later pass of the update they belong to. */
void fv_tape_open_update(fv_tape *tape);
void fv_tape_free_proposals(fv_tape *tape);

/* FV_ERR_NONFINITE naming op and layer when data has a NaN or infinity. */
fv_status fv_check_finite(const fv_var *y, const char *what, const void *data, fv_dtype dtype,
                          int64_t n);

#endif
