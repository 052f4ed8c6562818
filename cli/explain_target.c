#include "cli/explain_target.h"

#include "core/suggest.h"
#include "eval/saliency/explain.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static fv_status parse_class(const char *flag, const char *text, const fv_loaded *loaded,
                             int64_t *out) {
    const int64_t n = loaded->model->num_classes;
    const fv_model_meta *meta = &loaded->meta;
    char *end = NULL, hint[FV_SUGGEST_TEXT];
    fv_arena arena = {0};

    errno = 0;
    const long long index = strtoll(text, &end, 10);
    if (*end == 0) {
        *out = index;
        if (!errno && index >= 0 && index < n) return FV_OK;
        return FV_FAIL(FV_ERR_CONFIG,
                       "%s: class %s does not exist: the model has %" PRId64
                       " classes, 0 to %" PRId64,
                       flag, text, n, n - 1);
    }
    for (int64_t i = 0; i < meta->n_labels; i++) {
        *out = i;
        if (strcmp(meta->label_names[i], text) == 0) return FV_OK;
    }
    if (!meta->n_labels)
        return FV_FAIL(FV_ERR_CONFIG,
                       "%s: '%s': the checkpoint has no class names; give an index, 0 to %" PRId64,
                       flag, text, n - 1);
    const char **names = fv_arena_calloc(&arena, (size_t)meta->n_labels + 1, sizeof *names);
    if (!names) return FV_ERR_NOMEM;
    memcpy(names, meta->label_names, (size_t)meta->n_labels * sizeof *names);
    const fv_status status = FV_FAIL(FV_ERR_CONFIG, "%s: the model has no class '%.80s'%s", flag,
                                     text, fv_suggest_text(text, names, hint));
    fv_arena_destroy(&arena);
    return status;
}

fv_status fv_explain_target_parse(const fv_settings *settings, const fv_loaded *loaded,
                                  fv_explain_target *out) {
    *out = (fv_explain_target){FV_TARGET_PREDICTED, FV_AGAINST_NOTHING};
    if (strcmp(settings->target, "@label") == 0)
        out->target = FV_TARGET_LABEL;
    else if (settings->target[0])
        FV_TRY(parse_class("--target", settings->target, loaded, &out->target));
    if (strcmp(settings->against, "@others") == 0)
        out->against = FV_AGAINST_OTHERS;
    else if (settings->against[0])
        FV_TRY(parse_class("--against", settings->against, loaded, &out->against));
    return FV_OK;
}
