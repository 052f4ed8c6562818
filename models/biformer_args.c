#include "models/biformer_args.h"

#include "models/args.h"

#include <inttypes.h>
#include <string.h>

#define STAGES FV_BIFORMER_STAGES
#define GLOBAL FV_BIFORMER_GLOBAL

fv_biformer_downsample_kind fv_biformer_downsample_of(const fv_biformer_variant *v, int stage) {
    if (v->stl) return stage ? FV_BIFORMER_MERGE : FV_BIFORMER_PATCHES;
    return stage ? FV_BIFORMER_DOWN : FV_BIFORMER_STEM;
}

int64_t fv_biformer_stage_size(const fv_biformer_variant *v, int stage, int64_t size) {
    for (int s = 0; s <= stage; s++)
        size = fv_biformer_downsample_size(fv_biformer_downsample_of(v, s), size);
    return size;
}

static const char *const arg_names[] = {
    "img_size", "depth", "embed_dim",   "mlp_ratios",         "head_dim",
    "n_win",    "topks", "side_dwconv", "before_attn_dwconv", "layer_scale_init_value",
    "auto_pad", NULL};

static fv_status read_args(fv_model *model, const fv_model_config *cfg,
                           const fv_biformer_variant *v, fv_biformer_args *a) {
    fv_value *kwargs = model->kwargs;

    FV_TRY(fv_args_size(kwargs, cfg->img_size, &a->height, &a->width));
    FV_TRY(fv_args_ints(kwargs, "depth", 1, 1024, STAGES, a->depth));
    FV_TRY(fv_args_ints(kwargs, "embed_dim", 1, 65536, STAGES, a->embed_dim));
    FV_TRY(fv_args_reals(kwargs, "mlp_ratios", 0.0, 64.0, STAGES, a->mlp_ratios));
    FV_TRY(fv_value_get_int(kwargs, "head_dim", 1, 65536, &a->head_dim));
    FV_TRY(fv_value_get_int(kwargs, "n_win", 1, 1024, &a->n_win));
    FV_TRY(fv_args_ints(kwargs, "topks", GLOBAL, 1 << 20, STAGES, a->topks));
    FV_TRY(fv_value_get_int(kwargs, "side_dwconv", 0, 63, &a->side_dwconv));
    if (!v->stl)
        FV_TRY(fv_value_get_int(kwargs, "before_attn_dwconv", 0, 63, &a->before_attn_dwconv));
    FV_TRY(
        fv_value_get_real(kwargs, "layer_scale_init_value", -1.0, 1e6, &a->layer_scale_init_value));
    FV_TRY(fv_value_get_bool(kwargs, "auto_pad", &a->auto_pad));
    FV_TRY(fv_value_check_known(kwargs, arg_names));
    FV_TRY(fv_value_check_known(model->attention, (const char *const[]){NULL}));
    FV_TRY(fv_value_check_known(model->pool, (const char *const[]){NULL}));
    return fv_value_check_known(model->pos, (const char *const[]){NULL});
}

static fv_status check_stage(const fv_model *model, const fv_biformer_variant *v,
                             const fv_biformer_args *a, int s) {
    const fv_value *kwargs = model->kwargs;
    const int64_t C = a->embed_dim[s], k = a->topks[s], S = a->n_win;
    const int64_t h = fv_biformer_stage_size(v, s, a->height),
                  w = fv_biformer_stage_size(v, s, a->width);

    if (h < 1 || w < 1)
        return fv_args_bad(kwargs, "img_size",
                           "%" PRId64 "x%" PRId64 " px leave stage %d no pixels", a->height,
                           a->width, s);
    if ((double)C * a->mlp_ratios[s] < 1.0)
        return fv_args_bad(kwargs, "mlp_ratios", "%g leaves the MLP no width", a->mlp_ratios[s]);
    if (k == GLOBAL) return FV_OK;
    if (k < 1 || k > S * S)
        return fv_args_bad(kwargs, "topks",
                           "stage %d: %" PRId64 " of %" PRId64 "x%" PRId64
                           " regions (%d asks for global attention)",
                           s, k, S, S, GLOBAL);
    if (C % a->head_dim)
        return fv_args_bad(kwargs, "head_dim", "%" PRId64 " does not divide embed_dim %" PRId64,
                           a->head_dim, C);
    if (!a->auto_pad && (h % S || w % S))
        return fv_args_bad(kwargs, "n_win",
                           "stage %d: a map of %" PRId64 "x%" PRId64
                           " px does not divide into %" PRId64 "x%" PRId64
                           " regions; auto_pad: true continues it by zeros",
                           s, h, w, S, S);
    return FV_OK;
}

