#include "core/param.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* How many names of a kind a message spells out. */
#define NAMED 3

/* One kind of disagreement between a list and a file. */
typedef struct complaint {
    int64_t count;
    char names[300]; /* the first few */
    size_t used;
} complaint;

typedef struct comparison {
    complaint missing, unexpected, unfit;
} comparison;

static void complain(complaint *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void complain(complaint *c, const char *format, ...) {
    char one[96];
    va_list args;

    if (c->count++ >= NAMED) return;
    va_start(args, format);
    vsnprintf(one, sizeof one, format, args);
    va_end(args);
    for (char *s = one; *s; s++) /* names may come from a hostile file */
        if ((unsigned char)*s < 0x20 || *s == 0x7f) *s = '?';
    _Static_assert(sizeof c->names > NAMED * (sizeof one + 1), "the names fit");
    c->used += (size_t)snprintf(c->names + c->used, sizeof c->names - c->used, "%s%s",
                                c->count > 1 ? ", " : "", one);
}

static void append_complaint(const complaint *c, const char *kind, char *text, size_t n_text) {
    const size_t used = strlen(text);
    if (c->count)
        snprintf(text + used, n_text - used, "%s%" PRId64 " %s (%s%s)", used ? "; " : "", c->count,
                 kind, c->names, c->count > NAMED ? ", ..." : "");
}

static fv_status verdict(const comparison *c, const fv_safetensors *st) {
    char text[960] = "";

    append_complaint(&c->missing, "missing", text, sizeof text);
    append_complaint(&c->unexpected, "unexpected", text, sizeof text);
    append_complaint(&c->unfit, "of another shape or type", text, sizeof text);
    if (!text[0]) return FV_OK;
    return FV_FAIL(FV_ERR_SHAPE, "%s does not fit the model: %s", fv_safetensors_path(st), text);
}

static bool takes_part(const fv_param *p, fv_params_which which) {
    return which == FV_PARAMS_ALL || p->trainable;
}

static bool is_counter(const fv_param *p) { return (p->flags & FV_PARAM_I64) != 0; }

static bool type_fits(const fv_param *p, fv_dtype dtype) {
    const bool real = dtype == FV_F32 || dtype == FV_BF16 || dtype == FV_F16 || dtype == FV_F64;
    return real || (is_counter(p) && dtype == FV_I64);
}

/* The entries of st that belong to the parameters, in their order (NULL: takes no part, or a counter
 * that is not there), or one error that names what does not fit. */
static fv_status match(const fv_params *params, fv_params_which which, const char *prefix,
                       const fv_safetensors *st, bool exact, fv_arena *arena,
                       const fv_safetensors_entry ***out) {
    comparison c = {0};
    char has[FV_SHAPE_TEXT], wants[FV_SHAPE_TEXT];
    const fv_safetensors_entry **entry =
        fv_arena_calloc(arena, (size_t)params->count, sizeof(fv_safetensors_entry *));

    if (!entry) return FV_ERR_NOMEM;
    for (int64_t i = 0; i < params->count; i++) {
        const fv_param *p = params->item[i];
        const char *name = *prefix ? fv_arena_printf(arena, "%s%s", prefix, p->name) : p->name;
        if (!name) return FV_ERR_NOMEM;
        if (!takes_part(p, which)) continue;
        const fv_safetensors_entry *e = entry[i] = fv_safetensors_find(st, name);
        if (!e && !is_counter(p)) complain(&c.missing, "%s", name);
        if (!e) continue;
        if (!fv_shape_equal(&e->shape, &p->shape))
            complain(&c.unfit, "%s: %s, not %s", name, fv_shape_text(&e->shape, has),
                     fv_shape_text(&p->shape, wants));
        else if (!type_fits(p, e->dtype))
            complain(&c.unfit, "%s: %s", name, fv_dtype_name(e->dtype));
    }
    for (int64_t i = 0; exact && i < fv_safetensors_count(st); i++) {
        const char *name = fv_safetensors_at(st, i)->name;
        if (!fv_params_find(params, name)) complain(&c.unexpected, "%s", name);
    }
    *out = entry;
    return verdict(&c, st);
}

static fv_status load_slab(const fv_params *params, fv_params_which which, const char *prefix,
                           const fv_safetensors *st, bool exact, const fv_param_slab *slab) {
    fv_arena arena = {0};
    const fv_safetensors_entry **entry = NULL;

    fv_status status = match(params, which, prefix, st, exact, &arena, &entry);
    for (int64_t i = 0; i < params->count && status == FV_OK; i++) {
        float *to = fv_param_slab_at(params, slab, params->item[i]);
        if (!entry[i]) continue;
        if (entry[i]->dtype != FV_I64) {
            status = fv_safetensors_read_f32(st, entry[i], to);
            continue;
        }
        int64_t *counters = fv_arena_alloc(&arena, (size_t)entry[i]->numel, sizeof *counters);
        status = counters ? fv_safetensors_read_i64(st, entry[i], counters) : FV_ERR_NOMEM;
        for (int64_t j = 0; j < entry[i]->numel && status == FV_OK; j++) to[j] = (float)counters[j];
    }
    fv_arena_destroy(&arena);
    return status;
}

fv_status fv_params_load(fv_params *params, const fv_safetensors *st) {
    FV_TRY(load_slab(params, FV_PARAMS_ALL, "", st, true, &params->value));
    fv_params_bf16_refresh(params);
    return FV_OK;
}

fv_status fv_params_slab_load(const fv_params *params, fv_params_which which, const char *prefix,
                              const fv_safetensors *st, fv_param_slab *slab) {
    return load_slab(params, which, prefix, st, false, slab);
}

/* Counters leave as integers; everything else where it is. */
static fv_status item_tensor(const fv_param *p, float *value, fv_arena *arena, fv_tensor *out) {
    *out = (fv_tensor){.data = value, .dtype = FV_F32, .shape = p->shape};
    if (!is_counter(p)) return FV_OK;
    int64_t *counters = fv_arena_alloc(arena, (size_t)p->numel, sizeof *counters);
    if (!counters) return FV_ERR_NOMEM;
    for (int64_t i = 0; i < p->numel; i++) counters[i] = (int64_t)value[i];
    *out = (fv_tensor){.data = counters, .dtype = FV_I64, .shape = p->shape};
    return FV_OK;
}

fv_status fv_params_items(const fv_params *params, fv_params_which which, const fv_param_slab *slab,
                          const char *prefix, fv_arena *arena, fv_safetensors_item items[],
                          int64_t *n_items) {
    for (int64_t i = 0; i < params->count; i++) {
        const fv_param *p = params->item[i];
        fv_safetensors_item *item = &items[*n_items];
        if (!takes_part(p, which)) continue;
        item->name = *prefix ? fv_arena_printf(arena, "%s%s", prefix, p->name) : p->name;
        if (!item->name) return FV_ERR_NOMEM;
        FV_TRY(item_tensor(p, fv_param_slab_at(params, slab, p), arena, &item->tensor));
        ++*n_items;
    }
    return FV_OK;
}

fv_status fv_params_save(const fv_params *params, const fv_param_slab *slab, const char *path,
                         const fv_safetensors_meta *meta, int64_t n_meta) {
    fv_arena arena = {0};
    int64_t n = 0;
    fv_safetensors_item *items = fv_arena_alloc(&arena, (size_t)params->count, sizeof *items);

    fv_status status = items ? FV_OK : FV_ERR_NOMEM;
    if (status == FV_OK)
        status = fv_params_items(params, FV_PARAMS_ALL, slab ? slab : &params->value, "", &arena,
                                 items, &n);
    if (status == FV_OK) status = fv_safetensors_save(path, items, n, meta, n_meta);
    fv_arena_destroy(&arena);
    return status;
}
