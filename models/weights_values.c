/* weights_values.c - the values of a model from a weights file, and what had to be adapted. */
#include "core/alloc.h"
#include "models/weights.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A file being read into a model. */
typedef struct loading {
    fv_model *model;
    const fv_safetensors *st;
    fv_load_report *report;
    fv_tensor_names names;
    fv_param_source *source;                  /* [count], a copy of that of names */
    fv_param *positions;                      /* to resize; NULL: none */
    const fv_safetensors_entry *positions_of; /* the file's */
} loading;

static fv_status copy_sources(loading *l) {
    const size_t n = (size_t)l->model->params.count;

    l->source = fv_arena_alloc(&l->report->arena, n, sizeof *l->source);
    if (!l->source) return FV_ERR_NOMEM;
    memcpy(l->source, l->names.source, n * sizeof *l->source);
    return FV_OK;
}

/* ---- positions ---- */

static fv_status find_positions(loading *l) {
    const fv_model *model = l->model;
    fv_param *pos = fv_params_find(&model->params, "pos_embed");
    const fv_safetensors_entry *stored = fv_tensor_names_find(&l->names, model, l->st, "pos_embed");

    if (!pos || !stored || pos->shape.rank != 3 || stored->shape.rank != 3 ||
        stored->shape.dim[0] != 1 || pos->shape.dim[2] != stored->shape.dim[2] ||
        pos->shape.dim[1] == stored->shape.dim[1])
        return FV_OK;
    const int64_t cells = stored->shape.dim[1] - model->prefix_tokens;
    const int64_t side = cells > 0 ? (int64_t)lround(sqrt((double)cells)) : 0;
    if (side < 1 || side * side != cells)
        return FV_FAIL(FV_ERR_UNSUPPORTED,
                       "%s: its positions are for %" PRId64 " tokens, but an image of %" PRId64
                       "x%" PRId64 " px has %" PRId64 ", and they are of no square grid that "
                       "could be resized: use the size it was trained with",
                       fv_safetensors_path(l->st), stored->shape.dim[1], model->input.height,
                       model->input.width, pos->shape.dim[1]);
    l->positions = pos;
    l->positions_of = stored;
    l->source[pos->index].keep = true;
    l->report->grid_from = (fv_grid_size){side, side};
    l->report->grid_to = (fv_grid_size){model->grid_h, model->grid_w};
    return FV_OK;
}

static fv_status resize_positions(const loading *l) {
    const fv_param *pos = l->positions;

    if (!pos) return FV_OK;
    const int64_t D = pos->shape.dim[2], prefix = l->model->prefix_tokens * D;
    float *stored = fv_alloc((size_t)l->positions_of->numel, sizeof *stored);
    if (!stored) return FV_ERR_NOMEM;
    fv_status status = fv_safetensors_read_f32(l->st, l->positions_of, stored);
    if (status == FV_OK)
        status = fv_pos_resample(stored + prefix, l->report->grid_from, l->report->grid_to, D,
                                 pos->value + prefix);
    if (status == FV_OK) memcpy(pos->value, stored, (size_t)prefix * sizeof *stored);
    fv_free(stored);
    return status;
}

/* ---- classifier ---- */

/* Is what the file has for p the same but for the number of classes, or not there? */
static bool of_other_classes(const loading *l, const fv_param *p, int64_t *classes) {
    const fv_safetensors_entry *e = fv_tensor_names_find(&l->names, l->model, l->st, p->name);

    *classes = e && e->shape.rank >= 1 ? e->shape.dim[0] : 0;
    if (!e) return true;
    if (e->shape.rank != p->shape.rank || *classes == p->shape.dim[0]) return false;
    for (int i = 1; i < p->shape.rank; i++)
        if (e->shape.dim[i] != p->shape.dim[i]) return false;
    return true;
}

