#include "data/synth.h"

#include "core/alloc.h"
#include "core/file.h"
#include "data/synth_shape.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define JPEG_QUALITY 92
#define MAX_IMAGES   ((int64_t)10000000)
#define MANIFEST     "synth.json"
#define PARTIAL      "synth.partial" /* marks an unfinished folder as ours */

const char *fv_synth_class_name(int label) { return fv_synth_shapes[label].name; }

fv_status fv_synth_check(const fv_synth_config *c) {
    if (c->n_classes < 2 || c->n_classes > FV_SYNTH_MAX_CLASSES)
        return FV_FAIL(FV_ERR_CONFIG, "synth: %d classes, expected 2..%d", c->n_classes,
                       FV_SYNTH_MAX_CLASSES);
    if (c->size_px < 32 || c->size_px > 512)
        return FV_FAIL(FV_ERR_CONFIG, "synth: images of %" PRId64 " pixels, expected 32..512",
                       c->size_px);
    if (c->n_train < c->n_classes || c->n_val < c->n_classes || c->n_train > MAX_IMAGES ||
        c->n_val > MAX_IMAGES)
        return FV_FAIL(FV_ERR_CONFIG,
                       "synth: %" PRId64 " and %" PRId64 " images, expected %d (one per class) to "
                       "%" PRId64,
                       c->n_train, c->n_val, c->n_classes, MAX_IMAGES);
    if (c->has_shortcut && (c->shortcut < 0 || c->shortcut >= c->n_classes))
        return FV_FAIL(FV_ERR_CONFIG, "synth: a shortcut for class %d of %d, expected 0..%d",
                       c->shortcut, c->n_classes, c->n_classes - 1);
    return FV_OK;
}

/* What one run of fv_synth_write keeps at hand. */
typedef struct writer {
    const fv_synth_config *config;
    const char *folder; /* <folder>.tmp */
    fv_arena arena;     /* rewound for every image */
    fv_image image;
    uint8_t *mask;
} writer;

/* Without the fsync of fv_file_write: thousands of small files, and the whole can be made again. */
static fv_status write_plain(const char *path, const void *bytes, size_t n_bytes) {
    FILE *file = fopen(path, "wb");
    if (!file) return FV_FAIL(FV_ERR_IO, "%s: %s", path, strerror(errno));
    bool good = fwrite(bytes, 1, n_bytes, file) == n_bytes;
    const int code = errno;
    if (fclose(file) != 0) good = false;
    return good ? FV_OK : FV_FAIL(FV_ERR_IO, "%s: %s", path, strerror(code));
}

static const char *split_name(bool validation) { return validation ? "validation" : "train"; }

/* <folder>/<kind>/<split>/<class> */
static fv_status create_folder(writer *w, const char *kind, bool validation, int label) {
    const char *path = fv_arena_printf(&w->arena, "%s/%s%s/%s", w->folder, kind,
                                       split_name(validation), fv_synth_class_name(label));
    return path ? fv_folder_create(path) : FV_ERR_NOMEM;
}

static fv_status create_folders(writer *w) {
    for (int validation = 0; validation < 2; validation++) {
        for (int c = 0; c < w->config->n_classes; c++) {
            FV_TRY(create_folder(w, "", validation, c));
            FV_TRY(create_folder(w, "masks/", validation, c));
        }
    }
    if (!w->config->has_shortcut) return FV_OK;
    FV_TRY(create_folder(w, "clean/", true, w->config->shortcut));
    return create_folder(w, "markers/", true, w->config->shortcut);
}

/* One image on its way to its files. */
typedef struct item {
    bool validation, jpeg;
    int64_t index;
    const char *stem; /* "<class>/<class>_<index>" */
    const char *suffix;
} item;

static fv_status write_picture(writer *w, const item *it, const char *kind) {
    uint8_t *bytes = NULL;
    size_t n_bytes = 0;
    const char *path = fv_arena_printf(&w->arena, "%s/%s%s/%s.%s", w->folder, kind,
                                       split_name(it->validation), it->stem, it->suffix);

    if (!path) return FV_ERR_NOMEM;
    fv_status status = it->jpeg ? fv_image_encode_jpeg(&w->image, JPEG_QUALITY, &bytes, &n_bytes)
                                : fv_image_encode_png(&w->image, &bytes, &n_bytes);
    if (status == FV_OK) status = write_plain(path, bytes, n_bytes);
    fv_free(bytes);
    return status;
}

