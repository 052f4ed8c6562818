#include "cli/explain_source.h"

#include "cli/image_args.h"
#include "data/dataset_settings.h"
#include "data/sample.h"
#include "eval/class_names.h"

/* The first `limit` samples of each class. */
static fv_status take_samples(fv_explain_source *s, int64_t limit) {
    const fv_dataset *d = s->dataset;
    const size_t room = (size_t)d->n_samples + 1;
    int64_t *index = fv_arena_alloc(&s->arena, room, sizeof *index);

    s->path = fv_arena_alloc(&s->arena, room, sizeof *s->path);
    s->sample = fv_arena_alloc(&s->arena, room, sizeof *s->sample);
    if (!index || !s->path || !s->sample) return FV_ERR_NOMEM;
    s->count = fv_dataset_first(d, limit, index);
    if (s->count < 0) return FV_ERR_NOMEM;
    for (int64_t i = 0; i < s->count; i++) {
        s->sample[i] = &d->samples[index[i]];
        s->path[i] = fv_sample_title(s->sample[i]);
    }
    return FV_OK;
}

fv_status fv_explain_source_open(const fv_settings *settings, const char *checkpoint,
                                 const fv_loaded *loaded, const char *const *args, int n_args,
                                 fv_explain_source *out) {
    *out = (fv_explain_source){0};
    if (!settings->data_dir[0] == !n_args)
        return FV_FAIL(FV_ERR_CONFIG, "%s",
                       n_args ? "images and --data-dir: give one of them"
                              : "no images: name some, or a data set with --data-dir");
    if (n_args) {
        fv_image_args images;
        FV_TRY(fv_image_args_expand(args, n_args, settings->count, &out->arena, &images));
        out->path = images.path;
        out->count = images.count;
        return FV_OK;
    }
    FV_TRY(fv_dataset_open_settings(settings, settings->data_dir, settings->split, FV_SPLIT_CHOSEN,
                                    &out->dataset));
    FV_TRY(fv_class_names_check(checkpoint, loaded->meta.label_names, loaded->model->num_classes,
                                out->dataset));
    return take_samples(out, settings->count);
}

void fv_explain_source_close(fv_explain_source *source) {
    fv_dataset_destroy(source->dataset);
    fv_arena_destroy(&source->arena);
    *source = (fv_explain_source){0};
}

fv_status fv_explain_source_load(const fv_explain_source *source, const fv_preprocess *preprocess,
                                 int64_t i, fv_resize_scratch *scratch, fv_image *picture,
                                 float *pixels) {
    fv_image *image = NULL;

    if (source->sample)
        FV_TRY(fv_sample_load(source->sample[i], preprocess, &image));
    else
        FV_TRY(fv_preprocess_load(preprocess, source->path[i], &image));
    const fv_status status = fv_transform_eval_image(preprocess, image, scratch, picture);
    fv_image_destroy(image);
    if (status != FV_OK) return fv_error_context(status, "%s", source->path[i]);
    fv_normalize(preprocess, picture, pixels);
    return FV_OK;
}
