#include "eval/saliency/default_layer.h"

#include <stddef.h>
#include <string.h>

/* The first entry whose family and method fit; NULL fits all. */
static const struct {
    const char *family, *method, *layer;
} defaults[] = {
    {"vit", "normgrad", "@before_last"}, /* behind the last block patch tokens have no gradient */
    {"vit", NULL, "@last_norm1"}, /* a residual stream read by a norm alone has sum x g = 0 */
    {NULL, "normgrad", "@stages"},
    {NULL, NULL, "@last"},
};

const char *fv_saliency_default_layer(const fv_saliency_choice *choice, const fv_model *model) {
    for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++) {
        if (defaults[i].family && strcmp(defaults[i].family, model->family->name) != 0) continue;
        if (defaults[i].method && strcmp(defaults[i].method, choice->method->name) != 0) continue;
        return defaults[i].layer;
    }
    return "@last";
}
