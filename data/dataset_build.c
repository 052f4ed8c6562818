/* dataset_build.c - what the layouts share: collecting files, classes and boxes. */
#include "core/alloc.h"
#include "data/dataset_list.h"
#include "data/image.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define MAX_TEXT_BYTES ((size_t)1 << 30)
#define MAX_DEPTH      8 /* folders in a class folder; also ends a circle of symbolic links */

const char *fv_dataset_path(fv_dataset *ds, const char *a, const char *b) {
    return fv_arena_printf(&ds->arena, "%s/%s", a, b);
}

/* Digits compare by value, other characters without case; names equal so far by bytes. */
static int natural_compare(const char *a, const char *b) {
    const char *p = a, *q = b;

    while (*p && *q) {
        if (isdigit((unsigned char)*p) && isdigit((unsigned char)*q)) {
            while (*p == '0') p++;
            while (*q == '0') q++;
            const size_t n = strspn(p, "0123456789"), m = strspn(q, "0123456789");
            if (n != m) return n < m ? -1 : 1;
            const int order = memcmp(p, q, n);
            if (order) return order;
            p += n;
            q += m;
            continue;
        }
        const int order = tolower((unsigned char)*p) - tolower((unsigned char)*q);
        if (order) return order;
        p++;
        q++;
    }
    if (*p || *q) return *p ? 1 : -1;
    return strcmp(a, b);
}

