#include "data/dataset_settings.h"

#include <string.h>

fv_status fv_dataset_open_settings(const fv_settings *s, const char *root, const char *split,
                                   fv_split_use use, fv_dataset **out) {
    const fv_dataset_options options = {
        .class_order =
            strcmp(s->class_order, "natural") == 0 ? FV_CLASS_ORDER_NATURAL : FV_CLASS_ORDER_BYTE,
        .class_map = s->class_map[0] ? s->class_map : NULL,
        .subset = use == FV_SPLIT_CHOSEN && s->subset[0] ? s->subset : NULL,
        .seed = (uint64_t)s->seed};

    return fv_dataset_open(root, split, &options, out);
}