/* All classifiers of a model are new, or none. */
static void choose_head(loading *l, fv_load_head head) {
    const fv_params *params = &l->model->params;
    fv_load_report *r = l->report;

    r->num_classes = l->model->num_classes;
    r->new_head = head == FV_HEAD_NEW;
    for (int pass = 0; head != FV_HEAD_FITS && pass < 2; pass++)
        for (int64_t i = 0; i < params->count; i++) {
            const fv_param *p = params->item[i];
            int64_t classes = 0;
            if (!fv_model_is_classifier(l->model, p->name)) continue;
            r->new_head = of_other_classes(l, p, &classes) || r->new_head;
            if (classes > r->head_classes) r->head_classes = classes;
            l->source[i].keep = pass == 1 && r->new_head;
        }
}

/* ---- all of them ---- */

static fv_status load_values(loading *l, fv_load_head head) {
    fv_load_report *report = l->report;

    FV_TRY(fv_tensor_names_choose(l->model, l->st, &report->arena, &l->names));
    report->weights = fv_arena_strdup(&report->arena, fv_safetensors_path(l->st));
    report->whose = l->names.naming->whose;
    report->prefix = l->names.prefix;
    report->foreign = l->names.naming != &fv_naming_timm;
    FV_TRY(copy_sources(l));
    FV_TRY(find_positions(l));
    choose_head(l, head);
    const fv_status status =
        fv_params_load_from(&l->model->params, l->st, l->source, &report->arena, &report->tensors);
    if (status == FV_OK) {
        FV_TRY(resize_positions(l));
        fv_params_bf16_refresh(&l->model->params);
        return FV_OK;
    }
    if (status != FV_ERR_SHAPE || (!report->foreign && !report->prefix[0])) return status;
    return fv_error_context(status, "by %s%s%s%s", report->whose,
                            report->prefix[0] ? " behind '" : "", report->prefix,
                            report->prefix[0] ? "'" : "");
}

fv_status fv_model_load_values(fv_model *model, const fv_safetensors *st, fv_load_head head,
                               fv_load_report *report) {
    fv_load_report own = {0};
    loading l = {.model = model, .st = st, .report = report ? report : &own};
    const fv_status status = load_values(&l, head);

    fv_load_report_destroy(&own);
    return status;
}

/* ---- what is said of it ---- */

static void append(char text[FV_LOAD_REPORT_TEXT], const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void append(char text[FV_LOAD_REPORT_TEXT], const char *format, ...) {
    const size_t used = strlen(text);
    va_list args;

    va_start(args, format);
    vsnprintf(text + used, FV_LOAD_REPORT_TEXT - used, format, args);
    va_end(args);
}

const char *fv_load_report_text(const fv_load_report *r, char text[FV_LOAD_REPORT_TEXT]) {
    const bool names = r->foreign || r->prefix[0] || r->tensors.reshaped.count > 0;
    const bool resized = r->grid_from.h > 0;
    const char *between = ": ";

    text[0] = '\0';
    if (!names && !resized && !r->new_head) return text;
    append(text, "%s", r->weights);
    if (names) {
        append(text, "%s%" PRId64 " tensors read by %s%s%s, %" PRId64 " of them reshaped", between,
               r->tensors.read, r->whose, r->prefix[0] ? " behind " : "", r->prefix,
               r->tensors.reshaped.count);
        between = "; ";
    }
    if (resized) {
        append(text, "%spositions resized from %" PRId64 "x%" PRId64 " to %" PRId64 "x%" PRId64,
               between, r->grid_from.h, r->grid_from.w, r->grid_to.h, r->grid_to.w);
        between = "; ";
    }
    if (r->new_head && r->head_classes != r->num_classes)
        append(text, "%shead re-initialised: %" PRId64 " classes there, %" PRId64 " here", between,
               r->head_classes, r->num_classes);
    else if (r->new_head)
        append(text, "%shead re-initialised: its %" PRId64 " classes are others", between,
               r->head_classes);
    return text;
}

void fv_load_report_destroy(fv_load_report *report) {
    fv_arena_destroy(&report->arena);
    *report = (fv_load_report){0};
}
