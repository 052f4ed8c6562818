/* fuzz_sources.c - the files that say what a data set holds: class maps, CIFAR, tar archives. */
#include "core/alloc.h"
#include "data/sample.h"
#include "data/tar.h"
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <string.h>

static const char *in_folder(const char *name) {
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", fuzz_folder(), name);
    return path;
}

/* Opens, and reads a few samples; any outcome but a broken data set is fine. */
static void open_and_load(const char *name, const char *split, const fv_dataset_options *options) {
    fv_dataset *ds = NULL;

    const fv_status status = fv_dataset_open(in_folder(name), split, options, &ds);
    if (status != FV_OK) {
        FUZZ_REQUIRE(!ds);
        fuzz_require_failure(status, FV_ERR_FORMAT, FV_ERR_UNSUPPORTED);
        return;
    }
    FUZZ_REQUIRE(ds->n_samples > 0 && ds->n_classes > 0);
    for (int64_t c = 0; c < ds->n_classes; c++) FUZZ_REQUIRE(ds->class_names[c]);
    for (int64_t i = 0; i < ds->n_samples; i++) {
        const fv_sample *s = &ds->samples[i];
        fv_image *image = NULL;
        FUZZ_REQUIRE(s->label >= 0 && s->label < ds->n_classes);
        FUZZ_REQUIRE(s->name[0] && s->n_bytes >= 0 && s->offset >= 0);
        if (i < 4 && fv_sample_load(s, &(fv_preprocess){0}, &image) == FV_OK)
            FUZZ_REQUIRE(image->height > 0 && image->width > 0);
        fv_image_destroy(image);
    }
    fv_dataset_destroy(ds);
}

void fuzz_class_map(const uint8_t *bytes, size_t n_bytes) {
    static bool ready;
    char path[512];

    if (!ready) {
        fuzz_write("classes/train/ant/1.png", "", 0);
        fuzz_write("classes/train/bee 2/1.png", "", 0);
        fuzz_write("classes/train/cat/1.png", "", 0);
        ready = true;
    }
    fuzz_write("map.txt", bytes, n_bytes);
    snprintf(path, sizeof path, "%s", in_folder("map.txt"));
    open_and_load("classes", "train", &(fv_dataset_options){.class_map = path});
}

void fuzz_subset(const uint8_t *bytes, size_t n_bytes) {
    static bool ready;
    char path[512];

    if (!ready) {
        fuzz_write("chosen/train/ant/1.png", "", 0);
        fuzz_write("chosen/train/ant/2.png", "", 0);
        fuzz_write("chosen/train/bee/1.png", "", 0);
        ready = true;
    }
    fuzz_write("subset.txt", bytes, n_bytes);
    snprintf(path, sizeof path, "%s", in_folder("subset.txt"));
    open_and_load("chosen", "train", &(fv_dataset_options){.subset = path});
}

/* One byte: 0 the names and 1 the records of CIFAR-10, 2 the records of CIFAR-100. */
void fuzz_cifar(const uint8_t *bytes, size_t n_bytes) {
    static const char names[] = "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n";
    static const uint8_t record[3073];
    static bool ready;

    if (!ready) {
        char hundred[512] = "";
        for (int i = 0; i < 100; i++)
            snprintf(hundred + strlen(hundred), sizeof hundred - strlen(hundred), "c%d\n", i);
        fuzz_write("names/test_batch.bin", record, sizeof record);
        fuzz_write("ten/batches.meta.txt", names, sizeof names - 1);
        fuzz_write("hundred/fine_label_names.txt", hundred, strlen(hundred));
        ready = true;
    }
    if (n_bytes < 1) return;
    static const char *const files[] = {"names/batches.meta.txt", "ten/test_batch.bin",
                                        "hundred/test.bin"};
    static const char *const roots[] = {"names", "ten", "hundred"};
    fuzz_write(files[bytes[0] % 3], bytes + 1, n_bytes - 1);
    open_and_load(roots[bytes[0] % 3], "test", NULL);
}

typedef struct extent {
    int64_t n_bytes, end;
} extent;

/* Members lie inside of the archive, one behind the other. */
static fv_status check_member(void *user, const fv_tar_member *m) {
    extent *e = user;

    FUZZ_REQUIRE(m->offset >= e->end + 512 && m->size >= 0 && m->size <= e->n_bytes - m->offset);
    FUZZ_REQUIRE(m->name[0] && strlen(m->name) < FV_TAR_NAME_BYTES);
    e->end = m->offset + m->size;
    return FV_OK;
}

void fuzz_tar(const uint8_t *bytes, size_t n_bytes) {
    extent e = {.n_bytes = (int64_t)n_bytes};

    fuzz_write("tar/train/a.tar", bytes, n_bytes);
    const fv_status status = fv_tar_each(in_folder("tar/train/a.tar"), check_member, &e);
    if (status != FV_OK) fuzz_require_failure(status, FV_ERR_FORMAT, FV_ERR_UNSUPPORTED);
    open_and_load("tar", "train", NULL);
}
