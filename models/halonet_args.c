#include "models/halonet_args.h"

#include "models/args.h"

#include <inttypes.h>
#include <string.h>

static const char *const arg_names[] = {
    "img_size",     "stem_type",  "stem_pool", "stem_chs",  "act_layer", "attn_layer",
    "num_features", "group_size", "dim_head",  "blocks",    "widths",    "strides",
    "ratios",       "block_size", "halo_size", "num_heads", NULL};

static const char *const stem_types[] = {"7x7", "3x3", "tiered", NULL};
static const char *const pools[] = {"maxpool", "", NULL};
static const char *const activations[] = {"relu", "silu", NULL};
static const char *const gates[] = {"", "se", "eca", NULL};

/* ---- read ---- */

/* A list of words of b and A; stages that the variant does not have are made after its last. */
static fv_status read_blocks(fv_value *kwargs, fv_halonet_args *a) {
    fv_value *v = fv_value_find(kwargs, "blocks");
    int64_t n = 0;

    if (!v || v->kind == FV_VALUE_NULL) return FV_OK;
    if (v->kind != FV_VALUE_LIST || v->count < 1 || v->count > FV_HALONET_STAGES)
        return fv_args_bad(kwargs, "blocks", "expected a list of 1 to %d stages",
                           FV_HALONET_STAGES);
    v->known = true;
    for (const fv_value *item = v->first; item; item = item->next, n++) {
        const char *text = item->kind == FV_VALUE_STRING ? item->text : "";
        if (!text[0] || strspn(text, "bA") != strlen(text))
            return fv_args_bad(
                kwargs, "blocks",
                "stage %" PRId64 " is not a word of b (bottleneck) and A (attention)", n);
        if (n >= a->n_stages) a->stage[n] = a->stage[n - 1];
        a->stage[n].blocks = text;
    }
    a->n_stages = n;
    return FV_OK;
}

/* The integers of a stage that kwargs may set. */
typedef struct stage_key {
    const char *key;
    size_t offset;
    int64_t min, max;
} stage_key;

#define STAGE(member) offsetof(fv_halonet_stage, member)

static const stage_key stage_keys[] = {
    {"widths", STAGE(width), 1, 65536},   {"strides", STAGE(stride), 1, 2},
    {"block_size", STAGE(block), 1, 256}, {"halo_size", STAGE(halo), 0, 256},
    {"num_heads", STAGE(heads), 1, 4096},
};

#define STAGE_KEYS (sizeof stage_keys / sizeof *stage_keys)

static void get_column(const fv_halonet_args *a, const stage_key *k, int64_t out[]) {
    for (int64_t s = 0; s < a->n_stages; s++)
        out[s] = *(const int64_t *)((const char *)&a->stage[s] + k->offset);
}

static fv_status read_stages(fv_value *kwargs, fv_halonet_args *a) {
    int64_t column[FV_HALONET_STAGES];
    double ratios[FV_HALONET_STAGES];

    FV_TRY(read_blocks(kwargs, a));
    for (size_t i = 0; i < STAGE_KEYS; i++) {
        const stage_key *k = &stage_keys[i];
        get_column(a, k, column);
        FV_TRY(fv_args_ints(kwargs, k->key, k->min, k->max, a->n_stages, column));
        for (int64_t s = 0; s < a->n_stages; s++)
            *(int64_t *)((char *)&a->stage[s] + k->offset) = column[s];
    }
    for (int64_t s = 0; s < a->n_stages; s++) ratios[s] = a->stage[s].ratio;
    FV_TRY(fv_args_reals(kwargs, "ratios", 0.001, 16.0, a->n_stages, ratios));
    for (int64_t s = 0; s < a->n_stages; s++) a->stage[s].ratio = ratios[s];
    return FV_OK;
}

