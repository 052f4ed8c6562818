#include "core/tape.h"

#include "core/alloc.h"
#include "core/tape_internal.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#define NODE_CHUNK_BYTES ((size_t)256 * 1024)

fv_status fv_tape_create(fv_tape **out) {
    fv_tape *tape = fv_calloc(1, sizeof *tape);

    *out = NULL;
    if (!tape) return FV_ERR_NOMEM;
    const fv_status status = fv_memplan_create(&tape->plan);
    if (status != FV_OK) {
        fv_free(tape);
        return status;
    }
    tape->nodes.chunk_bytes = NODE_CHUNK_BYTES;
    *out = tape;
    fv_tape_begin(tape, &(fv_step){0});
    return FV_OK;
}

void fv_tape_destroy(fv_tape *tape) {
    if (!tape) return;
    fv_tape_clear_watches(tape);
    fv_tape_free_proposals(tape);
    fv_arena_destroy(&tape->nodes);
    fv_memplan_destroy(tape->plan);
    fv_free(tape->vars);
    fv_free(tape->taps);
    fv_free(tape->parts);
    fv_free(tape->watches);
    fv_free(tape);
}

/* Steps with one key are expected to ask for the same buffers; a wrong guess only costs a recording. */
static uint64_t plan_key(const fv_tape *tape) {
    uint64_t key = (uint64_t)tape->step.mode * 31u + (uint64_t)tape->step.bf16 * 7u +
                   (uint64_t)tape->step.samples * 1009u + tape->step.purpose * 13u +
                   (uint64_t)tape->step.check_finite * 3u +
                   (uint64_t)tape->step.running_stats * 5u + (uint64_t)tape->step.recompute * 17u +
                   (tape->edit ? 19u : 0u);
    for (int64_t i = 0; i < tape->n_watches; i++)
        key = key * 1000003u + fv_rng_name(tape->watches[i].pattern) + tape->watches[i].what;
    return key;
}

void fv_tape_begin(fv_tape *tape, const fv_step *step) {
    /* A step that failed, or was not walked back as the next one may be, does not show how long its
     * buffers are needed.  Explained steps keep everything. */
    if (tape->status != FV_OK || (tape->step.mode == FV_TRAIN && !tape->walked))
        fv_memplan_abandon(tape->plan);
    tape->step = *step;
    tape->status = FV_OK;
    tape->walked = false;
    tape->serial++;
    fv_tape_open_update(tape);
    tape->next_layer = 0;
    tape->scope = "";
    tape->n_vars = tape->n_taps = 0;
    tape->n_parts = tape->parts_seen = tape->judged = 0;
    tape->first_note = tape->last_note = NULL;
    tape->n_scratch = 0;
    fv_arena_rewind(&tape->nodes, (fv_arena_mark){0});
    fv_memplan_begin(tape->plan, plan_key(tape));
    tape->poison = (fv_var){.tape = tape, .id = -1, .buffer = -1, .scope = ""};
    tape->poison.shape.rank = FV_MAX_RANK;
    for (int i = 0; i < FV_MAX_RANK; i++) tape->poison.shape.dim[i] = 1;
}

const fv_step *fv_tape_step(const fv_tape *tape) { return &tape->step; }

void fv_tape_store(fv_tape *tape, fv_status status) {
    if (tape->status != FV_OK || status == FV_OK) return;
    tape->status = status;
    snprintf(tape->message, sizeof tape->message, "%s", fv_error_message());
}

fv_status fv_tape_status(fv_tape *tape) {
    return tape->status == FV_OK ? FV_OK : FV_FAIL(tape->status, "%s", tape->message);
}

fv_var *fv_tape_fail(fv_tape *tape, fv_status status) {
    fv_tape_store(tape, status);
    return &tape->poison;
}

const char *fv_tape_scope(fv_tape *tape, const char *path) {
    const char *old = tape->scope;
    tape->scope = path;
    return old;
}

const char *fv_tape_scope_child(fv_tape *tape, const char *name) {
    const char *path = fv_arena_printf(&tape->nodes, "%s.%s", tape->scope, name);

    if (!path) fv_tape_store(tape, FV_ERR_NOMEM);
    return fv_tape_scope(tape, path ? path : tape->scope);
}

uint32_t fv_tape_next_layer(fv_tape *tape) { return tape->next_layer++; }

/* ---- buffers ---- */

void *fv_tape_buffer(fv_tape *tape, size_t bytes, int32_t *id) {
    void *p = fv_memplan_alloc(tape->plan, bytes, id);
    if (!p) *id = -1;
    return p;
}

float *fv_tape_scratch(fv_tape *tape, int64_t n) {
    const int most = (int)(sizeof tape->scratch / sizeof *tape->scratch);
    if (tape->n_scratch == most) {
        FV_FAIL(FV_ERR_INTERNAL, "an op asks for more than %d scratch buffers", most);
        return NULL;
    }
    int32_t id;
    float *p = fv_tape_buffer(tape, (size_t)n * sizeof(float), &id);
    if (p) tape->scratch[tape->n_scratch++] = id;
    return p;
}

int fv_tape_scratch_mark(const fv_tape *tape) { return tape->n_scratch; }

void fv_tape_scratch_release(fv_tape *tape, int mark) {
    while (tape->n_scratch > mark) {
        const int32_t id = tape->scratch[--tape->n_scratch];
        fv_memplan_use(tape->plan, id);
        fv_memplan_release(tape->plan, id);
    }
}

