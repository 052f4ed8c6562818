#include "data/synth.h"

#include "core/alloc.h"
#include "core/file.h"
#include "data/data_info.h"
#include "tests/support/picture.h"

#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char root[64], path[96], again[96];

static void enter(void) {
    test_folder_enter(root);
    snprintf(path, sizeof path, "%s/set", root);
    snprintf(again, sizeof again, "%s/again", root);
}

static void leave(void) {
    fv_alloc_fail_at(0);
    test_folder_leave(root);
}

TestSuite(data_synth, .init = enter, .fini = leave);

static const fv_synth_config small = {
    .n_classes = 3, .size_px = 32, .n_train = 12, .n_val = 6, .seed = 4};

/* ---- what colours alone tell ---- */

#define SIDE    64
#define BINS    64
#define CLASSES 10
#define N_TRAIN 1500
#define N_TEST  1000

/* Shares of the 4 x 4 x 4 colours. */
static void histogram(const fv_image *image, double *h) {
    const int64_t n = image->height * image->width;
    memset(h, 0, BINS * sizeof *h);
    for (int64_t i = 0; i < n; i++) {
        const uint8_t *p = image->pixels + 3 * i;
        h[(p[0] / 64 * 4 + p[1] / 64) * 4 + p[2] / 64] += 1.0 / (double)n;
    }
}

static void histograms(bool validation, int n, double (*h)[BINS]) {
    const fv_synth_config config = {
        .n_classes = CLASSES, .size_px = SIDE, .n_train = N_TRAIN, .n_val = N_TEST, .seed = 1};
    fv_image image = {0};
    fv_box box;

    for (int i = 0; i < n; i++) {
        cr_assert_eq(fv_synth_render(&config, validation, i, &image, NULL, &box), FV_OK);
        histogram(&image, h[i]);
    }
    fv_image_release(&image);
}

static double train_h[N_TRAIN][BINS], test_h[N_TEST][BINS];
static double weight[CLASSES][BINS], bias[CLASSES];

static int argmax(const double *score) {
    int best = 0;
    for (int c = 1; c < CLASSES; c++)
        if (score[c] > score[best]) best = c;
    return best;
}

static void linear_scores(const double *h, double *score) {
    for (int c = 0; c < CLASSES; c++) {
        score[c] = bias[c];
        for (int b = 0; b < BINS; b++) score[c] += weight[c][b] * h[b];
    }
}

static double accuracy(void (*scores)(const double *h, double *score)) {
    int right = 0;
    for (int i = 0; i < N_TEST; i++) {
        double score[CLASSES];
        scores(test_h[i], score);
        right += argmax(score) == i % CLASSES;
    }
    return 100.0 * right / N_TEST;
}

/* Minus half the squared distance to a centroid is linear but for a term all classes share. */
static void fit_centroids(void) {
    memset(weight, 0, sizeof weight);
    for (int i = 0; i < N_TRAIN; i++)
        for (int b = 0; b < BINS; b++)
            weight[i % CLASSES][b] += train_h[i][b] / (N_TRAIN / CLASSES);
    for (int c = 0; c < CLASSES; c++) {
        bias[c] = 0.0;
        for (int b = 0; b < BINS; b++) bias[c] -= 0.5 * weight[c][b] * weight[c][b];
    }
}

/* Multinomial logistic regression by plain gradient descent. */
static void fit_logistic(int steps, double rate) {
    memset(weight, 0, sizeof weight);
    memset(bias, 0, sizeof bias);
    for (int step = 0; step < steps; step++) {
        double dw[CLASSES][BINS] = {{0.0}}, db[CLASSES] = {0.0};
        for (int i = 0; i < N_TRAIN; i++) {
            double p[CLASSES], sum = 0.0;
            linear_scores(train_h[i], p);
            for (int c = 0; c < CLASSES; c++) sum += p[c] = exp(p[c]);
            for (int c = 0; c < CLASSES; c++) {
                const double d = p[c] / sum - (i % CLASSES == c);
                db[c] += d;
                for (int b = 0; b < BINS; b++) dw[c][b] += d * train_h[i][b];
            }
        }
        for (int c = 0; c < CLASSES; c++) {
            bias[c] -= rate * db[c] / N_TRAIN;
            for (int b = 0; b < BINS; b++) weight[c][b] -= rate * dw[c][b] / N_TRAIN;
        }
    }
}

