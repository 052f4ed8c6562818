#include "eval/saliency/metric_randomisation.h"

#include "core/alloc.h"

#include <inttypes.h>

fv_status fv_randomisation_compare(const float *original, int64_t H, int64_t W, int64_t n_stages,
                                   fv_randomised_map_fn *randomised, void *user,
                                   fv_map_similarity *out) {
    fv_status status = FV_OK;

    float *map = fv_alloc((size_t)(H * W), sizeof *map);
    if (!map) return FV_ERR_NOMEM;
    for (int64_t stage = 0; stage < n_stages && status == FV_OK; stage++) {
        status = randomised(user, stage, map);
        if (status == FV_OK) status = fv_map_compare(original, map, H, W, &out[stage]);
        if (status != FV_OK) status = fv_error_context(status, "stage %" PRId64, stage);
    }
    fv_free(map);
    return status;
}
