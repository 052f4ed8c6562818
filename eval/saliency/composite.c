#include "eval/saliency/composite.h"

#include <string.h>

const fv_composite fv_composites[] = {
    {"attnlrp", {.kind = FV_SIGNAL_GI}},
    {"cplrp", {.kind = FV_SIGNAL_GI, .constant_attention = true}},
    {"epsilon", {.kind = FV_SIGNAL_R, .epsilon = 1e-6f}},
};

const char *const fv_composite_names[] = {"attnlrp", "cplrp", "epsilon", NULL};

const fv_composite *fv_composite_find(const char *name) {
    for (size_t i = 0; i < sizeof fv_composites / sizeof *fv_composites; i++)
        if (strcmp(fv_composites[i].name, name) == 0) return &fv_composites[i];
    return NULL;
}

void fv_composite_pick(const fv_var *y, void *composite, fv_rule *rule) {
    (void)y;
    *rule = ((const fv_composite *)composite)->rule;
}