fv_status fv_tape_end_op(fv_tape *tape) {
    fv_tape_scratch_release(tape, 0);
    if (!fv_memplan_stale(tape->plan)) return FV_OK;
    return FV_FAIL(FV_ERR_INTERNAL, "the step reads a buffer that was not kept for it");
}

/* ---- names ---- */

fv_status fv_tape_watch(fv_tape *tape, const char *pattern, uint32_t what) {
    fv_watch *grown = fv_realloc(tape->watches, (size_t)tape->n_watches + 1, sizeof *grown);
    if (!grown) return FV_ERR_NOMEM;
    tape->watches = grown;
    char *copy = fv_strdup(pattern);
    if (!copy) return FV_ERR_NOMEM;
    tape->watches[tape->n_watches++] = (fv_watch){copy, what};
    return FV_OK;
}

void fv_tape_clear_watches(fv_tape *tape) {
    for (int64_t i = 0; i < tape->n_watches; i++) fv_free(tape->watches[i].pattern);
    tape->n_watches = 0;
    fv_tape_set_edit(tape, NULL, NULL);
}

void fv_tape_set_edit(fv_tape *tape, fv_edit_fn *edit, void *user) {
    tape->edit = edit;
    tape->edit_user = user;
}

fv_var *fv_tap(fv_var *x, const char *name) {
    fv_tape *tape = x->tape;
    if (tape->status != FV_OK || tape->n_watches == 0) return x;
    uint32_t what = 0;
    for (int64_t i = 0; i < tape->n_watches; i++)
        if (fnmatch(tape->watches[i].pattern, name, 0) == 0) what |= tape->watches[i].what;
    if (!what) return x;
    if (tape->n_taps == tape->taps_capacity) {
        const int64_t capacity = tape->taps_capacity ? 2 * tape->taps_capacity : 64;
        fv_tap_entry *grown = fv_realloc(tape->taps, (size_t)capacity, sizeof *grown);
        if (!grown) return fv_tape_fail(tape, FV_ERR_NOMEM);
        tape->taps = grown;
        tape->taps_capacity = capacity;
    }
    const char *copy = fv_arena_strdup(&tape->nodes, name);
    if (!copy) return fv_tape_fail(tape, FV_ERR_NOMEM);
    tape->taps[tape->n_taps++] = (fv_tap_entry){copy, x};
    x->watch |= what;
    if (what & FV_WATCH_EDIT && tape->edit && x->data) {
        tape->edit(x, copy, tape->edit_user);
        fv_tape_owner(x)->restorable = false; /* its op knows nothing of the edit */
    }
    return what & FV_WATCH_VALUE ? fv_keep(x) : x;
}

fv_var *fv_tap_part(fv_var *x, const char *name) {
    const fv_tape *tape = x->tape;
    char path[512];

    if (tape->n_watches == 0) return x;
    snprintf(path, sizeof path, "%s.%s", tape->scope, name);
    return fv_tap(x, path);
}

fv_var *fv_tape_find(const fv_tape *tape, const char *name) {
    for (int64_t i = 0; i < tape->n_taps; i++)
        if (strcmp(tape->taps[i].name, name) == 0) return tape->taps[i].var;
    return NULL;
}

void fv_tape_note(fv_tape *tape, const char *kind, const void *data, size_t n_bytes) {
    if (tape->step.mode != FV_EXPLAIN || tape->status != FV_OK) return;
    fv_note *note = fv_arena_alloc(&tape->nodes, 1, sizeof *note);
    void *copy = note ? fv_arena_alloc(&tape->nodes, 1, n_bytes) : NULL;
    if (!copy) {
        fv_tape_fail(tape, FV_ERR_NOMEM);
        return;
    }
    memcpy(copy, data, n_bytes);
    *note = (fv_note){.scope = tape->scope, .kind = kind, .data = copy};
    if (tape->last_note)
        tape->last_note->next = note;
    else
        tape->first_note = note;
    tape->last_note = note;
}

const fv_note *fv_tape_notes(const fv_tape *tape) { return tape->first_note; }

void fv_tape_observe(fv_tape *tape, fv_op_observer *observer, void *user) {
    tape->observer = observer;
    tape->observer_user = user;
}

fv_var *fv_keep(fv_var *x) {
    if (x->tape->status != FV_OK) return x;
    if (x->forgotten) {
        const fv_status status = fv_tape_restore(x, FV_READS_Y);
        if (status != FV_OK) return fv_tape_fail(x->tape, status);
    }
    x->kept = fv_tape_owner(x)->kept = true;
    fv_memplan_keep(x->tape->plan, x->buffer);
    return x;
}

size_t fv_tape_bytes(const fv_tape *tape) { return fv_memplan_bytes(tape->plan); }

void fv_tape_set_limit(fv_tape *tape, size_t bytes) { fv_memplan_set_limit(tape->plan, bytes); }

bool fv_tape_fits(fv_tape *tape) { return fv_memplan_fits(tape->plan); }

/* ---- the record ---- */

int64_t fv_tape_count(const fv_tape *tape) { return tape->n_vars; }

fv_var *fv_tape_at(const fv_tape *tape, int64_t i) { return tape->vars[i]; }

int64_t fv_dim(const fv_var *x, int axis) {
    return x->shape.dim[axis < 0 ? axis + x->shape.rank : axis];
}

fv_tensor fv_var_tensor(const fv_var *x) { return (fv_tensor){x->data, x->dtype, x->shape}; }

fv_dtype fv_product_dtype(const fv_tape *tape) {
    return tape->step.bf16 && tape->step.mode != FV_EXPLAIN ? FV_BF16 : FV_F32;
}