static fv_status write_mask(writer *w, const item *it, const char *kind) {
    const int64_t side = w->config->size_px;
    uint8_t *bytes = NULL;
    size_t n_bytes = 0;
    const char *path = fv_arena_printf(&w->arena, "%s/%s%s/%s.png", w->folder, kind,
                                       split_name(it->validation), it->stem);

    if (!path) return FV_ERR_NOMEM;
    fv_status status = fv_image_encode_png_grey(w->mask, side, side, &bytes, &n_bytes);
    if (status == FV_OK) status = write_plain(path, bytes, n_bytes);
    fv_free(bytes);
    return status;
}

static fv_status write_image(writer *w, bool validation, int64_t index, FILE *boxes) {
    const char *name = fv_synth_class_name((int)(index % w->config->n_classes));
    /* In turn within a class too. */
    const bool jpeg = index / w->config->n_classes % 2 == 0;
    item it = {
        .validation = validation, .jpeg = jpeg, .index = index, .suffix = jpeg ? "jpg" : "png"};
    fv_box box;

    fv_arena_rewind(&w->arena, (fv_arena_mark){0});
    it.stem = fv_arena_printf(&w->arena, "%s/%s_%05" PRId64, name, name, index);
    if (!it.stem) return FV_ERR_NOMEM;
    FV_TRY(fv_synth_render(w->config, validation, index, &w->image, w->mask, &box));
    FV_TRY(write_mask(w, &it, "masks/"));
    if (fv_synth_is_marked(w->config, index)) {
        if (validation) FV_TRY(write_picture(w, &it, "clean/"));
        fv_synth_mark(w->config, validation, index, &w->image, w->mask);
        if (validation) FV_TRY(write_mask(w, &it, "markers/"));
    }
    FV_TRY(write_picture(w, &it, ""));
    if (fprintf(boxes, "%s.%s,%.0f,%.0f,%.0f,%.0f\n", it.stem, it.suffix, (double)box.left,
                (double)box.top, (double)box.right, (double)box.bottom) < 0)
        return FV_FAIL(FV_ERR_IO, "%s/%s/boxes.csv: %s", w->folder, split_name(validation),
                       strerror(errno));
    return FV_OK;
}

static fv_status write_split(writer *w, bool validation, int64_t n) {
    fv_arena arena = {0};
    FILE *boxes = NULL;
    fv_status status = FV_ERR_NOMEM;

    const char *path =
        fv_arena_printf(&arena, "%s/%s/boxes.csv", w->folder, split_name(validation));
    if (!path) goto cleanup;
    boxes = fopen(path, "wb");
    if (!boxes || fprintf(boxes, "name,left,top,right,bottom\n") < 0) {
        status = FV_FAIL(FV_ERR_IO, "%s: %s", path, strerror(errno));
        goto cleanup;
    }
    status = FV_OK;
    for (int64_t i = 0; i < n && status == FV_OK; i++)
        status = write_image(w, validation, i, boxes);
cleanup:
    if (boxes && fclose(boxes) != 0 && status == FV_OK)
        status = FV_FAIL(FV_ERR_IO, "%s: %s", path, strerror(errno));
    fv_arena_destroy(&arena);
    return status;
}

static char *make_manifest(const fv_synth_config *c, fv_arena *arena) {
    char shortcut[64] = ""; /* a set without one is described as before there were any */

    if (c->has_shortcut)
        snprintf(shortcut, sizeof shortcut, ", \"shortcut\": \"%s\"",
                 fv_synth_class_name(c->shortcut));
    return fv_arena_printf(arena,
                           "{\"format\": \"fovea-synth\", \"version\": 1, \"classes\": %d, "
                           "\"size\": %" PRId64 ", \"train\": %" PRId64 ", \"validation\": %" PRId64
                           ", \"seed\": %" PRIu64 "%s}\n",
                           c->n_classes, c->size_px, c->n_train, c->n_val, c->seed, shortcut);
}

