/* param_file.c - the values of a parameter list from and to files. */
#include "core/param.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* How many names of a kind a message spells out. */
#define NAMED 3

/* ---- what fits ---- */

/* A parameter list being compared with a file. */
typedef struct matching {
    const fv_params *params;
    fv_params_which which;
    const char *prefix;
    const fv_safetensors *st;
    const fv_param_source *source; /* NULL: everything has its own name */
    fv_arena *arena;
    fv_param_report *report;
    const fv_safetensors_entry **entry; /* [count * FV_PARAM_PARTS]; NULL: not read */
    bool *used;                         /* per tensor of the file */
} matching;

static void note(matching *m, fv_name_list *list, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Appends a text; one that memory does not reach for is counted all the same. */
static void note(matching *m, fv_name_list *list, const char *format, ...) {
    char one[512];
    va_list args;

    va_start(args, format);
    vsnprintf(one, sizeof one, format, args);
    va_end(args);
    for (char *s = one; *s; s++) /* names may come from a hostile file */
        if ((unsigned char)*s < 0x20 || *s == 0x7f) *s = '?';
    const char *copy = fv_arena_strdup(m->arena, one);
    list->name[list->count++] = copy ? copy : "?";
}

static void append_list(const fv_name_list *list, const char *kind, char *text, size_t n_text) {
    size_t used = strlen(text);

    if (!list->count) return;
    used += (size_t)snprintf(text + used, n_text - used, "%s%" PRId64 " %s (", used ? "; " : "",
                             list->count, kind);
    for (int64_t i = 0; i < list->count && i < NAMED; i++)
        used +=
            (size_t)snprintf(text + used, n_text - used, "%s%.95s", i ? ", " : "", list->name[i]);
    snprintf(text + used, n_text - used, "%s)", list->count > NAMED ? ", ..." : "");
}

static fv_status verdict(const matching *m) {
    char text[1024] = "";

    append_list(&m->report->missing, "missing", text, sizeof text);
    append_list(&m->report->unexpected, "unexpected", text, sizeof text);
    append_list(&m->report->unfit, "of another shape or type", text, sizeof text);
    if (!text[0]) return FV_OK;
    return FV_FAIL(FV_ERR_SHAPE, "%s does not fit the model: %s", fv_safetensors_path(m->st), text);
}

static bool takes_part(const fv_param *p, fv_params_which which) {
    return which == FV_PARAMS_ALL || p->trainable;
}

static bool is_counter(const fv_param *p) { return (p->flags & FV_PARAM_I64) != 0; }

static bool type_fits(const fv_param *p, fv_dtype dtype) {
    const bool real = dtype == FV_F32 || dtype == FV_BF16 || dtype == FV_F16 || dtype == FV_F64;
    return real || (is_counter(p) && dtype == FV_I64);
}

/* Does a matrix [out,in] stand for a kernel [out,c,h,w] with chw = in, or the other way round? */
static bool same_matrix(const fv_shape *a, const fv_shape *b) {
    const bool kernel = (a->rank == 2 && b->rank == 4) || (a->rank == 4 && b->rank == 2);
    return kernel && a->dim[0] == b->dim[0] && fv_shape_numel(a) == fv_shape_numel(b);
}

/* What the file has for a value that stays is no stranger. */
static void pass_over(matching *m, const char *name) {
    const fv_safetensors_entry *e = fv_safetensors_find(m->st, name);
    if (e) m->used[e - fv_safetensors_at(m->st, 0)] = true;
}

static void match_entry(matching *m, const fv_param *p, const char *name, int n_parts,
                        const fv_safetensors_entry **entry) {
    char has[FV_SHAPE_TEXT], wants[FV_SHAPE_TEXT];
    const fv_safetensors_entry *e = fv_safetensors_find(m->st, name);
    fv_shape shape = p->shape;

    if (n_parts > 1) shape.dim[0] = shape.dim[0] % n_parts ? -1 : shape.dim[0] / n_parts;
    if (!e) {
        if (!is_counter(p)) note(m, &m->report->missing, "%s", name);
        return;
    }
    m->used[e - fv_safetensors_at(m->st, 0)] = true;
    fv_shape_text(&e->shape, has);
    fv_shape_text(&shape, wants);
    if (!type_fits(p, e->dtype))
        note(m, &m->report->unfit, "%s: %s", name, fv_dtype_name(e->dtype));
    else if (fv_shape_equal(&e->shape, &shape))
        *entry = e;
    else if (m->source && same_matrix(&e->shape, &shape)) {
        note(m, &m->report->reshaped, "%s: %s to %s", name, has, wants);
        *entry = e;
    } else
        note(m, &m->report->unfit, "%s: %s, not %s", name, has, wants);
}

static fv_status open_list(fv_name_list *list, fv_arena *arena, int64_t capacity) {
    *list = (fv_name_list){.name = fv_arena_alloc(arena, (size_t)capacity + 1, sizeof(char *))};
    return list->name ? FV_OK : FV_ERR_NOMEM;
}

static fv_status open_report(matching *m) {
    const int64_t ours = m->params->count * FV_PARAM_PARTS, theirs = fv_safetensors_count(m->st);

    FV_TRY(open_list(&m->report->missing, m->arena, ours));
    FV_TRY(open_list(&m->report->unexpected, m->arena, theirs));
    FV_TRY(open_list(&m->report->unfit, m->arena, ours));
    FV_TRY(open_list(&m->report->reshaped, m->arena, ours));
    m->entry = fv_arena_calloc(m->arena, (size_t)ours + 1, sizeof(fv_safetensors_entry *));
    m->used = fv_arena_calloc(m->arena, (size_t)theirs + 1, sizeof *m->used);
    return m->entry && m->used ? FV_OK : FV_ERR_NOMEM;
}

/* Finds the tensors of st that belong to the parameters, or one error that names what does not fit.
 * exact: tensors that belong to none are errors too. */
static fv_status match(matching *m, bool exact) {
    FV_TRY(open_report(m));
    for (int64_t i = 0; i < m->params->count; i++) {
        const fv_param *p = m->params->item[i];
        const fv_param_source own = {.part = {p->name}, .n = 1};
        const fv_param_source *source = m->source ? &m->source[i] : &own;
        if (!takes_part(p, m->which)) continue;
        for (int k = 0; k < source->n; k++) {
            const char *name = source->part[k];
            if (*m->prefix) name = fv_arena_printf(m->arena, "%s%s", m->prefix, name);
            if (!name) return FV_ERR_NOMEM;
            if (source->keep)
                pass_over(m, name);
            else
                match_entry(m, p, name, source->n, &m->entry[i * FV_PARAM_PARTS + k]);
        }
    }
    for (int64_t i = 0; i < fv_safetensors_count(m->st); i++) {
        m->report->read += m->used[i];
        if (exact && !m->used[i])
            note(m, &m->report->unexpected, "%s", fv_safetensors_at(m->st, i)->name);
    }
    return verdict(m);
}

/* ---- reading ---- */

static fv_status read_entry(const matching *m, const fv_safetensors_entry *e, float *to) {
    if (e->dtype != FV_I64) return fv_safetensors_read_f32(m->st, e, to);
    int64_t *counters = fv_arena_alloc(m->arena, (size_t)e->numel, sizeof *counters);
    if (!counters) return FV_ERR_NOMEM;
    FV_TRY(fv_safetensors_read_i64(m->st, e, counters));
    for (int64_t j = 0; j < e->numel; j++) to[j] = (float)counters[j];
    return FV_OK;
}

/* The parts of each parameter one behind the other. */
static fv_status read_all(const matching *m, const fv_param_slab *slab) {
    for (int64_t i = 0; i < m->params->count; i++) {
        if (!takes_part(m->params->item[i], m->which)) continue;
        float *to = fv_param_slab_at(m->params, slab, m->params->item[i]);
        for (int k = 0; k < FV_PARAM_PARTS; k++) {
            const fv_safetensors_entry *e = m->entry[i * FV_PARAM_PARTS + k];
            if (!e) continue;
            FV_TRY(read_entry(m, e, to));
            to += e->numel;
        }
    }
    return FV_OK;
}

static fv_status load_slab(matching *m, bool exact, const fv_param_slab *slab) {
    fv_arena arena = {0};
    fv_param_report report;

    if (!m->arena) m->arena = &arena;
    if (!m->report) m->report = &report;
    *m->report = (fv_param_report){0};
    fv_status status = match(m, exact);
    if (status == FV_OK) status = read_all(m, slab);
    fv_arena_destroy(&arena);
    return status;
}

fv_status fv_params_load(fv_params *params, const fv_safetensors *st) {
    return fv_params_load_from(params, st, NULL, NULL, NULL);
}

fv_status fv_params_load_from(fv_params *params, const fv_safetensors *st,
                              const fv_param_source *source, fv_arena *arena,
                              fv_param_report *report) {
    matching m = {.params = params,
                  .which = FV_PARAMS_ALL,
                  .prefix = "",
                  .st = st,
                  .source = source,
                  .arena = arena,
                  .report = report};

    FV_TRY(load_slab(&m, true, &params->value));
    fv_params_bf16_refresh(params);
    return FV_OK;
}

fv_status fv_params_slab_load(const fv_params *params, fv_params_which which, const char *prefix,
                              const fv_safetensors *st, fv_param_slab *slab) {
    matching m = {.params = params, .which = which, .prefix = prefix, .st = st};

    return load_slab(&m, false, slab);
}

/* ---- writing ---- */

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