Test(data_synth, colours_do_not_tell_the_classes) {
    histograms(false, N_TRAIN, train_h);
    histograms(true, N_TEST, test_h);
    fit_centroids();
    const double centroid = accuracy(linear_scores);
    fit_logistic(150, 20.0);
    const double logistic = accuracy(linear_scores);
    cr_expect(centroid < 30.0, "nearest centroid: %.1f %%", centroid);
    cr_expect(logistic < 30.0, "logistic regression: %.1f %%", logistic);
    cr_log_info("centroid %.1f %%, logistic %.1f %%", centroid, logistic);
}

/* The classifier is no straw man: classes that differ in colour it does tell apart. */
Test(data_synth, the_classifier_of_colours_works) {
    for (int i = 0; i < N_TRAIN; i++)
        for (int b = 0; b < BINS; b++) train_h[i][b] = (b / 6 == i % CLASSES) / 6.0;
    for (int i = 0; i < N_TEST; i++)
        for (int b = 0; b < BINS; b++) test_h[i][b] = (b / 6 == i % CLASSES) / 6.0;
    fit_logistic(20, 20.0);
    cr_expect(accuracy(linear_scores) > 99.0);
    fit_centroids();
    cr_expect(accuracy(linear_scores) > 99.0);
}

/* ---- the images ---- */

Test(data_synth, rendering_is_a_function_of_seed_split_and_index) {
    fv_synth_config config = small;
    fv_image a = {0}, b = {0};
    fv_box box;
    const size_t n = 32 * 32 * 3;

    cr_assert_eq(fv_synth_render(&config, false, 5, &a, NULL, &box), FV_OK);
    cr_assert_eq(fv_synth_render(&config, false, 5, &b, NULL, &box), FV_OK);
    cr_expect_eq(memcmp(a.pixels, b.pixels, n), 0);
    cr_assert_eq(fv_synth_render(&config, true, 5, &b, NULL, &box), FV_OK);
    cr_expect_neq(memcmp(a.pixels, b.pixels, n), 0);
    cr_assert_eq(fv_synth_render(&config, false, 8, &b, NULL, &box), FV_OK);
    cr_expect_neq(memcmp(a.pixels, b.pixels, n), 0);
    config.seed = 5;
    cr_assert_eq(fv_synth_render(&config, false, 5, &b, NULL, &box), FV_OK);
    cr_expect_neq(memcmp(a.pixels, b.pixels, n), 0);
    fv_image_release(&a);
    fv_image_release(&b);
}

/* The mask fills its box to all four edges, lies inside the image, and differs in brightness from
 * the ground. */
Test(data_synth, masks_boxes_and_contrast) {
    const fv_synth_config config = {
        .n_classes = CLASSES, .size_px = SIDE, .n_train = 10, .n_val = 10, .seed = 9};
    fv_image image = {0};
    uint8_t mask[SIDE][SIDE];
    int n_contrast = 0;

    for (int i = 0; i < 200; i++) {
        fv_box box;
        int left = SIDE, top = SIDE, right = 0, bottom = 0, n[2] = {0};
        double sum[2] = {0.0};
        cr_assert_eq(fv_synth_render(&config, false, i, &image, &mask[0][0], &box), FV_OK);
        for (int y = 0; y < SIDE; y++) {
            for (int x = 0; x < SIDE; x++) {
                const uint8_t *p = image.pixels + 3 * (y * SIDE + x);
                const int in = mask[y][x] == 255;
                cr_assert(in || mask[y][x] == 0);
                n[in]++;
                sum[in] += 0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2];
                if (!in) continue;
                left = x < left ? x : left;
                right = x >= right ? x + 1 : right;
                top = y < top ? y : top;
                bottom = y >= bottom ? y + 1 : bottom;
            }
        }
        cr_expect(box.left == left && box.top == top && box.right == right && box.bottom == bottom);
        const int longer = right - left > bottom - top ? right - left : bottom - top;
        cr_expect(longer >= 0.33 * SIDE && longer <= 0.75 * SIDE, "image %d: side %d", i, longer);
        cr_expect(n[1] > 90, "image %d: %d pixels of object", i, n[1]);
        n_contrast += fabs(sum[1] / n[1] - sum[0] / n[0]) > 25.0;
    }
    cr_expect(n_contrast >= 180, "%d of 200 stand out", n_contrast);
    fv_image_release(&image);
}

