#include "eval/saliency/composite.h"

#include <string.h>

#define EPSILON 1e-6f

static void pick_attnlrp(const fv_var *y, void *user, fv_rule *rule) {
    (void)y, (void)user;
    rule->kind = FV_SIGNAL_GI;
}

static void pick_cplrp(const fv_var *y, void *user, fv_rule *rule) {
    pick_attnlrp(y, user, rule);
    rule->constant_attention = true;
}

static void pick_epsilon(const fv_var *y, void *user, fv_rule *rule) {
    (void)y, (void)user;
    rule->kind = FV_SIGNAL_R;
    rule->epsilon = EPSILON;
}

const fv_composite fv_composites[] = {
    {"attnlrp", FV_SIGNAL_GI, pick_attnlrp},
    {"cplrp", FV_SIGNAL_GI, pick_cplrp},
    {"epsilon", FV_SIGNAL_R, pick_epsilon},
};

const char *const fv_composite_names[] = {"attnlrp", "cplrp", "epsilon", NULL};

const fv_composite *fv_composite_find(const char *name) {
    for (size_t i = 0; i < sizeof fv_composites / sizeof *fv_composites; i++)
        if (strcmp(fv_composites[i].name, name) == 0) return &fv_composites[i];
    return NULL;
}