fv_status fv_halonet_args_read(const fv_model *model, int64_t img_size, fv_halonet_args *a) {
    static const char *const no_names[] = {NULL};
    fv_value *kwargs = model->kwargs;

    FV_TRY(fv_args_size(kwargs, img_size, &a->height, &a->width));
    FV_TRY(fv_args_word(kwargs, "stem_type", stem_types, &a->stem_type));
    FV_TRY(fv_args_word(kwargs, "stem_pool", pools, &a->stem_pool));
    FV_TRY(fv_value_get_int(kwargs, "stem_chs", 1, 65536, &a->stem_chs));
    FV_TRY(fv_args_word(kwargs, "act_layer", activations, &a->act_layer));
    FV_TRY(fv_args_word(kwargs, "attn_layer", gates, &a->attn_layer));
    FV_TRY(fv_value_get_int(kwargs, "num_features", 0, 65536, &a->num_features));
    FV_TRY(fv_value_get_int(kwargs, "group_size", 0, 65536, &a->group_size));
    FV_TRY(fv_value_get_int(kwargs, "dim_head", 0, 65536, &a->dim_head));
    FV_TRY(read_stages(kwargs, a));
    FV_TRY(fv_value_check_known(kwargs, arg_names));
    FV_TRY(fv_value_check_known(model->attention, no_names));
    FV_TRY(fv_value_check_known(model->pool, no_names));
    return fv_value_check_known(model->pos, no_names);
}

/* ---- check ---- */

int64_t fv_halonet_inner(const fv_halonet_stage *stage) {
    const double inner = (double)stage->width * stage->ratio;
    int64_t rounded = (int64_t)(inner + 4.0) / 8 * 8;

    if (rounded < 8) rounded = 8;
    return (double)rounded < 0.9 * inner ? rounded + 8 : rounded;
}

static int64_t half(int64_t pixels) { return (pixels + 1) / 2; }

int64_t fv_halonet_stem_pixels(const fv_halonet_args *a, int64_t pixels) {
    const bool twice = a->stem_pool[0] || strcmp(a->stem_type, "tiered") == 0;
    return twice ? half(half(pixels)) : half(pixels);
}

static fv_status check_widths(const fv_value *kwargs, const fv_halonet_args *a, int64_t s) {
    const fv_halonet_stage *stage = &a->stage[s];
    const int64_t inner = fv_halonet_inner(stage);

    if (strchr(stage->blocks, 'A') && inner % stage->heads)
        return fv_args_bad(kwargs, "num_heads",
                           "%" PRId64 " does not divide the inner width %" PRId64
                           " of stage %" PRId64,
                           stage->heads, inner, s);
    if (strchr(stage->blocks, 'b') && a->group_size && inner % a->group_size)
        return fv_args_bad(kwargs, "group_size",
                           "%" PRId64 " does not divide the inner width %" PRId64
                           " of stage %" PRId64,
                           a->group_size, inner, s);
    return FV_OK;
}

/* Attention cuts the map in front of the stride; a mean follows where the block is odd. */
static fv_status check_maps(const fv_value *kwargs, const fv_halonet_args *a, int64_t s, int64_t *h,
                            int64_t *w) {
    const fv_halonet_stage *stage = &a->stage[s];
    const char *key = fv_value_find(kwargs, "block_size") ? "block_size" : "img_size";

    for (const char *kind = stage->blocks; *kind; kind++) {
        const int64_t stride = kind == stage->blocks ? stage->stride : 1;
        const int64_t cut = stage->block * (stride > 1 && stage->block % 2 ? 2 : 1);
        if (*kind == 'A' && (*h % cut || *w % cut))
            return fv_args_bad(kwargs, key,
                               "stage %" PRId64 " attends in blocks of %" PRId64
                               " pixels to maps of %" PRId64 "x%" PRId64 " (image of %" PRId64
                               "x%" PRId64 " px): not a multiple of %" PRId64,
                               s, stage->block, *h, *w, a->height, a->width, cut);
        if (stride == 2) {
            *h = half(*h);
            *w = half(*w);
        }
    }
    return FV_OK;
}

