#include "eval/saliency/default_layer.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* The first entry whose family, method and variant fit; NULL fits all. */
static const struct {
    const char *family, *method, *variant, *layer;
} defaults[] = {
    {NULL, "normgrad", "real", "@first_conv"}, /* every model has it */
    {"vit", "normgrad", NULL, "@before_last"}, /* behind it patch tokens have no gradient */
    {"vit", NULL, NULL, "@last_norm1"}, /* a residual stream read by a norm alone has sum x g = 0 */
    {NULL, "normgrad", NULL, "@stages"},       {NULL, NULL, NULL, "@last"},
};

static bool fits(const char *wanted, const char *text) {
    return !wanted || (text && strcmp(wanted, text) == 0);
}

const char *fv_saliency_default_layer(const fv_saliency_choice *choice, const fv_model *model) {
    for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++) {
        if (!fits(defaults[i].family, model->family->name) ||
            !fits(defaults[i].method, choice->method->name) ||
            !fits(defaults[i].variant, choice->variant))
            continue;
        return defaults[i].layer;
    }
    return "@last";
}
