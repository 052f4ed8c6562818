#include "data/class_map.h"

#include "core/alloc.h"
#include "data/dataset_list.h"

#include <stdlib.h>
#include <string.h>

#define MAX_LABEL_DIGITS 9

typedef struct entry {
    const char *name; /* in the text */
    int64_t label;
    int line;
} entry;

typedef struct class_map {
    entry *entries;
    int64_t count;
} class_map;

/* Without the blanks at both ends, in place. */
static char *trim(char *line) {
    line += strspn(line, " \t");
    size_t n = strlen(line);
    while (n > 0 && strchr(" \t", line[n - 1])) n--;
    line[n] = 0;
    return line;
}

/* Where the label of "name label" begins; NULL when the line is no such thing. */
static char *find_label(char *line) {
    const size_t n = strlen(line);
    size_t begin = n;

    while (begin > 0 && strchr("0123456789", line[begin - 1])) begin--;
    if (begin == n || n - begin > MAX_LABEL_DIGITS) return NULL;
    return begin > 0 && strchr(" \t", line[begin - 1]) ? line + begin : NULL;
}

static fv_status split_lines(char *text, class_map *map) {
    int64_t n_lines = 1;
    int line_number = 0;

    for (const char *p = text; *p; p++) n_lines += *p == '\n';
    map->entries = fv_calloc((size_t)n_lines, sizeof *map->entries);
    if (!map->entries) return FV_ERR_NOMEM;
    for (char *line; (line = fv_dataset_next_line(&text));) {
        line_number++;
        line = trim(line);
        if (*line == 0) continue;
        map->entries[map->count] = (entry){line, map->count, line_number};
        map->count++;
    }
    return FV_OK;
}

/* The second form, when every line has it; else all of a line is the name. */
static void take_labels(class_map *map) {
    for (int64_t i = 0; i < map->count; i++)
        if (!find_label((char *)map->entries[i].name)) return;
    for (int64_t i = 0; i < map->count; i++) {
        char *name = (char *)map->entries[i].name, *label = find_label(name);
        map->entries[i].label = strtoll(label, NULL, 10);
        label[-1] = 0;
        trim(name);
    }
}

static int compare_names(const void *a, const void *b) {
    return strcmp(((const entry *)a)->name, ((const entry *)b)->name);
}

/* Sorted by name from here on. */
static fv_status check(const char *path, class_map *map) {
    bool *seen = NULL;
    fv_status status = FV_OK;

    if (map->count == 0) return FV_FAIL(FV_ERR_FORMAT, "%s: no class names", path);
    qsort(map->entries, (size_t)map->count, sizeof *map->entries, compare_names);
    seen = fv_calloc((size_t)map->count, sizeof *seen);
    if (!seen) return FV_ERR_NOMEM;
    for (int64_t i = 0; i < map->count && status == FV_OK; i++) {
        const entry *e = &map->entries[i];
        if (i > 0 && strcmp(e[-1].name, e->name) == 0)
            status = FV_FAIL(FV_ERR_FORMAT, "%s:%d: class '%s' twice", path,
                             e->line > e[-1].line ? e->line : e[-1].line, e->name);
        else if (e->label >= map->count)
            status = FV_FAIL(FV_ERR_FORMAT, "%s:%d: label %lld of %lld classes", path, e->line,
                             (long long)e->label, (long long)map->count);
        else if (seen[e->label])
            status = FV_FAIL(FV_ERR_FORMAT, "%s:%d: label %lld twice", path, e->line,
                             (long long)e->label);
        else
            seen[e->label] = true;
    }
    fv_free(seen);
    return status;
}

/* label[c]: what class c of the data set becomes, -1 when it is left out. */
static fv_status match(const fv_dataset *ds, const char *path, const class_map *map,
                       int32_t *label) {
    int64_t n_found = 0;

    for (int64_t c = 0; c < ds->n_classes; c++) {
        const entry wanted = {.name = ds->class_names[c]};
        const entry *e =
            bsearch(&wanted, map->entries, (size_t)map->count, sizeof *map->entries, compare_names);
        label[c] = e ? (int32_t)e->label : -1;
        n_found += e != NULL;
    }
    if (n_found > 0) return FV_OK;
    return FV_FAIL(FV_ERR_FORMAT, "%s: none of its %lld classes is in %s, whose first is '%s'",
                   path, (long long)map->count, ds->root, ds->class_names[0]);
}

static fv_status replace_names(fv_dataset *ds, const class_map *map) {
    const char **names = fv_calloc((size_t)map->count, sizeof *names);

    if (!names) return FV_ERR_NOMEM;
    fv_free((void *)ds->class_names);
    ds->class_names = names;
    ds->n_classes = map->count;
    for (int64_t i = 0; i < map->count; i++) {
        const char *name = fv_arena_strdup(&ds->arena, map->entries[i].name);
        if (!name) return FV_ERR_NOMEM;
        names[map->entries[i].label] = name;
    }
    return FV_OK;
}

/* Puts samples in the order of their labels; equal ones keep theirs. */
static fv_status group(fv_dataset *ds) {
    int64_t *next = fv_calloc((size_t)ds->n_classes + 1, sizeof *next);
    fv_sample *sorted = fv_alloc((size_t)ds->n_samples, sizeof *sorted);

    if (!next || !sorted) {
        fv_free(next);
        fv_free(sorted);
        return FV_ERR_NOMEM;
    }
    for (int64_t i = 0; i < ds->n_samples; i++) next[ds->samples[i].label + 1]++;
    for (int64_t c = 0; c < ds->n_classes; c++) next[c + 1] += next[c];
    for (int64_t i = 0; i < ds->n_samples; i++)
        sorted[next[ds->samples[i].label]++] = ds->samples[i];
    fv_free(ds->samples);
    ds->samples = sorted;
    ds->capacity = ds->n_samples;
    fv_free(next);
    return FV_OK;
}

static fv_status relabel(fv_dataset *ds, const int32_t *label) {
    bool grouped = true;
    int64_t n = 0;

    for (int64_t i = 1; i < ds->n_samples && grouped; i++)
        grouped = ds->samples[i - 1].label <= ds->samples[i].label;
    for (int64_t i = 0; i < ds->n_samples; i++) {
        const int32_t now = label[ds->samples[i].label];
        if (now < 0) continue;
        ds->samples[n] = ds->samples[i];
        ds->samples[n++].label = now;
    }
    ds->n_samples = n;
    return grouped && n > 0 ? group(ds) : FV_OK;
}

fv_status fv_class_map_apply(fv_dataset *ds, const char *path) {
    class_map map = {0};
    int32_t *label = NULL;
    char *text = NULL;

    fv_status status = fv_dataset_read_text(path, &text);
    if (status == FV_OK) status = split_lines(text, &map);
    if (status != FV_OK) goto cleanup;
    take_labels(&map);
    status = check(path, &map);
    if (status != FV_OK) goto cleanup;
    label = fv_alloc((size_t)ds->n_classes, sizeof *label);
    if (!label) {
        status = FV_ERR_NOMEM;
        goto cleanup;
    }
    status = match(ds, path, &map, label);
    if (status == FV_OK) status = replace_names(ds, &map);
    if (status == FV_OK) status = relabel(ds, label);
cleanup:
    fv_free(label);
    fv_free(map.entries);
    fv_free(text);
    return status;
}
