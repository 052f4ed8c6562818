/* Attention through several layers: rows stay distributions, what is left out is said. */
#include "eval/saliency/attention_flow.h"
#include "tests/support/generator.h"
#include "tests/support/model_run.h"

#include <criterion/criterion.h>

#include <math.h>
#include <string.h>

static model_run run;

static void enter(void) { model_run_open(&run); }
static void leave(void) { model_run_close(&run); }

TestSuite(eval_attention_flow, .init = enter, .fini = leave);

static void create(const char *name, const char *attention) {
    fv_model_config config = {.name = name, .num_classes = 4};
    if (attention) config.attention = model_run_yaml(&run, "attention", attention);
    model_run_create(&run, &config);
    fv_generate_params(&run.model->params, "");
}

static void explain(const char *method, fv_explanation *out) {
    fv_saliency_choice choice;
    const fv_tensor x = model_run_pixels(&run, 0, 1);
    const fv_explain_request request = {.choice = &choice, .against = FV_AGAINST_NOTHING};

    cr_assert_eq(fv_saliency_parse(method, &run.arena, &choice), FV_OK, "%s", fv_error_message());
    cr_assert_eq(fv_explain(run.tape, run.model, x.data, 1, &request, out), FV_OK, "%s",
                 fv_error_message());
}

static fv_attention_flow flow_of_model(void) {
    fv_attention_record record;
    fv_attention_flow flow;

    fv_tape_clear_watches(run.tape);
    cr_assert_eq(fv_attention_watch(run.tape, FV_WATCH_VALUE), FV_OK);
    model_run_forward(&run, &(fv_step){.mode = FV_EXPLAIN, .chunk_samples = 1}, 1);
    cr_assert_eq(fv_attention_record_read(run.tape, &run.arena, &record), FV_OK, "%s",
                 fv_error_message());
    cr_assert_eq(fv_attention_flow_of(&record, &run.arena, &flow), FV_OK);
    return flow;
}

Test(eval_attention_flow, rows_of_a_rollout_add_up_to_one) {
    static const char *const mixers[] = {"{kind: mhsa}", "{kind: window, window: {size: 3}}",
                                         "{kind: halo}", "{kind: bra, bra: {regions: 3}}"};

    for (size_t m = 0; m < sizeof mixers / sizeof *mixers; m++) {
        create("mini_vit", mixers[m]);
        fv_attention_flow flow = flow_of_model();
        cr_assert_eq(flow.count, 2);
        cr_assert_eq(flow.n_channel + flow.n_other, 0);
        float *R = fv_arena_alloc(&run.arena, (size_t)(flow.T * flow.T), sizeof *R);
        cr_assert_not_null(R);
        for (int fuse = 0; fuse < 3; fuse++) {
            cr_assert_eq(fv_attention_rollout(&flow, 0, (fv_attention_fuse)fuse, 0.3, R), FV_OK);
            for (int64_t i = 0; i < flow.T; i++) {
                double sum = 0.0;
                for (int64_t j = 0; j < flow.T; j++) sum += (double)R[i * flow.T + j];
                cr_expect_float_eq(sum, 1.0, 1e-5, "%s row %d", mixers[m], (int)i);
            }
        }
    }
}

/* A pyramid: the layers of the last map alone, and never those between channels. */
Test(eval_attention_flow, pyramids_compose_within_a_map) {
    create("mini_davit", NULL);
    fv_attention_flow flow = flow_of_model();
    cr_expect_eq(flow.count, 1);
    cr_expect_eq(flow.n_channel, 4);
    cr_expect_eq(flow.n_other, 3);
    fv_explanation e;
    explain("rollout", &e);
    cr_expect_not_null(strstr(e.warning, "4 between channels, 3 on other maps"), "%s", e.warning);
    cr_expect_eq(e.grid_h, flow.H);
    fv_explanation_destroy(&e);

    create("mini_vit", NULL);
    explain("rollout", &e);
    cr_expect_str_eq(e.warning, "");
    cr_expect_eq(e.grid_h, 8);
    fv_explanation_destroy(&e);
}

Test(eval_attention_flow, nothing_to_compose_is_an_empty_map) {
    static const char *const methods[] = {"rollout", "gradient_rollout", "attention_gradcam",
                                          "attention_lrp"};
    fv_explanation e;

    create("mini_vit", "{kind: channel}");
    for (int i = 0; i < 4; i++) {
        explain(methods[i], &e);
        cr_expect_not_null(strstr(e.warning, "no attention between positions"), "%s", e.warning);
        for (int64_t k = 0; k < e.height * e.width; k++) cr_assert_eq(e.map[k], 0.0f);
        fv_explanation_destroy(&e);
    }
}

/* Of a class the attention maps with gradients tell something, the rollout nothing. */
Test(eval_attention_flow, gradients_depend_on_the_class) {
    static const char *const methods[] = {"rollout", "gradient_rollout", "attention_lrp"};
    fv_saliency_choice choice;
    fv_explanation a, b;
    const int64_t first = 0, second = 1;

    create("mini_vit", NULL);
    const fv_tensor x = model_run_pixels(&run, 0, 1);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(fv_saliency_parse(methods[i], &run.arena, &choice), FV_OK);
        fv_explain_request request = {
            .choice = &choice, .target = &first, .against = FV_AGAINST_NOTHING};
        cr_assert_eq(fv_explain(run.tape, run.model, x.data, 1, &request, &a), FV_OK);
        request.target = &second;
        cr_assert_eq(fv_explain(run.tape, run.model, x.data, 1, &request, &b), FV_OK);
        const size_t n = (size_t)(a.height * a.width) * sizeof(float);
        cr_expect_eq(memcmp(a.map, b.map, n) != 0, i > 0, "%s", methods[i]);
        fv_explanation_destroy(&a);
        fv_explanation_destroy(&b);
    }
}
