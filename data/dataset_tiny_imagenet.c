/* dataset_tiny_imagenet.c - Tiny-ImageNet as it is distributed:
 *
 *     wnids.txt                       the classes
 *     train/<wnid>/images/            with train/<wnid>/<wnid>_boxes.txt
 *     val/images/                     with val/val_annotations.txt
 *
 * Labels follow the byte order of the class names, as in an image folder.  Boxes are given as left,
 * top, right, bottom of the outermost pixels inside. */
#include "core/alloc.h"
#include "data/dataset_list.h"

#include <string.h>

static fv_status detect(const char *root, bool *found) {
    fv_arena arena = {0};
    fv_names names = {0};
    fv_status status = FV_ERR_NOMEM;

    *found = false;
    const char *annotations = fv_arena_printf(&arena, "%s/val/val_annotations.txt", root);
    const char *list = fv_arena_printf(&arena, "%s/wnids.txt", root);
    const char *train = fv_arena_printf(&arena, "%s/train", root);
    if (!annotations || !list || !train) goto cleanup;
    status = FV_OK;
    *found = fv_file_exists(annotations);
    if (*found || !fv_file_exists(list) || !fv_folder_exists(train)) goto cleanup;
    status = fv_folder_list(train, &names);
    if (status != FV_OK || names.count == 0) goto cleanup;
    const char *images = fv_arena_printf(&arena, "%s/%s/images", train, names.name[0]);
    if (images)
        *found = fv_folder_exists(images);
    else
        status = FV_ERR_NOMEM;
cleanup:
    fv_names_free(&names);
    fv_arena_destroy(&arena);
    return status;
}

/* The pixels at the right and bottom edges belong to the box. */
static bool parse_box(char *field[4], fv_box *box) {
    if (!fv_dataset_number(field[0], &box->left) || !fv_dataset_number(field[1], &box->top) ||
        !fv_dataset_number(field[2], &box->right) || !fv_dataset_number(field[3], &box->bottom))
        return false;
    box->right += 1.0f;
    box->bottom += 1.0f;
    return true;
}

/* name <tab> left <tab> top <tab> right <tab> bottom; prefix stands in front of names of samples.
 * */
static fv_status parse_class_boxes(fv_dataset *ds, int64_t begin, const char *path,
                                   const char *prefix, char *text) {
    fv_dataset_index index = {0};
    fv_status status = fv_dataset_index_make(ds, begin, &index);
    int line_number = 0;

    for (char *line; status == FV_OK && (line = fv_dataset_next_line(&text));) {
        char *field[5];
        fv_box box;
        line_number++;
        if (*line == 0) continue;
        if (fv_dataset_fields(line, '\t', field, 5) != 5 || !parse_box(field + 1, &box)) {
            status = FV_FAIL(FV_ERR_FORMAT, "%s:%d: expected a name and four numbers", path,
                             line_number);
            break;
        }
        const fv_arena_mark mark = fv_arena_get_mark(&ds->arena);
        const char *name = fv_arena_printf(&ds->arena, "%s/images/%s", prefix, field[0]);
        const int64_t sample = name ? fv_dataset_index_find(ds, &index, name) : -1;
        fv_arena_rewind(&ds->arena, mark);
        if (!name)
            status = FV_ERR_NOMEM;
        else if (sample >= 0)
            status = fv_dataset_add_box(ds, sample, box);
    }
    fv_free(index.order);
    return status;
}

static fv_status open_train(fv_dataset *ds, const char *train) {
    for (int64_t c = 0; c < ds->n_classes; c++) {
        const char *wnid = ds->class_names[c];
        const int64_t begin = ds->n_samples;
        char *text = NULL;

        FV_TRY(fv_dataset_add_folder(ds, train, wnid, (int32_t)c));
        const char *path = fv_arena_printf(&ds->arena, "%s/%s/%s_boxes.txt", train, wnid, wnid);
        if (!path) return FV_ERR_NOMEM;
        if (!fv_file_exists(path)) continue;
        fv_status status = fv_dataset_read_text(path, &text);
        if (status == FV_OK) status = parse_class_boxes(ds, begin, path, wnid, text);
        fv_free(text);
        FV_TRY(status);
    }
    return FV_OK;
}

