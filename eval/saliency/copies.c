#include "eval/saliency/copies.h"

#include <string.h>

/* Of a group of at most max_images copies. */
typedef struct buffers {
    float *pixels, *logits, *weight, *zeros;
} buffers;

static fv_status allocate(const fv_explain_run *r, const fv_copies *c, buffers *out) {
    const size_t most = (size_t)(c->count < r->max_images ? c->count : r->max_images);
    const size_t image = (size_t)(3 * r->H * r->W), K = (size_t)r->K;

    out->pixels = fv_arena_alloc(r->arena, most * image, sizeof(float));
    out->logits = fv_arena_alloc(r->arena, most * K, sizeof(float));
    out->weight = fv_arena_alloc(r->arena, most * K, sizeof(float));
    out->zeros = fv_arena_calloc(r->arena, image, sizeof(float));
    if (!out->pixels || !out->logits || !out->weight || !out->zeros) return FV_ERR_NOMEM;
    for (size_t i = 0; i < most; i++)
        memcpy(out->weight + i * K, r->weight + (size_t)c->image * K, K * sizeof(float));
    return FV_OK;
}

static fv_status run_group(fv_explain_run *r, const fv_copies *c, const buffers *buf, int64_t first,
                           int64_t n) {
    const int64_t image = 3 * r->H * r->W;
    const float *logits = buf->logits;

    for (int64_t i = 0; i < n; i++) c->make(c->user, first + i, buf->pixels + i * image);
    if (c->gradients) {
        FV_TRY(fv_explain_record(r, buf->pixels, n));
        FV_TRY(fv_explain_backward(r, buf->weight));
        logits = r->logits->data;
    } else {
        FV_TRY(fv_explain_logits(r, buf->pixels, n, buf->logits));
    }
    /* A score that does not depend on the pixels has no gradient. */
    const float *g = c->gradients ? r->x->grad.data : NULL;
    for (int64_t i = 0; i < n; i++) {
        const float *gradient = g ? g + i * image : c->gradients ? buf->zeros : NULL;
        c->take(c->user, first + i, logits + i * r->K, gradient);
    }
    return FV_OK;
}

fv_status fv_copies_run(fv_explain_run *run, const fv_copies *copies) {
    const fv_arena_mark mark = fv_arena_get_mark(run->arena);
    buffers buf = {0};

    fv_status status = allocate(run, copies, &buf);
    for (int64_t first = 0; status == FV_OK && first < copies->count; first += run->max_images) {
        const int64_t left = copies->count - first;
        status =
            run_group(run, copies, &buf, first, left < run->max_images ? left : run->max_images);
    }
    fv_arena_rewind(run->arena, mark);
    return status;
}
