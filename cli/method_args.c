#include "cli/method_args.h"

static fv_status parse(const fv_settings *s, const char *flag, const char *text, fv_arena *arena,
                       int max, fv_saliency_choice *methods, int *n) {
    const fv_status status = fv_saliency_parse_list(text, arena, max, methods, n);

    if (status != FV_OK) return fv_error_context(status, "%s", flag);
    if (!s->layer[0]) return FV_OK;
    return fv_error_context(fv_saliency_use_layer(s->layer, methods, *n), "--layer");
}

fv_status fv_method_args_open(const fv_settings *s, const char *flag, const char *text,
                              const char *checkpoint, fv_arena *arena, int max,
                              fv_saliency_choice *methods, int *n, fv_loaded *loaded) {
    bool gradients = false;

    /* The methods say how to open the checkpoint; what is wrong with them is said after it. */
    const bool good = parse(s, flag, text, arena, max, methods, n) == FV_OK;
    for (int i = 0; good && i < *n; i++)
        if (fv_saliency_trains(&methods[i])) gradients = true;
    FV_TRY(fv_checkpoint_args_open(s, checkpoint, (fv_checkpoint_use){.gradients = gradients},
                                   loaded));
    return parse(s, flag, text, arena, max, methods, n);
}