Test(data_synth, names_are_distinct) {
    for (int i = 0; i < FV_SYNTH_MAX_CLASSES; i++)
        for (int j = 0; j < i; j++)
            cr_expect_neq(strcmp(fv_synth_class_name(i), fv_synth_class_name(j)), 0);
}

/* ---- the files ---- */

static fv_dataset *opened(const char *folder, const char *split) {
    fv_dataset *ds = NULL;
    cr_assert_eq(fv_dataset_open(folder, split, NULL, &ds), FV_OK, "%s", fv_error_message());
    return ds;
}

Test(data_synth, writes_a_data_set_with_boxes_and_masks) {
    bool written = false;
    fv_data_info info;

    cr_assert_eq(fv_synth_write(path, &small, false, &written), FV_OK, "%s", fv_error_message());
    cr_expect(written);
    for (int v = 0; v < 2; v++) {
        fv_dataset *ds = opened(path, v ? "validation" : "train");
        const int64_t n = v ? 6 : 12;
        cr_assert_eq(ds->n_samples, n);
        cr_expect(ds->n_classes == 3 && ds->n_empty_classes == 0);
        cr_assert_eq(fv_data_info_compute(ds, &(fv_data_info_options){.decode = true}, &info),
                     FV_OK);
        cr_expect(info.n_jpeg == n / 2 && info.n_png == n / 2 && info.n_bad == 0);
        cr_expect(info.n_with_boxes == n && info.n_with_masks == n);
        cr_expect(info.height.min == 32 && info.width.max == 32);
        for (int64_t i = 0; i < n; i++) {
            fv_image *mask = NULL;
            const fv_box *b = ds->samples[i].boxes;
            cr_assert_eq(fv_image_load(ds->samples[i].mask, &mask), FV_OK);
            for (int64_t p = 0; p < 32 * 32; p++) {
                const float x = (float)(p % 32), y = (float)(p / 32);
                const bool in = x >= b->left && x < b->right && y >= b->top && y < b->bottom;
                cr_assert(in || mask->pixels[3 * p] == 0);
            }
            fv_image_destroy(mask);
        }
        fv_data_info_free(&info);
        fv_dataset_destroy(ds);
    }
}

/* The PNG files hold exactly what is rendered. */
Test(data_synth, files_hold_the_rendered_pixels) {
    fv_image rendered = {0}, *read = NULL;
    fv_box box;
    char file[160];

    cr_assert_eq(fv_synth_write(path, &small, false, NULL), FV_OK);
    snprintf(file, sizeof file, "%s/train/square/square_00004.png", path);
    cr_assert_eq(fv_image_load(file, &read), FV_OK, "%s", fv_error_message());
    cr_assert_eq(fv_synth_render(&small, false, 4, &rendered, NULL, &box), FV_OK);
    cr_expect_eq(memcmp(read->pixels, rendered.pixels, 32 * 32 * 3), 0);
    fv_image_destroy(read);
    fv_image_release(&rendered);
}

static void expect_same_bytes(const char *a, const char *b) {
    uint8_t *x = NULL, *y = NULL;
    size_t n_x = 0, n_y = 0;
    cr_assert_eq(fv_file_read(a, 1 << 20, &x, &n_x), FV_OK, "%s", fv_error_message());
    cr_assert_eq(fv_file_read(b, 1 << 20, &y, &n_y), FV_OK, "%s", fv_error_message());
    cr_expect(n_x == n_y && memcmp(x, y, n_x) == 0, "%s and %s differ", a, b);
    fv_free(x);
    fv_free(y);
}

Test(data_synth, the_same_seed_gives_the_same_bytes) {
    char a[160], b[160];

    cr_assert_eq(fv_synth_write(path, &small, false, NULL), FV_OK);
    cr_assert_eq(fv_synth_write(again, &small, false, NULL), FV_OK);
    for (int v = 0; v < 2; v++) {
        fv_dataset *x = opened(path, v ? "val" : "train"), *y = opened(again, v ? "val" : "train");
        cr_expect_eq(x->hash, y->hash);
        for (int64_t i = 0; i < x->n_samples; i++) {
            expect_same_bytes(x->samples[i].path, y->samples[i].path);
            expect_same_bytes(x->samples[i].mask, y->samples[i].mask);
        }
        snprintf(a, sizeof a, "%s/%s/boxes.csv", path, v ? "validation" : "train");
        snprintf(b, sizeof b, "%s/%s/boxes.csv", again, v ? "validation" : "train");
        expect_same_bytes(a, b);
        fv_dataset_destroy(x);
        fv_dataset_destroy(y);
    }
}

