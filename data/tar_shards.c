#include "data/tar_shards.h"

#include "data/buffer.h"
#include "data/image.h"
#include "data/tar.h"

#include <stdlib.h>
#include <string.h>

#define MAX_CLS_BYTES 32
#define MAX_CLASSES   1000000

/* ---- finding the archives ---- */

static bool is_archive(const char *name) {
    const size_t n = strlen(name);
    return name[0] != '.' && n > 4 && strcmp(name + n - 4, ".tar") == 0;
}

/* Is it one of the split's?  word NULL: any. */
static bool is_wanted(const char *name, const char *word) {
    if (!is_archive(name)) return false;
    if (!word) return true;
    return strstr(name, word) && (strcmp(word, "train") == 0 || !strstr(name, "train"));
}

static fv_status holds_archive(const char *folder, const char *word, bool *found) {
    fv_names names = {0};

    *found = false;
    if (!fv_folder_exists(folder)) return FV_OK;
    FV_TRY(fv_folder_list(folder, &names));
    for (int64_t i = 0; i < names.count && !*found; i++) *found = is_wanted(names.name[i], word);
    fv_names_free(&names);
    return FV_OK;
}

fv_status fv_tar_find(const char *root, const char *const words[], int n_words, fv_arena *arena,
                      fv_tar_place *out) {
    *out = (fv_tar_place){0};
    for (int i = 0; i < n_words; i++) {
        bool found = false;
        const char *folder = fv_arena_printf(arena, "%s/%s", root, words[i]);
        if (!folder) return FV_ERR_NOMEM;
        FV_TRY(holds_archive(folder, NULL, &found));
        if (found) {
            *out = (fv_tar_place){folder, NULL};
            return FV_OK;
        }
        FV_TRY(holds_archive(root, words[i], &found));
        if (found) {
            *out = (fv_tar_place){root, words[i]};
            return FV_OK;
        }
    }
    return FV_OK;
}

/* ---- reading one ---- */

/* What is collected from an archive.  Samples have label FV_TAR_UNKNOWN until their .cls was met. */
typedef struct shard {
    fv_dataset *ds;
    const char *path, *file; /* file: its name without ".tar" */
    int64_t first;           /* samples before this archive */
    int64_t group;           /* samples before this key */
    char key[FV_TAR_NAME_BYTES];
    int32_t label; /* of this key */
    int64_t n_labels;
    fv_buffer buffer;
} shard;

static const char *file_name(const char *name) {
    const char *slash = strrchr(name, '/');
    return slash ? slash + 1 : name;
}

/* At the first dot of the file's name, or at its end. */
static const char *key_end(const char *name) {
    const char *file = file_name(name), *dot = strchr(file, '.');
    return dot ? dot : file + strlen(file);
}

static fv_status read_label(shard *s, const fv_tar_member *m, int32_t *out) {
    char text[MAX_CLS_BYTES + 1], *end = NULL;

    *out = FV_TAR_UNKNOWN;
    if (m->size > 0 && m->size <= MAX_CLS_BYTES) {
        FV_TRY(fv_buffer_read_part(&s->buffer, s->path, m->offset, (size_t)m->size));
        memcpy(text, s->buffer.bytes, (size_t)m->size);
        text[m->size] = 0;
        const long label = strtol(text, &end, 10);
        end += strspn(end, " \r\n");
        if (end == text + m->size && text[0] >= '0' && text[0] <= '9' && label < MAX_CLASSES)
            *out = (int32_t)label;
    }
    if (*out != FV_TAR_UNKNOWN) return FV_OK;
    return FV_FAIL(FV_ERR_FORMAT, "%s: %s: the label is not a number below %d", s->path, m->name,
                   MAX_CLASSES);
}

static fv_status take_label(shard *s, const fv_tar_member *m) {
    if (s->label != FV_TAR_UNKNOWN)
        return FV_FAIL(FV_ERR_FORMAT, "%s: %s: a second label", s->path, m->name);
    FV_TRY(read_label(s, m, &s->label));
    s->n_labels++;
    for (int64_t i = s->group; i < s->ds->n_samples; i++) s->ds->samples[i].label = s->label;
    return FV_OK;
}

static fv_status visit(void *user, const fv_tar_member *m) {
    shard *s = user;
    const char *end = key_end(m->name);
    const size_t n_key = (size_t)(end - m->name);

    if (file_name(m->name)[0] == '.') return FV_OK; /* hidden */
    if (strlen(s->key) != n_key || memcmp(s->key, m->name, n_key) != 0) {
        memcpy(s->key, m->name, n_key);
        s->key[n_key] = 0;
        s->label = FV_TAR_UNKNOWN;
        s->group = s->ds->n_samples;
    }
    if (strcmp(end, ".cls") == 0) return take_label(s, m);
    if (!fv_image_has_suffix(m->name)) return FV_OK;
    const char *name = fv_arena_printf(&s->ds->arena, "%s/%s", s->file, m->name);
    if (!name) return FV_ERR_NOMEM;
    return fv_dataset_append(s->ds, &(fv_sample){.path = s->path,
                                                 .name = name,
                                                 .offset = m->offset,
                                                 .n_bytes = m->size,
                                                 .label = s->label});
}

/* With labels: images whose suffix is not all that follows the key (KEY.mask.png) are no samples. */
static fv_status check_labels(shard *s) {
    fv_dataset *ds = s->ds;
    int64_t n = s->first;

    if (s->n_labels == 0) return FV_OK;
    for (int64_t i = s->first; i < ds->n_samples; i++) {
        const fv_sample *sample = &ds->samples[i];
        if (strchr(key_end(sample->name) + 1, '.')) continue;
        if (sample->label == FV_TAR_UNKNOWN)
            return FV_FAIL(FV_ERR_FORMAT, "%s: %s has no .cls, others have", s->path,
                           sample->name + strlen(s->file) + 1);
        ds->samples[n++] = *sample;
    }
    ds->n_samples = n;
    return FV_OK;
}

static fv_status read_archive(fv_dataset *ds, const char *folder, const char *name) {
    shard s = {.ds = ds,
               .path = fv_dataset_path(ds, folder, name),
               .file = fv_arena_printf(&ds->arena, "%.*s", (int)strlen(name) - 4, name),
               .first = ds->n_samples,
               .group = ds->n_samples,
               .label = FV_TAR_UNKNOWN};

    if (!s.path || !s.file) return FV_ERR_NOMEM;
    fv_status status = fv_tar_each(s.path, visit, &s);
    if (status == FV_OK) status = check_labels(&s);
    fv_buffer_free(&s.buffer);
    return status;
}

fv_status fv_tar_read(fv_dataset *ds, const fv_tar_place *p) {
    fv_names names = {0};

    fv_status status = fv_folder_list(p->folder, &names);
    for (int64_t i = 0; i < names.count && status == FV_OK; i++)
        if (is_wanted(names.name[i], p->word)) status = read_archive(ds, p->folder, names.name[i]);
    fv_names_free(&names);
    return status;
}