static fv_status check_args(const fv_model *model, const fv_biformer_variant *v,
                            const fv_biformer_args *a) {
    const fv_value *kwargs = model->kwargs;

    if (a->side_dwconv && a->side_dwconv % 2 == 0)
        return fv_args_bad(kwargs, "side_dwconv", "%" PRId64 " px is not odd", a->side_dwconv);
    if (a->before_attn_dwconv && a->before_attn_dwconv % 2 == 0)
        return fv_args_bad(kwargs, "before_attn_dwconv", "%" PRId64 " px is not odd",
                           a->before_attn_dwconv);
    for (int s = 0; s < STAGES; s++) FV_TRY(check_stage(model, v, a, s));
    return FV_OK;
}

static void write_ints(fv_arena *arena, fv_value *args, const char *key, const int64_t now[],
                       const int64_t before[]) {
    if (memcmp(now, before, STAGES * sizeof *now) != 0)
        fv_value_set(arena, args, key, fv_args_int_list(arena, STAGES, now));
}

static void write_int(fv_arena *arena, fv_value *args, const char *key, int64_t now,
                      int64_t before) {
    if (now != before) fv_value_set(arena, args, key, fv_value_int(arena, now));
}

static void write_ratios(fv_arena *arena, fv_value *args, const fv_biformer_args *a,
                         const fv_biformer_args *before) {
    fv_value *list = fv_value_new(arena, FV_VALUE_LIST);

    if (memcmp(a->mlp_ratios, before->mlp_ratios, sizeof a->mlp_ratios) == 0) return;
    for (int s = 0; s < STAGES; s++) fv_value_add(list, fv_value_real(arena, a->mlp_ratios[s]));
    fv_value_set(arena, args, "mlp_ratios", list && !list->incomplete ? list : NULL);
}

/* What differs from the variant, in the authors' words. */
static fv_status write_args(fv_model *model, const fv_biformer_variant *v,
                            const fv_biformer_args *a) {
    fv_arena *arena = &model->arena;
    fv_value *args = fv_value_new(arena, FV_VALUE_MAP);
    const fv_biformer_args *b = &v->args;

    if (a->height != b->height || a->width != b->width)
        fv_value_set(arena, args, "img_size",
                     fv_args_int_list(arena, 2, (int64_t[]){a->height, a->width}));
    write_ints(arena, args, "depth", a->depth, b->depth);
    write_ints(arena, args, "embed_dim", a->embed_dim, b->embed_dim);
    write_ratios(arena, args, a, b);
    write_int(arena, args, "head_dim", a->head_dim, b->head_dim);
    write_int(arena, args, "n_win", a->n_win, b->n_win);
    write_ints(arena, args, "topks", a->topks, b->topks);
    write_int(arena, args, "side_dwconv", a->side_dwconv, b->side_dwconv);
    write_int(arena, args, "before_attn_dwconv", a->before_attn_dwconv, b->before_attn_dwconv);
    if (a->layer_scale_init_value != b->layer_scale_init_value)
        fv_value_set(arena, args, "layer_scale_init_value",
                     fv_value_real(arena, a->layer_scale_init_value));
    if (a->auto_pad != b->auto_pad)
        fv_value_set(arena, args, "auto_pad", fv_value_bool(arena, a->auto_pad));
    model->args = args;
    return args && !args->incomplete ? FV_OK : FV_ERR_NOMEM;
}

fv_status fv_biformer_args_read(fv_model *model, const fv_model_config *cfg,
                                const fv_biformer_variant *v, fv_biformer_args *out) {
    *out = v->args;
    FV_TRY(read_args(model, cfg, v, out));
    FV_TRY(check_args(model, v, out));
    return write_args(model, v, out);
}