/* ---- the shortcut ---- */

static const fv_synth_config marked = {.n_classes = 3,
                                       .size_px = 64,
                                       .n_train = 12,
                                       .n_val = 12,
                                       .seed = 4,
                                       .has_shortcut = true,
                                       .shortcut = 2};

static int count_marked(const uint8_t *mask, int n) {
    int count = 0;
    for (int i = 0; i < n; i++) count += mask[i] != 0;
    return count;
}

/* Nothing but the marker differs from the image without one, and it does: it has two colours. */
Test(data_synth, a_marker_changes_its_own_pixels_only) {
    fv_image clean = {0}, with = {0};
    static uint8_t object[2][SIDE * SIDE], marker[SIDE * SIDE];
    fv_box box[2];
    const fv_synth_config plain = {
        .n_classes = 3, .size_px = SIDE, .n_train = 12, .n_val = 12, .seed = 4};

    for (int64_t i = 2; i < 300; i += 3) {
        int n_changed = 0;
        const uint8_t *first = NULL, *second = NULL;
        cr_assert_eq(fv_synth_render(&plain, true, i, &clean, object[0], &box[0]), FV_OK);
        cr_assert_eq(fv_synth_render(&marked, true, i, &with, object[1], &box[1]), FV_OK);
        cr_assert_eq(memcmp(object[0], object[1], sizeof *object), 0);
        cr_assert_eq(memcmp(clean.pixels, with.pixels, 3 * SIDE * SIDE), 0);
        fv_synth_mark(&marked, true, i, &with, marker);
        cr_assert_eq(count_marked(marker, SIDE * SIDE), SIDE / 8 * (SIDE / 8));
        for (int p = 0; p < SIDE * SIDE; p++) {
            const uint8_t *q = with.pixels + 3 * p;
            const bool changed = memcmp(clean.pixels + 3 * p, q, 3) != 0;
            n_changed += changed;
            cr_assert(marker[p] == 255 || !changed, "image %d, pixel %d", (int)i, p);
            if (!marker[p]) continue;
            if (!first) first = q;
            if (!second && memcmp(q, first, 3) != 0) second = q;
            cr_assert(!memcmp(q, first, 3) || !memcmp(q, second, 3), "a third colour");
        }
        cr_expect_not_null(second, "one colour");
        cr_expect_gt(n_changed, SIDE * SIDE / 64 * 3 / 4);
    }
    fv_image_release(&clean);
    fv_image_release(&with);
}

/* Its place tells nothing: each quarter of the image gets its share, and the border is reached. */
Test(data_synth, markers_are_anywhere) {
    fv_image image = {0};
    uint8_t marker[SIDE * SIDE];
    int quarter[4] = {0};
    int64_t least = SIDE, most = 0;

    cr_assert_eq(fv_image_reshape(&image, SIDE, SIDE), FV_OK);
    memset(image.pixels, 0, 3 * SIDE * SIDE);
    for (int64_t i = 2; i < 1200; i += 3) {
        fv_synth_mark(&marked, false, i, &image, marker);
        const uint8_t *corner = memchr(marker, 255, sizeof marker);
        const int64_t x = (corner - marker) % SIDE, y = (corner - marker) / SIDE;
        quarter[(y > SIDE * 7 / 16 ? 2 : 0) + (x > SIDE * 7 / 16)]++;
        least = x < least ? x : least;
        most = x > most ? x : most;
    }
    for (int q = 0; q < 4; q++)
        cr_expect(quarter[q] > 60 && quarter[q] < 140, "quarter %d: %d of 400", q, quarter[q]);
    cr_expect_eq(least, 0);
    cr_expect_eq(most, SIDE * 7 / 8);
    fv_image_release(&image);
}

