#include "cli/checkpoint_args.h"

#include "cli/print.h"

static fv_status make_preprocess(const fv_settings *s, const fv_model_input *input,
                                 fv_preprocess *out) {
    *out = (fv_preprocess){.img_h = input->height,
                           .img_w = input->width,
                           .crop_pct = input->crop_pct,
                           .exif_orientation = s->exif_orientation};
    for (int c = 0; c < 3; c++) {
        out->mean[c] = s->mean.count ? (float)s->mean.v[c] : input->mean[c];
        out->std[c] = s->std.count ? (float)s->std.v[c] : input->std[c];
    }
    if (s->crop_pct > 0.0) out->crop_pct = s->crop_pct;
    FV_TRY(fv_interpolation_parse(s->interpolation[0] ? s->interpolation : input->interpolation,
                                  &out->interpolation));
    return fv_preprocess_check(out);
}

static void tell(const fv_settings *s, const fv_load_report *r) {
    char text[FV_LOAD_REPORT_TEXT];

    if (fv_load_report_text(r, text)[0])
        fv_print_message(FV_REPORT_INFO, text, fv_print_colored(s->color));
}

fv_status fv_checkpoint_args_open(const fv_settings *s, const char *path, fv_checkpoint_use use,
                                  fv_loaded *out) {
    *out = (fv_loaded){0};
    const fv_model_overrides overrides = {
        .config = {.name = s->model[0] ? s->model : NULL,
                   .kwargs = s->model_kwargs,
                   .img_size = s->img_size,
                   .bf16 = use.bf16},
        .use_ema = s->use_ema,
        .report = &out->report,
    };

    FV_TRY(fv_model_open(path, &overrides, use.gradients, &out->model, &out->meta));
    tell(s, &out->report);
    return make_preprocess(s, &out->model->input, &out->preprocess);
}

void fv_checkpoint_args_close(fv_loaded *loaded) {
    fv_model_destroy(loaded->model);
    fv_model_meta_destroy(&loaded->meta);
    fv_load_report_destroy(&loaded->report);
    *loaded = (fv_loaded){0};
}