static int compare_byte(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int compare_natural(const void *a, const void *b) {
    return natural_compare(*(const char *const *)a, *(const char *const *)b);
}

void fv_dataset_sort_classes(fv_dataset *ds, fv_class_order order) {
    if (ds->n_classes > 0)
        qsort((void *)ds->class_names, (size_t)ds->n_classes, sizeof *ds->class_names,
              order == FV_CLASS_ORDER_NATURAL ? compare_natural : compare_byte);
}

/* A folder: 1, something else: 0, not there: -1. */
static int is_folder(const char *path) {
    struct stat info;
    return stat(path, &info) != 0 ? -1 : S_ISDIR(info.st_mode) ? 1 : 0;
}

fv_status fv_dataset_read_classes(fv_dataset *ds, const char *folder, fv_class_order order) {
    fv_names names = {0};

    fv_status status = fv_folder_list(folder, &names);
    if (status != FV_OK) goto cleanup;
    ds->class_names = fv_calloc((size_t)names.count, sizeof *ds->class_names);
    if (!ds->class_names) {
        status = FV_ERR_NOMEM;
        goto cleanup;
    }
    for (int64_t i = 0; i < names.count; i++) {
        if (names.name[i][0] == '.') continue;
        const fv_arena_mark mark = fv_arena_get_mark(&ds->arena);
        const char *path = fv_dataset_path(ds, folder, names.name[i]);
        const int kind = path ? is_folder(path) : 0;
        fv_arena_rewind(&ds->arena, mark);
        if (path && kind != 1) continue;
        const char *copy = path ? fv_arena_strdup(&ds->arena, names.name[i]) : NULL;
        if (!copy) {
            status = FV_ERR_NOMEM;
            goto cleanup;
        }
        ds->class_names[ds->n_classes++] = copy;
    }
    fv_dataset_sort_classes(ds, order);
cleanup:
    fv_names_free(&names);
    return status;
}

fv_status fv_dataset_append(fv_dataset *ds, const fv_sample *sample) {
    if (ds->n_samples == ds->capacity) {
        const int64_t capacity = ds->capacity ? 2 * ds->capacity : 256;
        fv_sample *samples = fv_realloc(ds->samples, (size_t)capacity, sizeof *samples);
        if (!samples) return FV_ERR_NOMEM;
        ds->samples = samples;
        ds->capacity = capacity;
    }
    ds->samples[ds->n_samples++] = *sample;
    return FV_OK;
}

/* path lives in the arena; the sample's name is what follows its first base_len bytes and a slash.
 * */
static fv_status add_path(fv_dataset *ds, const char *path, size_t base_len, int32_t label) {
    struct stat info;

    if (stat(path, &info) != 0)
        return FV_FAIL(errno == ENOENT ? FV_ERR_NOT_FOUND : FV_ERR_IO, "%s: %s", path,
                       strerror(errno));
    return fv_dataset_append(ds, &(fv_sample){.path = path,
                                              .name = path + base_len + 1,
                                              .n_bytes = (int64_t)info.st_size,
                                              .label = label});
}

fv_status fv_dataset_add(fv_dataset *ds, const char *base, const char *name, int32_t label) {
    const char *path = fv_dataset_path(ds, base, name);
    return path ? add_path(ds, path, strlen(base), label) : FV_ERR_NOMEM;
}

static fv_status add_folder(fv_dataset *ds, const char *folder, size_t base_len, int32_t label,
                            int depth) {
    fv_names names = {0};

    fv_status status = fv_folder_list(folder, &names);
    for (int64_t i = 0; i < names.count && status == FV_OK; i++) {
        if (names.name[i][0] == '.') continue; /* hidden, among them what file managers leave */
        const fv_arena_mark mark = fv_arena_get_mark(&ds->arena);
        const char *path = fv_dataset_path(ds, folder, names.name[i]);
        if (!path)
            status = FV_ERR_NOMEM;
        else if (fv_image_has_suffix(path) && is_folder(path) != 1)
            status = add_path(ds, path, base_len, label);
        else if (depth < MAX_DEPTH && is_folder(path) == 1)
            status = add_folder(ds, path, base_len, label, depth + 1);
        else
            fv_arena_rewind(&ds->arena, mark);
    }
    fv_names_free(&names);
    return status;
}

fv_status fv_dataset_add_folder(fv_dataset *ds, const char *base, const char *name, int32_t label) {
    const char *folder = fv_dataset_path(ds, base, name);
    return folder ? add_folder(ds, folder, strlen(base), label, 0) : FV_ERR_NOMEM;
}

static int compare_sample(const void *a, const void *b, void *samples) {
    const fv_sample *s = samples;
    return strcmp(s[*(const int64_t *)a].name, s[*(const int64_t *)b].name);
}

fv_status fv_dataset_index_make(const fv_dataset *ds, int64_t begin, fv_dataset_index *out) {
    out->count = ds->n_samples - begin;
    out->order = fv_alloc((size_t)out->count, sizeof *out->order);
    if (!out->order) return FV_ERR_NOMEM;
    for (int64_t i = 0; i < out->count; i++) out->order[i] = begin + i;
    if (out->count > 0)
        qsort_r(out->order, (size_t)out->count, sizeof *out->order, compare_sample, ds->samples);
    return FV_OK;
}

int64_t fv_dataset_index_find(const fv_dataset *ds, const fv_dataset_index *index,
                              const char *name) {
    int64_t lo = 0, hi = index->count;

    while (lo < hi) {
        const int64_t mid = (lo + hi) / 2;
        const int order = strcmp(name, ds->samples[index->order[mid]].name);
        if (order == 0) return index->order[mid];
        if (order < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return -1;
}

fv_status fv_dataset_add_box(fv_dataset *ds, int64_t sample, fv_box box) {
    fv_sample *s = &ds->samples[sample];
    fv_box *boxes = fv_arena_alloc(&ds->arena, (size_t)(s->n_boxes + 1), sizeof *boxes);

    if (!boxes) return FV_ERR_NOMEM;
    if (s->n_boxes > 0) memcpy(boxes, s->boxes, (size_t)s->n_boxes * sizeof *boxes);
    boxes[s->n_boxes] = box;
    s->boxes = boxes;
    s->n_boxes++;
    return FV_OK;
}

fv_status fv_dataset_read_text(const char *path, char **text) {
    uint8_t *bytes = NULL;
    size_t n_bytes = 0;

    *text = NULL;
    FV_TRY(fv_file_read(path, MAX_TEXT_BYTES, &bytes, &n_bytes));
    const size_t n_text = strlen((const char *)bytes);
    if (n_text != n_bytes) {
        fv_free(bytes);
        return FV_FAIL(FV_ERR_FORMAT, "%s: byte %zu is 0, not text", path, n_text);
    }
    *text = (char *)bytes;
    return FV_OK;
}

char *fv_dataset_next_line(char **text) {
    char *line = *text;

    if (!line || *line == 0) return NULL;
    char *end = strchr(line, '\n');
    *text = end ? end + 1 : line + strlen(line);
    if (end) *end = 0;
    const size_t n = strlen(line);
    if (n > 0 && line[n - 1] == '\r') line[n - 1] = 0;
    return line;
}

int fv_dataset_fields(char *line, char separator, char *field[], int max) {
    int n = 0;

    while (n < max) {
        field[n++] = line;
        char *end = strchr(line, separator);
        if (!end) break;
        *end = 0;
        line = end + 1;
    }
    return n;
}

bool fv_dataset_number(const char *field, float *out) {
    char *end = NULL;
    *out = strtof(field, &end);
    return end != field && *end == 0 && isfinite(*out);
}