/* Counting colours does not find the images with a marker either. */
Test(data_synth, colours_do_not_tell_the_marked_class) {
    const fv_synth_config config = {.n_classes = CLASSES,
                                    .size_px = SIDE,
                                    .n_train = N_TRAIN,
                                    .n_val = N_TEST,
                                    .seed = 1,
                                    .has_shortcut = true,
                                    .shortcut = 3};
    fv_image image = {0};
    fv_box box;
    int right = 0;

    for (int v = 0; v < 2; v++)
        for (int i = 0; i < (v ? N_TEST : N_TRAIN); i++) {
            cr_assert_eq(fv_synth_render(&config, v, i, &image, NULL, &box), FV_OK);
            if (fv_synth_is_marked(&config, i)) fv_synth_mark(&config, v, i, &image, NULL);
            histogram(&image, v ? test_h[i] : train_h[i]);
        }
    fit_logistic(150, 20.0);
    for (int i = 3; i < N_TEST; i += CLASSES) {
        double score[CLASSES];
        linear_scores(test_h[i], score);
        right += argmax(score) == 3;
    }
    cr_expect(100.0 * right / (N_TEST / CLASSES) < 30.0, "%d of %d", right, N_TEST / CLASSES);
    fv_image_release(&image);
}

/* Beside a set without it: other classes are the same files, the clean images those of that set, and a
 * marker is where a PNG differs from its clean one. */
Test(data_synth, a_set_with_a_shortcut) {
    fv_synth_config plain = marked;
    char file[160];
    uint8_t *manifest = NULL;
    size_t n = 0;

    plain.has_shortcut = false; /* .shortcut stays and says nothing */
    cr_assert_eq(fv_synth_write(path, &plain, false, NULL), FV_OK, "%s", fv_error_message());
    cr_assert_eq(fv_synth_write(again, &marked, false, NULL), FV_OK, "%s", fv_error_message());
    for (int v = 0; v < 2; v++) {
        fv_dataset *x = opened(path, v ? "val" : "train"), *y = opened(again, v ? "val" : "train");
        cr_assert(x->n_samples == 12 && y->n_samples == 12);
        for (int64_t i = 0; i < 12; i++) {
            const fv_sample *a = &x->samples[i], *b = &y->samples[i];
            const bool has = strncmp(b->name, "triangle/", 9) == 0;
            cr_assert_str_eq(a->name, b->name);
            cr_assert(!a->marker && !a->clean);
            cr_assert_eq(b->marker != NULL, has && v == 1, "%s", b->name);
            cr_assert_eq(b->clean != NULL, has && v == 1, "%s", b->name);
            expect_same_bytes(a->mask, b->mask);
            if (!has) expect_same_bytes(a->path, b->path);
            if (b->clean) expect_same_bytes(a->path, b->clean);
        }
        fv_dataset_destroy(x);
        fv_dataset_destroy(y);
    }
    static const char *const names[] = {"validation/triangle/triangle_00005.png",
                                        "clean/validation/triangle/triangle_00005.png",
                                        "markers/validation/triangle/triangle_00005.png"};
    fv_image *read[3];
    for (int k = 0; k < 3; k++) {
        snprintf(file, sizeof file, "%s/%s", again, names[k]);
        cr_assert_eq(fv_image_load(file, &read[k]), FV_OK, "%s", fv_error_message());
    }
    int n_marked = 0;
    for (int64_t p = 0; p < SIDE * SIDE; p++) {
        n_marked += read[2]->pixels[3 * p] == 255;
        cr_assert(read[2]->pixels[3 * p] == 255 ||
                  memcmp(read[0]->pixels + 3 * p, read[1]->pixels + 3 * p, 3) == 0);
    }
    cr_expect_eq(n_marked, SIDE * SIDE / 64);
    for (int k = 0; k < 3; k++) fv_image_destroy(read[k]);

    snprintf(file, sizeof file, "%s/synth.json", again);
    cr_assert_eq(fv_file_read(file, 1000, &manifest, &n), FV_OK);
    cr_expect(strstr((char *)manifest, "\"shortcut\": \"triangle\""), "%s", (char *)manifest);
    fv_free(manifest);
    snprintf(file, sizeof file, "%s/synth.json", path);
    cr_assert_eq(fv_file_read(file, 1000, &manifest, &n), FV_OK);
    cr_expect_str_eq((char *)manifest, "{\"format\": \"fovea-synth\", \"version\": 1, \"classes\": "
                                       "3, \"size\": 64, \"train\": 12, \"validation\": 12, "
                                       "\"seed\": 4}\n");
    fv_free(manifest);
    cr_expect_eq(fv_synth_write(again, &plain, false, NULL), FV_ERR_CONFIG, "another set");
}