fv_status fv_halonet_args_check(const fv_model *model, const fv_halonet_args *a) {
    const fv_value *kwargs = model->kwargs;
    int64_t h = fv_halonet_stem_pixels(a, a->height), w = fv_halonet_stem_pixels(a, a->width);

    if (strcmp(a->stem_type, "tiered") == 0 && a->stem_chs % 8)
        return fv_args_bad(kwargs, "stem_chs", "%" PRId64 " is not a multiple of 8", a->stem_chs);
    for (int64_t s = 0; s < a->n_stages; s++) {
        FV_TRY(check_widths(kwargs, a, s));
        FV_TRY(check_maps(kwargs, a, s, &h, &w));
    }
    return FV_OK;
}

/* ---- write ---- */

static void write_stages(fv_arena *arena, fv_value *args, const fv_halonet_args *v,
                         const fv_halonet_args *a) {
    int64_t mine[FV_HALONET_STAGES], its[FV_HALONET_STAGES];
    bool blocks = a->n_stages != v->n_stages, ratios = blocks;

    for (int64_t s = 0; s < a->n_stages; s++) {
        blocks = blocks || strcmp(a->stage[s].blocks, v->stage[s].blocks) != 0;
        ratios = ratios || a->stage[s].ratio != v->stage[s].ratio;
    }
    if (blocks) {
        fv_value *list = fv_value_set(arena, args, "blocks", fv_value_new(arena, FV_VALUE_LIST));
        for (int64_t s = 0; s < a->n_stages; s++)
            fv_value_add(list, fv_value_string(arena, a->stage[s].blocks));
    }
    for (size_t i = 0; i < STAGE_KEYS; i++) {
        get_column(a, &stage_keys[i], mine);
        get_column(v, &stage_keys[i], its);
        if (a->n_stages != v->n_stages ||
            memcmp(mine, its, (size_t)a->n_stages * sizeof *mine) != 0)
            fv_value_set(arena, args, stage_keys[i].key,
                         fv_args_int_list(arena, a->n_stages, mine));
    }
    if (!ratios) return;
    fv_value *list = fv_value_set(arena, args, "ratios", fv_value_new(arena, FV_VALUE_LIST));
    for (int64_t s = 0; s < a->n_stages; s++)
        fv_value_add(list, fv_value_real(arena, a->stage[s].ratio));
}

static void write_word(fv_arena *arena, fv_value *args, const char *key, const char *its,
                       const char *mine) {
    if (strcmp(its, mine) != 0) fv_value_set(arena, args, key, fv_value_string(arena, mine));
}

static void write_int(fv_arena *arena, fv_value *args, const char *key, int64_t its, int64_t mine) {
    if (its != mine) fv_value_set(arena, args, key, fv_value_int(arena, mine));
}

fv_status fv_halonet_args_write(fv_model *model, const fv_halonet_args *v,
                                const fv_halonet_args *a) {
    fv_arena *arena = &model->arena;
    fv_value *args = fv_value_new(arena, FV_VALUE_MAP);

    if (a->height != a->width)
        fv_value_set(arena, args, "img_size",
                     fv_args_int_list(arena, 2, (int64_t[]){a->height, a->width}));
    write_word(arena, args, "stem_type", v->stem_type, a->stem_type);
    write_word(arena, args, "stem_pool", v->stem_pool, a->stem_pool);
    write_int(arena, args, "stem_chs", v->stem_chs, a->stem_chs);
    write_word(arena, args, "act_layer", v->act_layer, a->act_layer);
    write_word(arena, args, "attn_layer", v->attn_layer, a->attn_layer);
    write_int(arena, args, "num_features", v->num_features, a->num_features);
    write_int(arena, args, "group_size", v->group_size, a->group_size);
    write_int(arena, args, "dim_head", v->dim_head, a->dim_head);
    write_stages(arena, args, v, a);
    model->args = args;
    return args && !args->incomplete ? FV_OK : FV_ERR_NOMEM;
}