/* *same: the folder holds the set of this manifest already.  *old: it must be removed first. */
static fv_status look_at(const char *folder, const char *manifest, bool force, fv_arena *arena,
                         bool *same, bool *old) {
    fv_names names = {0};
    uint8_t *bytes = NULL;
    size_t n_bytes = 0;
    fv_status status = FV_OK;

    *same = *old = false;
    if (fv_file_exists(folder) && !fv_folder_exists(folder))
        return FV_FAIL(FV_ERR_IO, "%s: exists and is not a folder", folder);
    if (!fv_folder_exists(folder)) return FV_OK;
    const char *path = fv_arena_printf(arena, "%s/" MANIFEST, folder);
    if (!path) return FV_ERR_NOMEM;
    if (!fv_file_exists(path)) {
        status = fv_folder_list(folder, &names);
        *old = status == FV_OK; /* an empty folder gives way */
        if (status == FV_OK && names.count > 0)
            status = FV_FAIL(FV_ERR_CONFIG,
                             "%s: holds something else than a synthetic set; choose another folder",
                             folder);
        goto cleanup;
    }
    status = fv_file_read(path, 4096, &bytes, &n_bytes);
    if (status != FV_OK) goto cleanup;
    *same = n_bytes == strlen(manifest) && memcmp(bytes, manifest, n_bytes) == 0;
    *old = true;
    if (!*same && !force)
        status =
            FV_FAIL(FV_ERR_CONFIG,
                    "%s: holds a synthetic set of other parameters; replace it with --force or "
                    "choose another folder",
                    folder);
cleanup:
    fv_names_free(&names);
    fv_free(bytes);
    return status;
}

/* Makes <folder>.tmp anew; a leftover of an interrupted run goes, a folder of somebody else stays.
 * */
static fv_status begin(writer *w, const char *partial) {
    if (fv_folder_exists(w->folder) && !fv_file_exists(partial))
        return FV_FAIL(FV_ERR_CONFIG, "%s: is in the way", w->folder);
    FV_TRY(fv_folder_remove(w->folder));
    FV_TRY(fv_folder_create(w->folder));
    FV_TRY(write_plain(partial, "", 0));
    const fv_arena_mark mark = fv_arena_get_mark(&w->arena);
    const fv_status status = create_folders(w);
    fv_arena_rewind(&w->arena, mark);
    return status;
}

static fv_status write_set(writer *w, const char *target, bool old, const char *manifest,
                           const char *manifest_path, const char *partial) {
    FV_TRY(begin(w, partial));
    FV_TRY(write_split(w, false, w->config->n_train));
    FV_TRY(write_split(w, true, w->config->n_val));
    FV_TRY(write_plain(manifest_path, manifest, strlen(manifest)));
    if (remove(partial) != 0) return FV_FAIL(FV_ERR_IO, "%s: %s", partial, strerror(errno));
    if (old) FV_TRY(fv_folder_remove(target));
    if (rename(w->folder, target) != 0)
        return FV_FAIL(FV_ERR_IO, "%s: cannot be renamed to %s: %s", w->folder, target,
                       strerror(errno));
    return FV_OK;
}

fv_status fv_synth_write(const char *folder, const fv_synth_config *config, bool force,
                         bool *written) {
    writer w = {.config = config};
    fv_arena names = {0};
    bool same = false, old = false;
    fv_status status = FV_ERR_NOMEM;

    if (written) *written = false;
    FV_TRY(fv_synth_check(config));
    size_t n = strlen(folder);
    while (n > 1 && folder[n - 1] == '/') n--;
    const char *target = fv_arena_printf(&names, "%.*s", (int)n, folder);
    const char *manifest = make_manifest(config, &names);
    w.folder = fv_arena_printf(&names, "%.*s.tmp", (int)n, folder);
    const char *manifest_path = fv_arena_printf(&names, "%.*s.tmp/" MANIFEST, (int)n, folder);
    const char *partial = fv_arena_printf(&names, "%.*s.tmp/" PARTIAL, (int)n, folder);
    w.mask = fv_alloc((size_t)config->size_px, (size_t)config->size_px);
    if (!target || !manifest || !w.folder || !manifest_path || !partial || !w.mask) goto cleanup;
    status = look_at(target, manifest, force, &names, &same, &old);
    if (status != FV_OK || same) goto cleanup;
    status = write_set(&w, target, old, manifest, manifest_path, partial);
    if (status == FV_OK && written) *written = true;
cleanup:
    fv_arena_destroy(&names);
    fv_arena_destroy(&w.arena);
    fv_image_release(&w.image);
    fv_free(w.mask);
    return status;
}