/* name <tab> wnid, then optionally the box. */
static fv_status parse_annotation(fv_dataset *ds, const char *images, const char *where,
                                  int line_number, char *line) {
    char *field[6];
    fv_box box;
    const int n = fv_dataset_fields(line, '\t', field, 6);

    if (n != 2 && n != 6)
        return FV_FAIL(FV_ERR_FORMAT, "%s:%d: expected name, class and four numbers", where,
                       line_number);
    const int32_t label = fv_dataset_label(ds, field[1]);
    if (label < 0)
        return FV_FAIL(FV_ERR_FORMAT, "%s:%d: no class '%s' in train/", where, line_number,
                       field[1]);
    const fv_status status = fv_dataset_add(ds, images, field[0], label);
    if (status != FV_OK) return fv_error_context(status, "%s:%d", where, line_number);
    if (n == 2) return FV_OK;
    if (!parse_box(field + 2, &box))
        return FV_FAIL(FV_ERR_FORMAT, "%s:%d: the box is not four numbers", where, line_number);
    return fv_dataset_add_box(ds, ds->n_samples - 1, box);
}

static fv_status open_validation(fv_dataset *ds) {
    char *whole = NULL;
    int line_number = 0;
    const char *path = fv_dataset_path(ds, ds->root, "val/val_annotations.txt");
    const char *images = fv_dataset_path(ds, ds->root, "val/images");

    if (!path || !images) return FV_ERR_NOMEM;
    fv_status status = fv_dataset_read_text(path, &whole);
    char *text = whole;
    for (char *line; status == FV_OK && (line = fv_dataset_next_line(&text));) {
        line_number++;
        if (*line) status = parse_annotation(ds, images, path, line_number, line);
    }
    fv_free(whole);
    return status;
}

/* Classes from wnids.txt, sorted, for a copy without train/. */
static fv_status read_wnids(fv_dataset *ds, fv_class_order order) {
    char *whole = NULL;
    int64_t n_lines = 1;
    const char *path = fv_dataset_path(ds, ds->root, "wnids.txt");

    if (!path) return FV_ERR_NOMEM;
    fv_status status = fv_dataset_read_text(path, &whole);
    if (status != FV_OK) return status;
    for (const char *p = whole; *p; p++) n_lines += *p == '\n';
    ds->class_names = fv_calloc((size_t)n_lines, sizeof *ds->class_names);
    if (!ds->class_names) status = FV_ERR_NOMEM;
    char *text = whole;
    for (char *line; status == FV_OK && (line = fv_dataset_next_line(&text));) {
        if (*line == 0) continue;
        const char *name = fv_arena_strdup(&ds->arena, line);
        if (name)
            ds->class_names[ds->n_classes++] = name;
        else
            status = FV_ERR_NOMEM;
    }
    fv_free(whole);
    fv_dataset_sort_classes(ds, order);
    for (int64_t i = 1; i < ds->n_classes && status == FV_OK; i++)
        if (strcmp(ds->class_names[i - 1], ds->class_names[i]) == 0)
            status = FV_FAIL(FV_ERR_FORMAT, "%s: class %s twice", path, ds->class_names[i]);
    return status;
}

static fv_status open_tiny(fv_dataset *ds, const char *split, const fv_dataset_options *options) {
    const char *train = fv_dataset_path(ds, ds->root, "train");

    (void)split;
    if (!train) return FV_ERR_NOMEM;
    if (fv_folder_exists(train)) {
        FV_TRY(fv_dataset_read_classes(ds, train, options->class_order));
    } else {
        FV_TRY(read_wnids(ds, options->class_order));
    }
    if (ds->n_classes == 0)
        return FV_FAIL(FV_ERR_FORMAT, "%s: no class folders; expected %s", train,
                       fv_dataset_format_tiny_imagenet.expects);
    if (strcmp(ds->split, "train") != 0) return open_validation(ds);
    if (!fv_folder_exists(train))
        return FV_FAIL(FV_ERR_NOT_FOUND, "%s: no such folder; expected %s", train,
                       fv_dataset_format_tiny_imagenet.expects);
    return open_train(ds, train);
}

const fv_dataset_format fv_dataset_format_tiny_imagenet = {
    .name = "tiny_imagenet",
    .expects = "train/<class>/images, val/images and val/val_annotations.txt",
    .detect = detect,
    .open = open_tiny};
