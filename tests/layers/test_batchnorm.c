#include "layers/batchnorm.h"

#include "core/alloc.h"
#include "core/parallel.h"

#include <criterion/criterion.h>

#include <string.h>

static fv_arena arena;
static fv_params params;
static fv_tape *tape;

static void enter(void) {
    params.arena = &arena;
    cr_assert_eq(fv_tape_create(&tape), FV_OK);
}

static void leave(void) {
    fv_tape_destroy(tape);
    fv_params_destroy(&params);
    fv_arena_destroy(&arena);
    fv_scratch_release();
}

TestSuite(layers_batchnorm, .init = enter, .fini = leave);

Test(layers_batchnorm, declares_timms_names_in_order) {
    static const char *const names[] = {"bn.weight", "bn.bias", "bn.running_mean", "bn.running_var",
                                        "bn.num_batches_tracked"};
    fv_batchnorm_layer m;

    cr_assert_eq(fv_batchnorm_layer_init(&m, (fv_scope){&params, "bn"}, 3), FV_OK);
    cr_assert_eq(params.count, 5);
    for (int i = 0; i < 5; i++) {
        cr_expect_str_eq(params.item[i]->name, names[i]);
        cr_expect_eq(params.item[i]->trainable, i < 2);
        cr_expect_eq(params.item[i]->numel, i < 4 ? 3 : 1);
    }
    cr_expect_eq(params.item[4]->flags, FV_PARAM_I64);
}

/* Training steps move the running statistics that inference then uses. */
Test(layers_batchnorm, learns_the_statistics_it_infers_with) {
    float x[4] = {5.0f, 7.0f, 5.0f, 7.0f}; /* mean 6, unbiased variance 4/3 */
    const fv_tensor t = {x, FV_F32, fv_shape_of(2, (int64_t)4, (int64_t)1)};
    fv_batchnorm_layer m;

    cr_assert_eq(fv_batchnorm_layer_init(&m, (fv_scope){&params, "bn"}, 1), FV_OK);
    cr_assert_eq(fv_params_alloc(&params, (fv_params_alloc_options){.grad = true}), FV_OK);
    fv_params_init(&params, 1);
    for (uint32_t i = 0; i < 200; i++) {
        fv_tape_begin(tape, &(fv_step){.mode = FV_TRAIN, .index = i});
        const fv_var *y = fv_keep(fv_batchnorm_layer_forward(&m, fv_input(tape, &t, false)));
        cr_assert_eq(fv_tape_status(tape), FV_OK, "%s", fv_error_message());
        cr_expect_float_eq(((const float *)y->data)[1], 1.0f, 1e-4f);
        fv_tape_commit(tape);
    }
    fv_tape_begin(tape, &(fv_step){.mode = FV_INFER});
    const fv_var *y = fv_keep(fv_batchnorm_layer_forward(&m, fv_input(tape, &t, false)));
    cr_assert_eq(fv_tape_status(tape), FV_OK, "%s", fv_error_message());
    cr_expect_float_eq(((const float *)y->data)[1], 0.8660225f, 1e-4f); /* 1 / sqrt(4/3) */
    cr_expect_eq(m.stats.batches->value[0], 200.0f);
}
