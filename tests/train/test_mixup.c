#include "train/mixup.h"

#include "core/parallel.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#define DRAWS 4000
#define H     12
#define W     10
#define N     5

TestSuite(train_mixup);

static fv_rng_key key_of(uint32_t update) {
    return (fv_rng_key){.seed = 9, .purpose = FV_RNG_MIX, .step = update};
}

/* lam ~ Beta(a, a): mean 1/2, variance 1 / (4 (2a + 1)). */
Test(train_mixup, lam_has_the_moments_of_a_beta_distribution) {
    static const double alphas[] = {0.1, 0.8, 1.0, 4.0};

    for (size_t k = 0; k < sizeof alphas / sizeof *alphas; k++) {
        const double a = alphas[k], variance = 0.25 / (2.0 * a + 1.0);
        const fv_mixup_config config = {.mixup = a, .prob = 1.0, .switch_prob = 0.5};
        double sum = 0.0, squares = 0.0;
        for (uint32_t i = 0; i < DRAWS; i++) {
            const fv_mix mix = fv_mixup_draw(&config, key_of(i), H, W);
            cr_assert(mix.lam >= 0.0 && mix.lam <= 1.0 && !mix.cut);
            sum += mix.lam - 0.5;
            squares += (mix.lam - 0.5) * (mix.lam - 0.5);
        }
        cr_expect_lt(fabs(sum / DRAWS), 4.0 * sqrt(variance / DRAWS), "alpha %g", a);
        cr_expect_lt(fabs(squares / DRAWS / variance - 1.0), 0.08, "alpha %g: %g", a,
                     squares / DRAWS / variance);
    }
}

Test(train_mixup, tiny_and_huge_alphas_stay_numbers) {
    for (uint32_t i = 0; i < 200; i++) {
        fv_mixup_config config = {.mixup = 1e-4, .prob = 1.0};
        const double tiny = fv_mixup_draw(&config, key_of(i), H, W).lam;
        config.mixup = 1e6;
        const double huge = fv_mixup_draw(&config, key_of(i), H, W).lam;
        cr_assert(tiny >= 0.0 && tiny <= 1.0);
        cr_assert_float_eq(huge, 0.5, 0.01);
    }
}

Test(train_mixup, lam_of_cutmix_is_the_share_that_is_left) {
    const fv_mixup_config config = {.cutmix = 1.0, .prob = 1.0};
    int64_t sizes = 0;

    for (uint32_t i = 0; i < DRAWS; i++) {
        const fv_mix m = fv_mixup_draw(&config, key_of(i), H, W);
        const int64_t area = (m.bottom - m.top) * (m.right - m.left);
        cr_assert(m.cut && m.top >= 0 && m.bottom <= H && m.left >= 0 && m.right <= W);
        cr_assert(m.top <= m.bottom && m.left <= m.right);
        cr_assert_float_eq(m.lam, 1.0 - (double)area / (H * W), 1e-15);
        sizes += area > 0;
    }
    cr_assert_gt(sizes, DRAWS / 2);
}

Test(train_mixup, sides_in_a_range) {
    const fv_mixup_config config = {.cutmix_minmax = {0.3, 0.8}, .prob = 1.0};
    int64_t low = H, high = 0;

    for (uint32_t i = 0; i < DRAWS; i++) {
        const fv_mix m = fv_mixup_draw(&config, key_of(i), H, W);
        const int64_t h = m.bottom - m.top, w = m.right - m.left;
        cr_assert(m.cut && m.top >= 0 && m.bottom <= H && m.left >= 0 && m.right <= W);
        cr_assert(w >= 3 && w < 8);
        low = h < low ? h : low;
        high = h > high ? h : high;
    }
    cr_assert_eq(low, 3);
    cr_assert_eq(high, 8);
}

