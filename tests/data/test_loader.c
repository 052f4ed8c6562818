#include "data/loader.h"

#include "core/alloc.h"
#include "core/file.h"
#include "data/sampler.h"
#include "tests/support/picture.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SIDE   12
#define VALUES (SIDE * SIDE * 3)
#define N      23

static char root[64], path[128];
static fv_dataset *dataset;
static fv_augment augment;
static int64_t order[N];

static const fv_preprocess preprocess = {.img_h = SIDE,
                                         .img_w = SIDE,
                                         .mean = {0.5f, 0.5f, 0.5f},
                                         .std = {0.5f, 0.5f, 0.5f},
                                         .crop_pct = 1.0};

/* Sample i is the i-th file in byte order, with a picture of its own. */
static const char *file_of(int i) {
    snprintf(path, sizeof path, "%s/train/%c/%02d.png", root, i < 9 ? 'a' : 'b', i);
    return path;
}

static void enter(void) {
    test_folder_enter(root);
    for (int i = 0; i < N; i++) {
        fv_image *image = test_pattern(14 + i % 3, 13 + i % 5);
        uint8_t *bytes = NULL;
        size_t n_bytes = 0;
        image->pixels[0] = (uint8_t)(i * 11);
        cr_assert_eq(fv_image_encode_png(image, &bytes, &n_bytes), FV_OK);
        test_write(file_of(i), bytes, n_bytes);
        fv_free(bytes);
        fv_image_destroy(image);
    }
    cr_assert_eq(fv_dataset_open(root, "train", NULL, &dataset), FV_OK, "%s", fv_error_message());
    cr_assert_eq(dataset->n_samples, N);
    fv_augment_init(&augment);
    fv_sampler_shuffle(5, 3, N, order);
}

static void leave(void) {
    fv_alloc_fail_at(0);
    fv_dataset_destroy(dataset);
    test_folder_leave(root);
}

TestSuite(data_loader, .init = enter, .fini = leave);

static fv_loader *create(int workers, int64_t batch, bool train, int64_t max_bad) {
    fv_loader *loader = NULL;
    const fv_loader_config config = {.dataset = dataset,
                                     .preprocess = &preprocess,
                                     .augment = train ? &augment : NULL,
                                     .seed = 5,
                                     .workers = workers,
                                     .batch_size = batch,
                                     .max_bad = max_bad};
    cr_assert_eq(fv_loader_create(&config, &loader), FV_OK, "%s", fv_error_message());
    return loader;
}

static void start(fv_loader *loader, fv_loader_epoch epoch) {
    epoch.epoch = 3;
    epoch.order = order;
    epoch.n_order = N;
    cr_assert_eq(fv_loader_start(loader, &epoch), FV_OK, "%s", fv_error_message());
}

/* What an epoch delivered, sample after sample. */
typedef struct record {
    float pixels[N][VALUES];
    int32_t label[N];
    int64_t index[N], position[N];
    int64_t n, n_batches;
} record;

static void collect(fv_loader *loader, record *r) {
    const fv_batch *b = NULL;

    memset(r, 0, sizeof *r);
    for (;;) {
        cr_assert_eq(fv_loader_next(loader, &b), FV_OK, "%s", fv_error_message());
        if (!b) break;
        cr_assert(b->n >= 1 && r->n + b->n <= N);
        memcpy(r->pixels[r->n], b->pixels, (size_t)b->n * sizeof r->pixels[0]);
        for (int64_t i = 0; i < b->n; i++, r->n++) {
            r->label[r->n] = b->labels[i];
            r->index[r->n] = b->index[i];
            r->position[r->n] = b->position + i;
        }
        r->n_batches++;
        fv_batch_release(loader, b);
    }
    cr_assert_eq(fv_loader_next(loader, &b), FV_OK);
    cr_expect_null(b, "the end stays the end");
}

static record *new_record(void) {
    record *r = fv_calloc(1, sizeof *r);
    cr_assert_not_null(r);
    return r;
}

Test(data_loader, delivers_the_order_whatever_the_workers) {
    static const int workers[] = {0, 1, 3};
    record *first = new_record(), *r = new_record();

    for (int w = 0; w < 3; w++) {
        fv_loader *loader = create(workers[w], 4, true, 0);
        start(loader, (fv_loader_epoch){0});
        cr_expect_eq(fv_loader_batches(loader), 6);
        collect(loader, r);
        cr_assert(r->n == N && r->n_batches == 6);
        for (int i = 0; i < N; i++) {
            cr_expect_eq(r->index[i], order[i]);
            cr_expect_eq(r->position[i], i);
            cr_expect_eq(r->label[i], order[i] < 9 ? 0 : 1);
        }
        if (w == 0) memcpy(first, r, sizeof *r);
        cr_expect_eq(memcmp(first->pixels, r->pixels, sizeof r->pixels), 0, "%d workers",
                     workers[w]);
        cr_expect(fv_loader_wait_seconds(loader) > 0.0);
        start(loader, (fv_loader_epoch){0}); /* a second time the same */
        collect(loader, r);
        cr_expect_eq(memcmp(first->pixels, r->pixels, sizeof r->pixels), 0);
        fv_loader_destroy(loader);
    }
    fv_free(first);
    fv_free(r);
}

