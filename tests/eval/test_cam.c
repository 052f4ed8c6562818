/* Class activation maps of a linear model at its input: activations are the pixels, gradients the
 * weights. */
#include "tests/support/linear_model.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

enum { H = 5, W = 4, N = H * W };

static linear_model m;

static void setup(void) { linear_model_open(&m, 2, H, W, 3); }
static void teardown(void) { linear_model_close(&m); }

TestSuite(eval_cam, .init = setup, .fini = teardown);

static void expect_map(const char *method, double (*value)(const float *x, const float *w, int u)) {
    fv_explanation e[2];

    linear_model_explain(&m, method, 1, e);
    for (int b = 0; b < 2; b++) {
        cr_expect_eq(e[b].grid_h, H);
        cr_expect_eq(e[b].grid_w, W);
        for (int u = 0; u < N; u++) {
            const double v = value(linear_model_image(&m, b), linear_model_weight(&m, 1), u);
            cr_expect_float_eq(e[b].grid[u], v, 1e-5, "%s", method);
            cr_expect_eq(e[b].map[u], e[b].grid[u], "%s", method);
        }
        cr_expect_str_eq(e[b].warning, "");
        fv_explanation_destroy(&e[b]);
    }
}

static double product(const float *x, const float *w, int u) {
    double sum = 0.0;
    for (int c = 3 * u; c < 3 * u + 3; c++) sum += (double)x[c] * (double)w[c];
    return sum;
}

static double with_mean_gradient(const float *x, const float *w, int u) {
    double sum = 0.0;
    for (int c = 0; c < 3; c++) {
        double mean = 0.0;
        for (int v = 0; v < N; v++) mean += (double)w[3 * v + c] / N;
        sum += mean * (double)x[3 * u + c];
    }
    return fmax(sum, 0.0);
}

static double with_positive_gradient(const float *x, const float *w, int u) {
    double sum = 0.0;
    for (int c = 3 * u; c < 3 * u + 3; c++) sum += (double)x[c] * fmax((double)w[c], 0.0);
    return fmax(sum, 0.0);
}

Test(eval_cam, hirescam_is_activation_times_gradient) { expect_map("hirescam", product); }

Test(eval_cam, gradcam_has_the_mean_gradient) { expect_map("gradcam", with_mean_gradient); }

Test(eval_cam, layercam_has_the_positive_gradients) {
    expect_map("layercam:layer=input", with_positive_gradient);
}

Test(eval_cam, more_than_one_layer_is_refused) {
    fv_explanation e[2];
    static const char *const methods[] = {"gradcam:layer=input+input", "hirescam:layer=input+input",
                                          "layercam:layer=input+input"};

    for (int i = 0; i < 3; i++) {
        cr_expect_eq(linear_model_try(&m, methods[i], 1, e), FV_ERR_CONFIG, "%s", methods[i]);
        cr_expect_not_null(strstr(fv_error_message(), "one layer, not at 2"), "%s",
                           fv_error_message());
    }
}

/* Positive pixels and negative weights: nothing speaks for the class, and that is an answer. */
Test(eval_cam, a_map_of_zeros_says_why) {
    fv_explanation e[2];

    for (int i = 0; i < 2 * 3 * N; i++) m.pixels[i] = fabsf(m.pixels[i]) + 0.1f;
    for (int i = 0; i < 3 * 3 * N; i++) m.weight[i] = -fabsf(m.weight[i]) - 0.1f;
    for (int zero = 0; zero < 2; zero++) {
        linear_model_explain(&m, "gradcam", 1, e);
        for (int b = 0; b < 2; b++) {
            for (int u = 0; u < N; u++) cr_expect_eq(e[b].map[u], 0.0f);
            cr_expect_not_null(strstr(e[b].warning, zero ? "does not depend on input"
                                                         : "nothing at input speaks for the class"),
                               "%s", e[b].warning);
            fv_explanation_destroy(&e[b]);
        }
        memset(m.weight, 0, 3 * 3 * N * sizeof *m.weight);
    }
}