Test(train_mixup, probabilities) {
    const fv_mixup_config config = {.mixup = 0.8, .cutmix = 1.0, .prob = 0.6, .switch_prob = 0.25};
    const fv_mixup_config never = {.mixup = 0.8, .prob = 0.0}, none = {.prob = 1.0};
    int mixed = 0, cut = 0;

    for (uint32_t i = 0; i < DRAWS; i++) {
        const fv_mix m = fv_mixup_draw(&config, key_of(i), 64, 64);
        mixed += m.cut || m.lam < 1.0;
        cut += m.cut;
        cr_assert_eq(fv_mixup_draw(&never, key_of(i), H, W).lam, 1.0);
    }
    cr_assert_float_eq((double)mixed / DRAWS, 0.6, 0.04);
    cr_assert_float_eq((double)cut / DRAWS, 0.15, 0.03);
    cr_assert(fv_mixup_enabled(&config));
    cr_assert_not(fv_mixup_enabled(&never));
    cr_assert_not(fv_mixup_enabled(&none));
}

static float images[N * H * W * 3], mixed[N * H * W * 3];

static void make_images(void) {
    const fv_rng_key key = {.purpose = FV_RNG_TEST};
    for (size_t i = 0; i < sizeof images / sizeof *images; i++) images[i] = fv_rng_normal(&key, i);
    memcpy(mixed, images, sizeof images);
}

/* Pixel i of image s. */
static const float *pixel(const float *set, int s, int i) { return set + (s * H * W + i) * 3; }

Test(train_mixup, pairs_of_neighbours_and_a_last_one_alone) {
    const fv_mix mix = {.lam = 0.75};

    make_images();
    fv_mix_images(&mix, N, H, W, mixed);
    for (int i = 0; i < H * W; i++)
        for (int c = 0; c < 3; c++) {
            const float a = pixel(images, 2, i)[c], b = pixel(images, 3, i)[c];
            cr_assert_float_eq(pixel(mixed, 2, i)[c], 0.75f * a + 0.25f * b, 1e-6f);
            cr_assert_float_eq(pixel(mixed, 3, i)[c], 0.75f * b + 0.25f * a, 1e-6f);
            cr_assert_eq(pixel(mixed, 4, i)[c], pixel(images, 4, i)[c]);
        }
}

Test(train_mixup, rectangles_change_places) {
    const fv_mix mix = {.cut = true, .lam = 0.9, .top = 2, .bottom = 5, .left = 0, .right = 4};

    make_images();
    fv_mix_images(&mix, N, H, W, mixed);
    for (int i = 0; i < H * W; i++) {
        const bool inside = i / W >= 2 && i / W < 5 && i % W < 4;
        for (int s = 0; s < 4; s++)
            cr_assert_eq(memcmp(pixel(mixed, s, i), pixel(images, inside ? s ^ 1 : s, i), 12), 0);
    }
}

Test(train_mixup, bits_do_not_depend_on_threads_or_on_cuts_between_pairs) {
    const fv_mix mix = {.lam = 0.3};
    float whole[N * H * W * 3];

    make_images();
    fv_threads_set(1);
    fv_mix_images(&mix, N, H, W, mixed);
    memcpy(whole, mixed, sizeof whole);
    memcpy(mixed, images, sizeof images);
    fv_threads_set(3);
    fv_mix_images(&mix, 2, H, W, mixed);
    fv_mix_images(&mix, 3, H, W, mixed + 2 * H * W * 3);
    cr_assert_eq(memcmp(whole, mixed, sizeof whole), 0);
}

Test(train_mixup, targets) {
    static const int32_t labels[] = {1, 3, 2, 2, 0};
    const fv_mix mix = {.lam = 0.7};
    float t[5 * 4];

    fv_mix_targets(&mix, 5, labels, 4, 0.2, t);
    cr_assert_float_eq(t[0 * 4 + 1], 0.05f + 0.8f * 0.7f, 1e-6f);
    cr_assert_float_eq(t[0 * 4 + 3], 0.05f + 0.8f * 0.3f, 1e-6f);
    cr_assert_float_eq(t[1 * 4 + 3], 0.05f + 0.8f * 0.7f, 1e-6f);
    cr_assert_float_eq(t[2 * 4 + 2], 0.85f, 1e-6f, "equal classes");
    cr_assert_float_eq(t[4 * 4 + 0], 0.85f, 1e-6f, "alone");
    for (int i = 0; i < 5; i++)
        cr_assert_float_eq(t[4 * i] + t[4 * i + 1] + t[4 * i + 2] + t[4 * i + 3], 1.0f, 1e-6f);
}