Test(data_loader, pixels_are_those_of_the_transforms) {
    record *r = new_record();
    float expected[VALUES];

    for (int train = 0; train < 2; train++) {
        fv_loader *loader = create(2, 5, train, 0);
        start(loader, (fv_loader_epoch){0});
        collect(loader, r);
        for (int i = 0; i < N; i++) {
            fv_image *image = NULL;
            const fv_rng_key key = {
                .seed = 5, .purpose = FV_RNG_AUGMENT, .step = 3, .sample = (uint32_t)order[i]};
            cr_assert_eq(fv_image_load(dataset->samples[order[i]].path, &image), FV_OK);
            cr_assert_eq(train ? fv_transform_train(&preprocess, &augment, key, image, expected)
                               : fv_transform_eval(&preprocess, image, expected),
                         FV_OK);
            cr_expect_eq(memcmp(expected, r->pixels[i], sizeof expected), 0);
            fv_image_destroy(image);
        }
        fv_loader_destroy(loader);
    }
    fv_free(r);
}

Test(data_loader, resumes_from_the_middle) {
    record *all = new_record(), *rest = new_record();

    for (int workers = 0; workers < 4; workers += 3) {
        fv_loader *loader = create(workers, 4, true, 0);
        start(loader, (fv_loader_epoch){.group = 8});
        collect(loader, all);
        cr_assert_eq(all->n, 16, "two whole groups");
        start(loader, (fv_loader_epoch){.group = 8, .first = 8});
        collect(loader, rest);
        cr_assert_eq(rest->n, 8);
        cr_expect_eq(memcmp(all->pixels[8], rest->pixels, 8 * sizeof rest->pixels[0]), 0);
        cr_expect_eq(rest->position[0], 8);
        fv_loader_destroy(loader);
    }
    fv_free(all);
    fv_free(rest);
}

/* Two processes that share each group see what one alone sees. */
Test(data_loader, parts_of_groups) {
    record *all = new_record(), *part = new_record();
    fv_loader *loader = create(2, 3, true, 0);

    start(loader, (fv_loader_epoch){.group = 10});
    collect(loader, all);
    cr_assert(all->n == 20 && all->n_batches == 8, "3 + 3 + 3 + 1, twice");
    for (int rank = 0; rank < 2; rank++) {
        start(loader, (fv_loader_epoch){.group = 10, .offset = 5 * rank, .share = 5});
        collect(loader, part);
        cr_assert(part->n == 10 && part->n_batches == 4);
        for (int i = 0; i < 10; i++) {
            const int at = i / 5 * 10 + rank * 5 + i % 5;
            cr_expect_eq(part->position[i], at);
            cr_expect_eq(memcmp(part->pixels[i], all->pixels[at], sizeof all->pixels[0]), 0);
        }
    }
    fv_loader_destroy(loader);
    fv_free(all);
    fv_free(part);
}

Test(data_loader, a_bad_image_is_an_error_with_its_path) {
    test_write(file_of((int)order[9]), "broken", 6);
    for (int workers = 0; workers < 4; workers += 3) {
        fv_loader *loader = create(workers, 4, true, 0);
        const fv_batch *b = NULL;
        start(loader, (fv_loader_epoch){0});
        for (int i = 0; i < 2; i++) {
            cr_assert_eq(fv_loader_next(loader, &b), FV_OK);
            fv_batch_release(loader, b);
        }
        for (int again = 0; again < 2; again++) {
            cr_assert_eq(fv_loader_next(loader, &b), FV_ERR_FORMAT);
            cr_expect(strstr(fv_error_message(), file_of((int)order[9])), "%s", fv_error_message());
            cr_expect_null(b);
        }
        fv_loader_destroy(loader);
    }
}

