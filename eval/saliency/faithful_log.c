#include "eval/saliency/faithful_log.h"

#include "core/alloc.h"
#include "core/file.h"
#include "core/json.h"
#include "eval/saliency/explanation_file.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_BYTES ((size_t)1 << 30)

/* An image that was there. */
typedef struct known {
    const char *image;
    double *values;
} known;

struct fv_faithful_log {
    const char *path;
    FILE *file;
    int64_t n_values;
    known *known; /* [n_known], by image */
    int64_t n_known, capacity;
    fv_arena arena;
};

/* ---- lines ---- */

static fv_value *strings(fv_arena *arena, int n, const char *(*at)(const void *, int),
                         const void *from) {
    fv_value *list = fv_value_new(arena, FV_VALUE_LIST);
    for (int i = 0; list && i < n; i++) fv_value_add(list, fv_value_string(arena, at(from, i)));
    return list;
}

static const char *method_text(const void *q, int i) {
    return ((const fv_faithful *)q)->methods[i].text;
}

static const char *value_name(const void *q, int i) { return fv_faithful_value(q, i)->name; }

static fv_status question_line(const fv_faithful_log_question *asked, fv_arena *arena, char **out) {
    const fv_faithful *q = asked->question;
    fv_value *map = fv_value_new(arena, FV_VALUE_MAP);
    fv_value *settings = fv_value_new(arena, FV_VALUE_MAP);
    char weights[17];

    if (!map || !settings || !fv_explanation_weights(q->model, weights)) return FV_ERR_NOMEM;
    fv_value_set(arena, map, "weights", fv_value_string(arena, weights));
    fv_value_set(arena, map, "data", fv_value_string(arena, asked->data));
    fv_value_set(arena, map, "split", fv_value_string(arena, asked->split));
    fv_value_set(arena, map, "target", fv_value_int(arena, asked->target));
    fv_value_set(arena, map, "against", fv_value_int(arena, q->against));
    fv_value_set(arena, map, "seed", fv_value_int(arena, (int64_t)q->seed));
    fv_value_set(arena, map, "methods", strings(arena, q->n_methods, method_text, q));
    fv_value_set(arena, map, "values", strings(arena, fv_faithful_count(q), value_name, q));
    for (int64_t i = 0; i < q->n_settings; i++)
        fv_value_set(arena, settings, q->settings[i].name,
                     fv_value_real(arena, q->settings[i].value));
    fv_value_set(arena, map, "settings", settings);
    return fv_json_write(map, FV_JSON_COMPACT, arena, out);
}

static fv_status write_line(fv_faithful_log *log, const char *line) {
    errno = 0;
    if (fprintf(log->file, "%s\n", line) > 0 && fflush(log->file) == 0) return FV_OK;
    return FV_FAIL(FV_ERR_IO, "%s: cannot write: %s", log->path, strerror(errno));
}

fv_status fv_faithful_log_add(fv_faithful_log *log, const char *image, const double *values) {
    fv_arena arena = {0};
    fv_value *map = fv_value_new(&arena, FV_VALUE_MAP), *list = fv_value_new(&arena, FV_VALUE_LIST);
    char *line = NULL;

    fv_status status = map && list ? FV_OK : FV_ERR_NOMEM;
    for (int64_t i = 0; status == FV_OK && i < log->n_values; i++)
        fv_value_add(list, fv_value_real(&arena, values[i]));
    if (status == FV_OK) {
        fv_value_set(&arena, map, "image", fv_value_string(&arena, image));
        fv_value_set(&arena, map, "values", list);
        status = fv_json_write(map, FV_JSON_COMPACT, &arena, &line);
    }
    if (status == FV_OK) status = write_line(log, line);
    fv_arena_destroy(&arena);
    return status;
}

/* ---- what is there ---- */

static fv_status remember(fv_faithful_log *log, const char *image, const fv_value *values) {
    if (log->n_known == log->capacity) {
        const int64_t wanted = log->capacity ? 2 * log->capacity : 64;
        known *grown = fv_realloc(log->known, (size_t)wanted, sizeof *grown);
        if (!grown) return FV_ERR_NOMEM;
        log->known = grown;
        log->capacity = wanted;
    }
    known *k = &log->known[log->n_known];
    k->image = fv_arena_strdup(&log->arena, image);
    k->values = fv_arena_alloc(&log->arena, (size_t)log->n_values + 1, sizeof *k->values);
    if (!k->image || !k->values) return FV_ERR_NOMEM;
    int64_t i = 0;
    for (const fv_value *v = values->first; v; v = v->next)
        k->values[i++] = v->kind == FV_VALUE_NULL ? (double)NAN : v->real;
    log->n_known++;
    return FV_OK;
}

