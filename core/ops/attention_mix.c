/* attention_mix.c - the last steps of composed attention, and the names of all of them. */
#include "core/ops.h"

fv_var *fv_attention_mix(const fv_attention_parts *p) {
    fv_tap_part(p->q, "queries");
    fv_tap_part(p->k, "keys");
    fv_tap_part(p->v, "values");
    fv_var *a = fv_softmax(fv_tap_part(p->logits, "logits"));
    return fv_tap_part(fv_matmul(fv_tap_part(a, "weights"), p->v), "mixed");
}
