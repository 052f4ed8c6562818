/* Where heads look: uniform attention has closed forms, local attention its own reach. */
#include "eval/analysis/head_profile.h"
#include "tests/support/generator.h"
#include "tests/support/model_run.h"

#include <criterion/criterion.h>

#include <math.h>
#include <string.h>

#define SIDE 4

static model_run run;

static void enter(void) { model_run_open(&run); }
static void leave(void) { model_run_close(&run); }

TestSuite(eval_head_profile, .init = enter, .fini = leave);

/* The profile of head 0 of the first layer of a ViT with a grid of 4 x 4, all of whose logits are 0. */
static fv_head_profile uniform(const char *kwargs, const char *attention) {
    const fv_model_config config = {.name = "mini_vit",
                                    .num_classes = 4,
                                    .img_size = 16,
                                    .kwargs = model_run_yaml(&run, "kwargs", kwargs),
                                    .attention = model_run_yaml(&run, "attention", attention)};
    fv_attention_record record;
    fv_head_profile p;

    model_run_create(&run, &config);
    for (int64_t i = 0; i < run.model->params.count; i++) {
        fv_param *w = run.model->params.item[i];
        if (strncmp(w->name, "blocks.0.attn.", 14) == 0)
            memset(w->value, 0, (size_t)w->numel * sizeof *w->value);
    }
    fv_tape_clear_watches(run.tape);
    cr_assert_eq(fv_attention_watch(run.tape, FV_WATCH_VALUE), FV_OK);
    model_run_forward(&run, &(fv_step){.mode = FV_EXPLAIN, .chunk_samples = 1}, 1);
    cr_assert_eq(fv_attention_record_read(run.tape, &run.arena, &record), FV_OK, "%s",
                 fv_error_message());
    cr_assert_eq(fv_head_profile_init(&p, &record.item[0], &run.arena), FV_OK);
    fv_head_profile_of(&record.item[0], 0, 0, &p);
    return p;
}

#define TOKEN "{patch_size: 4, embed_dim: 16, num_heads: 2}"
#define POOL  "{patch_size: 4, embed_dim: 16, num_heads: 2, class_token: false, global_pool: avg}"

/* Mean size of ring k around a pixel of the map, and mean distance of two pixels. */
static double mean_ring(int k, double *distance) {
    double n = 0.0, sum = 0.0;

    for (int i = 0; i < SIDE * SIDE; i++)
        for (int j = 0; j < SIDE * SIDE; j++) {
            const int dy = abs(i / SIDE - j / SIDE), dx = abs(i % SIDE - j % SIDE);
            n += (dy > dx ? dy : dx) == k;
            sum += hypot(dy, dx);
        }
    *distance = sum / pow(SIDE, 4);
    return n / (SIDE * SIDE);
}

static void expect_uniform(const fv_head_profile *p, double N, bool prefix) {
    double distance = 0.0;

    cr_expect_float_eq(p->number[FV_HEAD_to_cls], prefix ? 1.0 / N : 0.0, 1e-6);
    cr_expect_float_eq(p->number[FV_HEAD_to_prefix], prefix ? 1.0 / N : 0.0, 1e-6);
    cr_expect_float_eq(p->number[FV_HEAD_self], 1.0 / N, 1e-6);
    cr_expect_float_eq(p->number[FV_HEAD_entropy], log(N), 1e-5);
    cr_expect_float_eq(p->number[FV_HEAD_sink], 1.0 / N, 1e-6);
    cr_assert_eq(p->n_rings, SIDE);
    for (int k = 0; k < SIDE; k++) {
        cr_expect_float_eq(p->ring_sum[k], mean_ring(k, &distance) / N, 1e-6);
        cr_expect_float_eq(p->ring_mean[k], 1.0 / N, 1e-6);
    }
    cr_expect_float_eq(p->number[FV_HEAD_distance], distance, 1e-5);
    for (int64_t i = 0; i < p->offset_h * p->offset_w; i++)
        cr_expect_float_eq(p->offset[i], 1.0 / N, 1e-6);
}

Test(eval_head_profile, uniform_attention_has_closed_forms) {
    fv_head_profile p = uniform(TOKEN, "{kind: mhsa}");
    expect_uniform(&p, 17.0, true);
    p = uniform(POOL, "{kind: mhsa}");
    expect_uniform(&p, 16.0, false);
    p = uniform(TOKEN, "{kind: bra, bra: {regions: 2, topk: 4}}");
    expect_uniform(&p, 17.0, true);
}

/* Windows of 2 x 2: a quarter each to the pixel itself and three neighbours, nothing further. */
Test(eval_head_profile, windows_reach_as_far_as_they_are) {
    const fv_head_profile p = uniform(POOL, "{kind: window, window: {size: 2}}");

    cr_expect_float_eq(p.ring_sum[0], 0.25, 1e-6);
    cr_expect_float_eq(p.ring_sum[1], 0.75, 1e-6);
    cr_expect_eq(p.ring_sum[2], 0.0);
    cr_expect_float_eq(p.number[FV_HEAD_entropy], log(4.0), 1e-6);
    cr_expect_float_eq(p.number[FV_HEAD_distance], (2.0 + sqrt(2.0)) / 4.0, 1e-6);
    /* to the right: of three columns with a right neighbour, two share a window with it */
    cr_expect_float_eq(p.offset[3 * 7 + 4], 0.25 * 2.0 / 3.0, 1e-6);
    cr_expect_eq(p.offset[3 * 7 + 5], 0.0);
}

/* Windows of 4 x 4 around blocks of 2 x 2: at the edge, keys outside of the map keep their share. */
Test(eval_head_profile, halos_lose_what_lies_outside) {
    const fv_head_profile p = uniform(POOL, "{kind: halo, halo: {block: 2, halo: 1}}");
    double on_map = 0.0;

    for (int k = 0; k < SIDE; k++) on_map += p.ring_sum[k];
    cr_expect_float_eq(on_map, 9.0 / 16.0, 1e-6, "3 x 3 of the 4 x 4 keys of each block");
    cr_expect_float_eq(p.number[FV_HEAD_self], 1.0 / 16.0, 1e-6);
    cr_expect_float_eq(p.number[FV_HEAD_entropy], log(16.0), 1e-5);
}