static fv_status read_line(fv_faithful_log *log, const char *line, size_t n, fv_arena *arena) {
    fv_value *map;

    FV_TRY(fv_json_parse(line, n, log->path, arena, &map));
    const fv_value *image = fv_value_find(map, "image"), *values = fv_value_find(map, "values");
    if (!image || image->kind != FV_VALUE_STRING || !values || values->count != log->n_values)
        return FV_FAIL(FV_ERR_FORMAT, "%s: a line that is no image's", log->path);
    return remember(log, image->text, values);
}

/* The length of what is whole: a line that was cut is left out. */
static fv_status read_lines(fv_faithful_log *log, const char *text, const char *question,
                            size_t *whole) {
    const char *start = text, *end;
    fv_arena arena = {0};
    fv_status status = FV_OK;

    for (; status == FV_OK && (end = strchr(start, '\n')); start = end + 1) {
        const size_t n = (size_t)(end - start);
        if (start == text && (n != strlen(question) || strncmp(start, question, n) != 0))
            status = FV_FAIL(FV_ERR_CONFIG,
                             "--resume: %s belongs to another question (other weights, methods, "
                             "metrics or data)",
                             log->path);
        else if (start != text)
            status = read_line(log, start, n, &arena);
        fv_arena_rewind(&arena, (fv_arena_mark){0});
    }
    *whole = (size_t)(start - text);
    fv_arena_destroy(&arena);
    return status;
}

static int by_image(const void *a, const void *b) {
    return strcmp(((const known *)a)->image, ((const known *)b)->image);
}

static fv_status reopen(fv_faithful_log *log, const char *question, size_t *whole) {
    uint8_t *bytes = NULL;
    size_t n = 0;

    *whole = 0;
    if (!fv_file_exists(log->path)) return FV_OK;
    FV_TRY(fv_file_read(log->path, MAX_BYTES, &bytes, &n));
    const fv_status status = read_lines(log, (const char *)bytes, question, whole);
    fv_free(bytes);
    if (status == FV_OK && log->n_known)
        qsort(log->known, (size_t)log->n_known, sizeof *log->known, by_image);
    return status;
}

static fv_status begin(fv_faithful_log *log, const fv_faithful_log_question *asked, bool resume) {
    char *question = NULL;
    size_t whole = 0;

    log->n_values = (int64_t)asked->question->n_methods * fv_faithful_count(asked->question);
    FV_TRY(question_line(asked, &log->arena, &question));
    if (resume) FV_TRY(reopen(log, question, &whole));
    log->file = fopen(log->path, whole ? "r+" : "w");
    if (!log->file || ftruncate(fileno(log->file), (off_t)whole) != 0 ||
        fseek(log->file, 0, SEEK_END) != 0)
        return FV_FAIL(FV_ERR_IO, "%s: %s", log->path, strerror(errno));
    return whole ? FV_OK : write_line(log, question);
}

fv_status fv_faithful_log_open(const char *path, const fv_faithful_log_question *question,
                               bool resume, fv_faithful_log **out) {
    fv_faithful_log *log = fv_calloc(1, sizeof *log);

    *out = NULL;
    if (!log) return FV_ERR_NOMEM;
    log->path = fv_arena_strdup(&log->arena, path);
    const fv_status status = log->path ? begin(log, question, resume) : FV_ERR_NOMEM;
    if (status != FV_OK) {
        fv_faithful_log_close(log);
        return status;
    }
    *out = log;
    return FV_OK;
}

void fv_faithful_log_close(fv_faithful_log *log) {
    if (!log) return;
    if (log->file) fclose(log->file);
    fv_free(log->known);
    fv_arena_destroy(&log->arena);
    fv_free(log);
}

bool fv_faithful_log_find(const fv_faithful_log *log, const char *image, double *values) {
    const known key = {.image = image};
    const known *k =
        log->n_known ? bsearch(&key, log->known, (size_t)log->n_known, sizeof key, by_image) : NULL;

    if (!k) return false;
    memcpy(values, k->values, (size_t)log->n_values * sizeof *values);
    return true;
}