Test(data_loader, tolerated_bad_images_are_replaced_in_training) {
    record *r = new_record();

    test_write(file_of((int)order[9]), "broken", 6);
    test_write(file_of((int)order[10]), "", 0);
    cr_assert_eq(unlink(file_of((int)order[N - 1])), 0);
    for (int workers = 0; workers < 4; workers += 3) {
        fv_loader *loader = create(workers, 4, true, 3);
        start(loader, (fv_loader_epoch){0});
        collect(loader, r);
        cr_assert_eq(r->n, N);
        for (int i = 0; i < N; i++) {
            const int taken = i == 9 || i == 10 ? 11 : i == N - 1 ? 0 : i;
            cr_expect_eq(r->index[i], order[taken], "position %d", i);
            cr_expect_eq(memcmp(r->pixels[i], r->pixels[taken], sizeof r->pixels[0]), 0);
        }
        cr_expect_eq(fv_loader_bad(loader), 3);
        fv_loader_destroy(loader);
    }
    fv_loader *loader = create(2, 4, true, 2);
    const fv_batch *b = NULL;
    fv_status status = FV_OK;
    start(loader, (fv_loader_epoch){0});
    int batches = 0;
    for (; (status = fv_loader_next(loader, &b)) == FV_OK && b; batches++) {
        cr_expect_eq(b->n_bad, batches == 2 ? 2 : 0);
        cr_expect((b->n_bad > 0) == (b->bad[0] != 0));
        fv_batch_release(loader, b);
    }
    cr_expect_eq(batches, 5, "the last batch holds the third bad one");
    cr_expect_eq(status, FV_ERR_NOT_FOUND);
    fv_loader_destroy(loader);
    fv_free(r);
}

Test(data_loader, tolerated_bad_images_are_left_out_of_evaluation) {
    record *r = new_record();

    for (int i = 4; i < 8; i++) test_write(file_of((int)order[i]), "broken", 6); /* a whole batch */
    test_write(file_of((int)order[13]), "broken", 6);
    for (int workers = 0; workers < 4; workers += 3) {
        fv_loader *loader = create(workers, 4, false, 5);
        start(loader, (fv_loader_epoch){0});
        collect(loader, r);
        cr_assert_eq(r->n, N - 5);
        cr_expect_eq(r->n_batches, 5);
        for (int i = 0, at = 0; i < N; i++) {
            if ((i >= 4 && i < 8) || i == 13) continue;
            cr_expect_eq(r->index[at++], order[i]);
        }
        cr_expect_eq(fv_loader_bad(loader), 5);
        fv_loader_destroy(loader);
    }
    fv_free(r);
}

Test(data_loader, can_be_stopped_and_restarted_at_any_moment) {
    for (int round = 0; round < 12; round++) {
        fv_loader *loader = create(3, 2, true, 0);
        const fv_batch *b = NULL;
        if (round > 0) start(loader, (fv_loader_epoch){0});
        for (int i = 0; i < round % 4; i++) {
            cr_assert_eq(fv_loader_next(loader, &b), FV_OK);
            if (i % 2 == 0) fv_batch_release(loader, b);
        }
        if (round % 3 == 2) {
            start(loader, (fv_loader_epoch){.first = 4});
            cr_assert_eq(fv_loader_next(loader, &b), FV_OK);
            cr_expect_eq(b->position, 4);
        }
        fv_loader_destroy(loader);
    }
    fv_loader_destroy(NULL);
}

Test(data_loader, holding_too_many_batches_is_an_error) {
    for (int workers = 0; workers < 3; workers += 2) {
        fv_loader *loader = create(workers, 2, false, 0);
        const fv_batch *b[4] = {0};
        start(loader, (fv_loader_epoch){0});
        for (int i = 0; i < 3; i++) cr_assert_eq(fv_loader_next(loader, &b[i]), FV_OK);
        cr_expect_eq(fv_loader_next(loader, &b[3]), FV_ERR_INTERNAL);
        fv_batch_release(loader, b[0]);
        cr_assert_eq(fv_loader_next(loader, &b[3]), FV_OK);
        cr_expect_eq(b[3]->position, 6);
        fv_loader_destroy(loader);
    }
}

Test(data_loader, a_steady_state_allocates_nothing) {
    fv_loader *loader = create(0, 4, true, 0);
    record *r = new_record();

    for (int warm = 0; warm < 2; warm++) {
        start(loader, (fv_loader_epoch){0});
        collect(loader, r);
    }
    /* Only the row table of the PNG decoder, once an image. */
    const uint64_t calls = fv_alloc_calls();
    start(loader, (fv_loader_epoch){0});
    collect(loader, r);
    cr_expect_eq(fv_alloc_calls() - calls, N);
    fv_loader_destroy(loader);
    fv_free(r);
}

