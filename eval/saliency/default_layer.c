#include "eval/saliency/default_layer.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* The first entry whose family, method and variant fit; NULL fits all.  Where it is not said otherwise
 * the choice is the layer whose maps were most faithful on two data sets: the table of layers in
 * docs/saliency.md. */
static const struct {
    const char *family, *method, *variant, *layer;
} defaults[] = {
    {NULL, "normgrad", "real", "@first_conv"}, /* every model has it */
    {"vit", NULL, NULL,
     "@early_norm1"}, /* not a residual stream: sum x g is 0 where norms read it */
    {NULL, "normgrad", NULL, "@stages"}, /* as the paper combines layers */
    {NULL, "hirescam", NULL, "@first_stage"},
    {NULL, "layercam", NULL, "@first_stage"},
    {"biformer", "gradcam", NULL, "stages.1"},
    {"halonet", "gradcam", NULL, "stages.2"},
    {NULL, NULL, NULL, "@last"},
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
