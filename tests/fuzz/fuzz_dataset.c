#include "data/dataset.h"
#include "tests/fuzz/fuzz.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Opens a split below fuzz_folder()/name; any outcome but a broken data set is fine. */
static void open_split(const char *name, const char *split) {
    char root[512];
    fv_dataset *ds = NULL;

    snprintf(root, sizeof root, "%s/%s", fuzz_folder(), name);
    const fv_status status = fv_dataset_open(root, split, NULL, &ds);
    if (status != FV_OK) {
        FUZZ_REQUIRE(!ds);
        if (status != FV_ERR_NOT_FOUND) fuzz_require_failure(status, FV_ERR_FORMAT, FV_ERR_IO);
        return;
    }
    FUZZ_REQUIRE(ds->n_samples > 0 && ds->n_classes > 0);
    for (int64_t i = 1; i < ds->n_classes; i++)
        FUZZ_REQUIRE(strcmp(ds->class_names[i - 1], ds->class_names[i]) < 0);
    for (int64_t i = 0; i < ds->n_samples; i++) {
        const fv_sample *s = &ds->samples[i];
        FUZZ_REQUIRE(s->label >= 0 && s->label < ds->n_classes);
        FUZZ_REQUIRE(strlen(s->path) >= strlen(s->name));
        for (int64_t b = 0; b < s->n_boxes; b++)
            FUZZ_REQUIRE(isfinite(s->boxes[b].left) && isfinite(s->boxes[b].top) &&
                         isfinite(s->boxes[b].right) && isfinite(s->boxes[b].bottom));
    }
    fv_dataset_destroy(ds);
}

void fuzz_boxes(const uint8_t *bytes, size_t n_bytes) {
    static bool ready;

    if (!ready) {
        fuzz_write("boxes/train/a/1.png", "", 0);
        fuzz_write("boxes/train/b/2.png", "", 0);
        ready = true;
    }
    fuzz_write("boxes/train/boxes.csv", bytes, n_bytes);
    open_split("boxes", "train");
}

/* Three trees: with only wnids.txt to name the classes, with annotations, with the boxes of a class. */
static void prepare_tiny(void) {
    static const char annotations[] = "1.JPEG\tn01\t0\t0\t3\t3\n2.JPEG\tn02\n";

    fuzz_write("wnids/val/val_annotations.txt", annotations, sizeof annotations - 1);
    for (int i = 0; i < 3; i++) {
        static const char *const roots[] = {"wnids", "annotations", "class"};
        for (int k = 1; k <= 2; k++) {
            char name[64];
            snprintf(name, sizeof name, "%s/val/images/%d.JPEG", roots[i], k);
            fuzz_write(name, "", 0);
            if (i == 0) continue;
            snprintf(name, sizeof name, "%s/train/n0%d/images/n0%d_0.JPEG", roots[i], k, k);
            fuzz_write(name, "", 0);
            snprintf(name, sizeof name, "%s/wnids.txt", roots[i]);
            fuzz_write(name, "n01\nn02\n", 8);
        }
    }
}

void fuzz_tiny_imagenet(const uint8_t *bytes, size_t n_bytes) {
    static const struct {
        const char *file, *root, *split;
    } kinds[] = {{"wnids/wnids.txt", "wnids", "validation"},
                 {"annotations/val/val_annotations.txt", "annotations", "validation"},
                 {"class/train/n01/n01_boxes.txt", "class", "train"}};
    static bool ready;

    if (!ready) prepare_tiny();
    ready = true;
    if (n_bytes < 1) return;
    const int kind = bytes[0] % 3;
    fuzz_write(kinds[kind].file, bytes + 1, n_bytes - 1);
    open_split(kinds[kind].root, kinds[kind].split);
}