Test(data_loader, refuses_bad_settings) {
    fv_loader *loader = NULL;
    fv_loader_config config = {.dataset = dataset, .preprocess = &preprocess, .batch_size = 0};
    const int64_t wrong[] = {0, N};

    cr_expect_eq(fv_loader_create(&config, &loader), FV_ERR_CONFIG);
    config.batch_size = 2;
    config.workers = -1;
    cr_expect_eq(fv_loader_create(&config, &loader), FV_ERR_CONFIG);
    config.workers = 0;
    config.depth = 1;
    cr_expect_eq(fv_loader_create(&config, &loader), FV_ERR_CONFIG);
    loader = create(1, 2, true, 0);
    cr_expect_eq(fv_loader_start(loader, &(fv_loader_epoch){.order = wrong, .n_order = 2}),
                 FV_ERR_CONFIG);
    cr_expect_eq(
        fv_loader_start(loader, &(fv_loader_epoch){.order = order, .n_order = N, .end = N + 1}),
        FV_ERR_CONFIG);
    cr_expect_eq(
        fv_loader_start(
            loader,
            &(fv_loader_epoch){.order = order, .n_order = N, .group = 4, .offset = 3, .share = 2}),
        FV_ERR_CONFIG);
    fv_loader_destroy(loader);
}

Test(data_loader, every_failing_allocation_of_create_is_reported) {
    for (int workers = 0; workers < 3; workers += 2) {
        for (uint64_t n = 1;; n++) {
            fv_loader *loader = NULL;
            const fv_loader_config config = {
                .dataset = dataset, .preprocess = &preprocess, .workers = workers, .batch_size = 2};
            fv_alloc_fail_at(n);
            const fv_status status = fv_loader_create(&config, &loader);
            fv_alloc_fail_at(0);
            fv_loader_destroy(loader);
            if (status == FV_OK) break;
            cr_assert_eq(status, FV_ERR_NOMEM);
            cr_assert_null(loader);
        }
    }
}

/* Out of memory is never taken for a bad image. */
Test(data_loader, every_failing_allocation_while_loading_is_reported) {
    for (uint64_t n = 1;; n++) {
        fv_loader *loader = create(0, 3, true, N);
        const fv_batch *b = NULL;
        start(loader, (fv_loader_epoch){0});
        fv_alloc_fail_at(n);
        const fv_status status = fv_loader_next(loader, &b);
        fv_alloc_fail_at(0);
        fv_loader_destroy(loader);
        if (status == FV_OK) {
            cr_expect(n > 6);
            break;
        }
        cr_assert_eq(status, FV_ERR_NOMEM);
    }
}

/* The largest number there is must not wrap around. */
Test(data_loader, any_number_of_bad_images_may_be_tolerated) {
    static record all;
    fv_loader *loader = create(0, 5, true, INT64_MAX);

    start(loader, (fv_loader_epoch){0});
    collect(loader, &all);
    fv_loader_destroy(loader);
    cr_expect_eq(memcmp(all.index, order, sizeof order), 0);
}

/* Copies of an image have their own random numbers; the first one those of an epoch without copies. */
Test(data_loader, copies_are_augmented_in_their_own_ways) {
    record *r = new_record(), *plain = new_record();
    uint8_t repeat[N];
    int64_t repeated[N];
    int first_copies = 0;

    memcpy(repeated, order, sizeof order);
    fv_sampler_repeat(3, 8, N, repeated, repeat);
    fv_loader *loader = create(2, 4, true, 0);
    start(loader, (fv_loader_epoch){0});
    collect(loader, plain);
    const fv_loader_epoch epoch = {.epoch = 3, .order = repeated, .repeat = repeat, .n_order = N};
    cr_assert_eq(fv_loader_start(loader, &epoch), FV_OK);
    collect(loader, r);
    cr_assert_eq(r->n, N);
    for (int i = 0; i < N; i++)
        for (int k = 0; k < i; k++) {
            if (r->index[i] != r->index[k]) continue;
            cr_expect_neq(memcmp(r->pixels[i], r->pixels[k], sizeof r->pixels[0]), 0);
        }
    for (int i = 0; i < N; i++)
        for (int k = 0; k < N && repeat[i] == 0; k++) {
            if (r->index[i] != plain->index[k]) continue;
            cr_expect_eq(memcmp(r->pixels[i], plain->pixels[k], sizeof r->pixels[0]), 0);
            first_copies++;
        }
    cr_expect_eq(first_copies, (N + 2) / 3);
    fv_loader_destroy(loader);
    fv_free(r);
    fv_free(plain);
}

Test(data_loader, a_bad_image_counts_once_however_often_it_is_asked_for) {
    record *r = new_record();
    uint8_t repeat[N];

    test_write(file_of((int)order[1]), "broken", 6);
    fv_sampler_repeat(3, 8, N, order, repeat);
    fv_loader *loader = create(2, 4, true, 1);
    start(loader, (fv_loader_epoch){.repeat = repeat});
    collect(loader, r);
    cr_assert_eq(r->n, N);
    cr_expect_eq(fv_loader_bad(loader), 1);
    fv_loader_destroy(loader);
    fv_free(r);
}