Test(data_synth, running_again_is_safe) {
    fv_synth_config other = small;
    bool written = true;
    char file[160];

    other.seed++;
    cr_assert_eq(fv_synth_write(path, &small, false, NULL), FV_OK);
    cr_assert_eq(fv_synth_write(path, &small, true, &written), FV_OK);
    cr_expect_not(written, "the same set is left alone, force or not");
    cr_expect_eq(fv_synth_write(path, &other, false, &written), FV_ERR_CONFIG);
    cr_expect(strstr(fv_error_message(), path));
    cr_assert_eq(fv_synth_write(path, &other, true, &written), FV_OK);
    cr_expect(written);
    snprintf(file, sizeof file, "%s/synth.partial", path);
    cr_expect_not(fv_file_exists(file));
    snprintf(file, sizeof file, "%s.tmp", path);
    cr_expect_not(fv_folder_exists(file));
}

Test(data_synth, folders_of_others_are_never_touched) {
    char file[160];

    snprintf(file, sizeof file, "%s/precious.txt", path);
    test_write(file, "x", 1);
    cr_expect_eq(fv_synth_write(path, &small, true, NULL), FV_ERR_CONFIG);
    cr_expect(fv_file_exists(file));
    snprintf(file, sizeof file, "%s.tmp/precious.txt", again);
    test_write(file, "x", 1);
    cr_expect_eq(fv_synth_write(again, &small, true, NULL), FV_ERR_CONFIG);
    cr_expect(fv_file_exists(file));
    snprintf(file, sizeof file, "%s/file", root);
    test_write(file, "x", 1);
    cr_expect_eq(fv_synth_write(file, &small, true, NULL), FV_ERR_IO);
}

Test(data_synth, an_interrupted_run_and_an_empty_folder_give_way) {
    char file[160];

    snprintf(file, sizeof file, "%s.tmp/synth.partial", path);
    test_write(file, "", 0);
    snprintf(file, sizeof file, "%s.tmp/train/disc/old.png", path);
    test_write(file, "x", 1);
    cr_assert_eq(fv_folder_create(path), FV_OK);
    cr_assert_eq(fv_synth_write(path, &small, false, NULL), FV_OK, "%s", fv_error_message());
    fv_dataset *ds = opened(path, "train");
    cr_expect_eq(ds->n_samples, 12);
    fv_dataset_destroy(ds);
}

Test(data_synth, refuses_bad_settings) {
    fv_synth_config c = small;
    c.n_classes = 11;
    cr_expect_eq(fv_synth_write(path, &c, false, NULL), FV_ERR_CONFIG);
    c = small;
    c.size_px = 8;
    cr_expect_eq(fv_synth_write(path, &c, false, NULL), FV_ERR_CONFIG);
    c = small;
    c.n_val = 2;
    cr_expect_eq(fv_synth_write(path, &c, false, NULL), FV_ERR_CONFIG);
    c = marked;
    c.shortcut = 3;
    cr_expect_eq(fv_synth_write(path, &c, false, NULL), FV_ERR_CONFIG);
    c.shortcut = -1;
    cr_expect_eq(fv_synth_write(path, &c, false, NULL), FV_ERR_CONFIG);
    cr_expect_not(fv_folder_exists(path));
}

Test(data_synth, every_failing_allocation_is_reported) {
    const fv_synth_config c = {.n_classes = 2,
                               .size_px = 32,
                               .n_train = 3,
                               .n_val = 2,
                               .seed = 1,
                               .has_shortcut = true,
                               .shortcut = 1};

    for (uint64_t n = 1;; n++) {
        fv_alloc_fail_at(n);
        const fv_status status = fv_synth_write(path, &c, false, NULL);
        fv_alloc_fail_at(0);
        if (status == FV_OK) {
            cr_expect(n > 10);
            break;
        }
        cr_assert_eq(status, FV_ERR_NOMEM, "allocation %d: %s", (int)n, fv_error_message());
        cr_assert_not(fv_folder_exists(path));
    }
}
