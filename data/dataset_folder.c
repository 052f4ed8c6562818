/* dataset_folder.c - one folder per class, below train/ and validation/ (or val/, test/).
 *
 * A root that holds class folders directly is taken as the validation split.  Beside the class
 * folders of a split, boxes.csv may give one object box per line (name,left,top,right,bottom after
 * a header line), masks/<split>/<class>/<name>.png the object's pixels, and of images with a planted
 * shortcut markers/<split>/<class>/<name>.png the marker's and clean/<split>/<class>/ the images without
 * it: `fovea data synth` writes them all. */
#include "core/alloc.h"
#include "data/dataset_list.h"

#include <stddef.h>
#include <string.h>

static fv_status has_folder(const char *root, const char *name, bool *found) {
    fv_arena arena = {0};
    const char *path = fv_arena_printf(&arena, "%s/%s", root, name);

    if (path) *found = fv_folder_exists(path);
    fv_arena_destroy(&arena);
    return path ? FV_OK : FV_ERR_NOMEM;
}

static fv_status detect(const char *root, bool *found) {
    fv_names names = {0};

    *found = false;
    fv_status status = fv_folder_list(root, &names);
    for (int64_t i = 0; i < names.count && status == FV_OK && !*found; i++)
        if (names.name[i][0] != '.') status = has_folder(root, names.name[i], found);
    fv_names_free(&names);
    return status;
}

/* The folder of the split, NULL for a root that holds the classes itself. */
static fv_status find_split(const fv_dataset *ds, const char *split, const char **name) {
    /* What was asked for by name comes first. */
    const char *const candidates[] = {split, "validation", "val", "test"};
    const bool want_train = strcmp(ds->split, "train") == 0;
    bool train = false;

    *name = NULL;
    FV_TRY(has_folder(ds->root, "train", &train));
    if (want_train && train) *name = "train";
    if (want_train && !train)
        return FV_FAIL(FV_ERR_NOT_FOUND, "%s: no train/ folder; expected %s", ds->root,
                       fv_dataset_format_folder.expects);
    for (int i = 0; i < 4 && !*name; i++) {
        bool found = false;
        FV_TRY(has_folder(ds->root, candidates[i], &found));
        if (found) *name = candidates[i];
    }
    if (train && !*name)
        return FV_FAIL(FV_ERR_NOT_FOUND, "%s: no validation/, val/ or test/ folder beside train/",
                       ds->root);
    return FV_OK;
}

/* In a validation split every class folder must be one of training. */
static fv_status check_classes(const fv_dataset *ds, const char *base) {
    fv_dataset found = {0};
    fv_status status = fv_dataset_read_classes(&found, base, FV_CLASS_ORDER_BYTE);

    if (status == FV_OK && found.n_classes == 0)
        status =
            FV_FAIL(FV_ERR_FORMAT, "%s: no class folders; expected one folder per class", base);
    for (int64_t c = 0; c < found.n_classes && status == FV_OK; c++)
        if (fv_dataset_label(ds, found.class_names[c]) < 0)
            status = FV_FAIL(FV_ERR_FORMAT, "%s/%s: no class of this name in %s/train", base,
                             found.class_names[c], ds->root);
    fv_free((void *)found.class_names);
    fv_arena_destroy(&found.arena);
    return status;
}

static fv_status add_samples(fv_dataset *ds, const char *base) {
    for (int64_t c = 0; c < ds->n_classes; c++) {
        const char *folder = fv_dataset_path(ds, base, ds->class_names[c]);
        if (!folder) return FV_ERR_NOMEM;
        if (!fv_folder_exists(folder)) continue; /* a class of train/ that has no images here */
        FV_TRY(fv_dataset_add_folder(ds, base, ds->class_names[c], (int32_t)c));
    }
    return FV_OK;
}

static fv_status parse_boxes(fv_dataset *ds, const char *path, char *text) {
    fv_dataset_index index = {0};
    fv_status status = fv_dataset_index_make(ds, 0, &index);
    int line_number = 0;

    for (char *line; status == FV_OK && (line = fv_dataset_next_line(&text));) {
        char *field[5];
        fv_box box;
        line_number++;
        if (line_number == 1 || *line == 0) continue; /* names of the columns */
        if (fv_dataset_fields(line, ',', field, 5) != 5 ||
            !fv_dataset_number(field[1], &box.left) || !fv_dataset_number(field[2], &box.top) ||
            !fv_dataset_number(field[3], &box.right) || !fv_dataset_number(field[4], &box.bottom)) {
            status = FV_FAIL(FV_ERR_FORMAT, "%s:%d: expected name,left,top,right,bottom", path,
                             line_number);
            break;
        }
        const int64_t sample = fv_dataset_index_find(ds, &index, field[0]);
        if (sample >= 0) status = fv_dataset_add_box(ds, sample, box);
    }
    fv_free(index.order);
    return status;
}

static fv_status read_boxes(fv_dataset *ds, const char *base) {
    char *text = NULL;
    const char *path = fv_dataset_path(ds, base, "boxes.csv");

    if (!path) return FV_ERR_NOMEM;
    if (!fv_file_exists(path)) return FV_OK;
    fv_status status = fv_dataset_read_text(path, &text);
    if (status == FV_OK) status = parse_boxes(ds, path, text);
    fv_free(text);
    return status;
}

/* folder/name, with ".png" for its suffix if png; *out stays NULL when it is not there. */
static fv_status find_beside(fv_dataset *ds, const char *folder, const char *name, bool png,
                             const char **out) {
    const char *dot = strrchr(name, '.');
    const size_t n = png && dot ? (size_t)(dot - name) : strlen(name);
    const fv_arena_mark mark = fv_arena_get_mark(&ds->arena);
    const char *path =
        fv_arena_printf(&ds->arena, "%s/%.*s%s", folder, (int)n, name, png ? ".png" : "");

    if (!path) return FV_ERR_NOMEM;
    if (fv_file_exists(path))
        *out = path;
    else
        fv_arena_rewind(&ds->arena, mark);
    return FV_OK;
}

/* What lies at <root>/<kind>/<split>/<class>/ under the names of the images. */
static fv_status find_companions(fv_dataset *ds, const char *split) {
    static const struct {
        const char *kind;
        size_t offset;
        bool png;
    } kinds[] = {{"masks", offsetof(fv_sample, mask), true},
                 {"markers", offsetof(fv_sample, marker), true},
                 {"clean", offsetof(fv_sample, clean), false}};

    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        const char *folder =
            fv_arena_printf(&ds->arena, "%s/%s/%s", ds->root, kinds[k].kind, split);
        if (!folder) return FV_ERR_NOMEM;
        if (!fv_folder_exists(folder)) continue;
        for (int64_t i = 0; i < ds->n_samples; i++) {
            const char **field = (const char **)((char *)&ds->samples[i] + kinds[k].offset);
            FV_TRY(find_beside(ds, folder, ds->samples[i].name, kinds[k].png, field));
        }
    }
    return FV_OK;
}

static fv_status open_folder(fv_dataset *ds, const char *split, const fv_dataset_options *options) {
    const char *name = NULL;

    FV_TRY(find_split(ds, split, &name));
    const char *base = name ? fv_dataset_path(ds, ds->root, name) : ds->root;
    const char *train = fv_dataset_path(ds, ds->root, "train");
    if (!base || !train) return FV_ERR_NOMEM;
    const bool has_train = name && fv_folder_exists(train); /* train/ fixes the labels */
    FV_TRY(fv_dataset_read_classes(ds, has_train ? train : base, options->class_order));
    if (ds->n_classes == 0)
        return FV_FAIL(FV_ERR_FORMAT, "%s: no class folders; expected one folder per class",
                       has_train ? train : base);
    if (has_train && strcmp(ds->split, "train") != 0) FV_TRY(check_classes(ds, base));
    FV_TRY(add_samples(ds, base));
    FV_TRY(read_boxes(ds, base));
    return name ? find_companions(ds, name) : FV_OK;
}

const fv_dataset_format fv_dataset_format_folder = {
    .name = "folder",
    .expects = "train/ and validation/ (or val/), with one folder of images per class",
    .detect = detect,
    .open = open_folder};
