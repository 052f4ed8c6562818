/* Relevance: every op accounts for all of it in both kinds, and single rules give the published
 * numbers (Bach et al. 2015; Achtibat et al. 2024). */
#include "core/op.h"
#include "tests/support/approx.h"
#include "tests/support/op_run.h"

#include <criterion/criterion.h>

#include <math.h>
#include <string.h>

#define SAMPLES 3

static const fv_rule gi = {.kind = FV_SIGNAL_GI};
static const fv_rule gi_constant = {.kind = FV_SIGNAL_GI, .constant_attention = true};
static const fv_rule r_eps = {.kind = FV_SIGNAL_R, .epsilon = 1e-6f};
static const fv_rule r_large = {.kind = FV_SIGNAL_R, .epsilon = 0.25f};
static const fv_rule r_constant = {
    .kind = FV_SIGNAL_R, .epsilon = 0.25f, .constant_attention = true};

static op_data data;

static void leave(void) {
    op_data_destroy(&data);
    fv_scratch_release();
}

TestSuite(core_relevance, .fini = leave);

static const op_case *find(const char *op) {
    const op_case *c;
    for (int k = 0; (c = op_case_at(k)); k++)
        if (strcmp(c->op, op) == 0) return c;
    return NULL;
}

static op_relevance run(const op_case *c, const fv_rule *rule) {
    op_relevance out;
    op_data_destroy(&data);
    cr_assert_eq(op_data_create(c, SAMPLES, false, &data), FV_OK, "%s", fv_error_message());
    cr_assert_eq(op_run_relevance(&data, rule, &out), FV_OK, "%s %s: %s", c->op, c->variant,
                 fv_error_message());
    return out;
}

/* Relevance of sample b at y, and its magnitude; the start signal is dy. */
static double start_sum(const op_relevance *r, const fv_rule *rule, int64_t b, double *magnitude) {
    const int64_t n = data.n_y / SAMPLES;
    double sum = 0.0;

    *magnitude = 0.0;
    for (int64_t i = b * n; i < (b + 1) * n; i++) {
        const double g = (double)data.dy[i];
        const double v = rule->kind == FV_SIGNAL_R ? g : g * (double)r->y[i];
        sum += v;
        *magnitude += fabs(v);
    }
    return sum;
}

/* Leaves publish R whatever the kind. */
static double input_sum(const op_relevance *r, int64_t b, double *magnitude) {
    double sum = 0.0;

    for (int k = 0; k < data.c->n_in; k++) {
        const int64_t n = data.numel[k] / SAMPLES;
        for (int64_t i = b * n; r->rx[k] && i < (b + 1) * n; i++) {
            sum += (double)r->rx[k][i];
            *magnitude += fabs((double)r->rx[k][i]);
        }
    }
    return sum;
}

static void expect_conserved(const op_case *c, const fv_rule *rule, const char *what) {
    const op_relevance r = run(c, rule);

    for (int64_t b = 0; b < SAMPLES; b++) {
        const fv_op_error *worst = &r.ledger.worst[b];
        cr_expect_leq(worst->error, 1e-5, "%s %s, %s, sample %d: %g at %s", c->op, c->variant, what,
                      (int)b, worst->error, worst->op ? worst->op : "?");
        double magnitude, rest = start_sum(&r, rule, b, &magnitude);
        rest -= input_sum(&r, b, &magnitude);
        for (int s = 0; s < FV_SINK_COUNT; s++) rest -= r.ledger.sink[s][b];
        cr_expect_leq(fabs(rest), 1e-5 * magnitude, "%s %s, %s, sample %d: %g of %g", c->op,
                      c->variant, what, (int)b, rest, magnitude);
    }
}

Test(core_relevance, every_op_accounts_for_all_of_it) {
    const op_case *c;
    for (int k = 0; (c = op_case_at(k)); k++) {
        if (op_case_op(c)->constant) continue;
        expect_conserved(c, &gi, "GI");
        expect_conserved(c, &gi_constant, "GI, constant attention");
        expect_conserved(c, &r_eps, "R, eps 1e-6");
        expect_conserved(c, &r_large, "R, eps 0.25");
        expect_conserved(c, &r_constant, "R, constant attention");
    }
}

static double *new_values(int64_t n) {
    double *v = fv_arena_calloc(&data.arena, (size_t)n, sizeof *v);
    cr_assert_not_null(v);
    return v;
}

static void expect_values(const op_relevance *r, int k, const double *want, const char *what) {
    const double error = approx_error(data.numel[k], r->rx[k], want);
    cr_expect_leq(error, 1e-5, "%s, input %d: error %g", what, k, error);
}

/* ---- rules of affine ops and options ---- */

#define R_FORM .kind = FV_SIGNAL_R, .epsilon = 1e-6f

static const float low[3] = {-4.0f, -4.5f, -5.0f}, high[3] = {4.0f, 5.0f, 6.0f};

static const struct {
    const char *name;
    fv_rule rule;
} affine_rules[] = {
    {"z+", {R_FORM, .affine = FV_AFFINE_ZPLUS}},
    {"alpha 2 beta 1", {R_FORM, .affine = FV_AFFINE_ALPHA_BETA, .alpha = 2.0f, .beta = 1.0f}},
    {"gamma", {R_FORM, .affine = FV_AFFINE_GAMMA, .gamma = 0.25f}},
    {"w^2", {R_FORM, .affine = FV_AFFINE_WSQUARE}},
    {"flat", {R_FORM, .affine = FV_AFFINE_FLAT}},
    {"box", {R_FORM, .affine = FV_AFFINE_BOX, .low = low, .high = high}},
    {"z+, clipped",
     {.kind = FV_SIGNAL_R, .epsilon = 0.1f, .affine = FV_AFFINE_ZPLUS, .stabiliser = FV_STAB_CLIP}},
    {"z+ without biases", {R_FORM, .affine = FV_AFFINE_ZPLUS, .zero_bias = true}},
    {"flat, norm-scaled",
     {.kind = FV_SIGNAL_R, .epsilon = 0.1f, .affine = FV_AFFINE_FLAT, .stabiliser = FV_STAB_NORM}},
};

static bool is_affine(const op_case *c) { return op_case_op(c)->relevance == fv_relevance_affine; }

Test(core_relevance, every_affine_rule_accounts_for_all_of_it) {
    const op_case *c;
    int n = 0;
    for (int k = 0; (c = op_case_at(k)); k++) {
        const int64_t columns = c->in[0].dim[c->in[0].rank - 1];
        if (!is_affine(c)) continue;
        for (size_t i = 0; i < sizeof affine_rules / sizeof *affine_rules; i++) {
            if (affine_rules[i].rule.affine == FV_AFFINE_BOX && columns % 3) continue;
            expect_conserved(c, &affine_rules[i].rule, affine_rules[i].name);
            n++;
        }
    }
    cr_expect_gt(n, 50);
}

Test(core_relevance, every_option_accounts_for_all_of_it) {
    static const struct {
        const char *name;
        fv_rule rule;
    } options[] = {
        {"clipped", {.kind = FV_SIGNAL_R, .epsilon = 0.25f, .stabiliser = FV_STAB_CLIP}},
        {"norm-scaled", {.kind = FV_SIGNAL_R, .epsilon = 0.25f, .stabiliser = FV_STAB_NORM}},
        {"without biases", {.kind = FV_SIGNAL_R, .epsilon = 0.25f, .zero_bias = true}},
        {"norms pass", {.kind = FV_SIGNAL_R, .epsilon = 0.25f, .identity_norm = true}},
        {"softmax passes", {.kind = FV_SIGNAL_R, .epsilon = 0.25f, .identity_softmax = true}},
        {"summands rescaled", {.kind = FV_SIGNAL_R, .epsilon = 0.25f, .normalised_add = true}},
        {"gates take half, R", {.kind = FV_SIGNAL_R, .epsilon = 0.25f, .uniform_gate = true}},
        {"gates take half, GI", {.kind = FV_SIGNAL_GI, .uniform_gate = true}},
        {"pools divide", {.kind = FV_SIGNAL_R, .epsilon = 0.25f, .divide_max = true}},
    };
    const op_case *c;
    for (int k = 0; (c = op_case_at(k)); k++) {
        if (op_case_op(c)->constant) continue;
        for (size_t i = 0; i < sizeof options / sizeof *options; i++)
            expect_conserved(c, &options[i].rule, options[i].name);
    }
}

/* Largest difference between what two rules give to input k, relative to the larger. */
static double difference(const op_case *c, int k, const fv_rule *a, const fv_rule *b) {
    const op_relevance first = run(c, a);
    double *kept = new_values(data.numel[k]);
    double worst = 0.0, largest = 0.0;

    for (int64_t i = 0; i < data.numel[k]; i++) kept[i] = (double)first.rx[k][i];
    op_relevance second;
    cr_assert_eq(op_run_relevance(&data, b, &second), FV_OK, "%s", fv_error_message());
    for (int64_t i = 0; i < data.numel[k]; i++) {
        worst = fmax(worst, fabs(kept[i] - (double)second.rx[k][i]));
        largest = fmax(largest, fabs(kept[i]));
    }
    return worst / largest;
}

Test(core_relevance, affine_rules_meet_at_their_limits) {
    const fv_rule zplus = {R_FORM, .affine = FV_AFFINE_ZPLUS};
    const fv_rule alpha1 = {R_FORM, .affine = FV_AFFINE_ALPHA_BETA, .alpha = 1.0f, .beta = 0.0f};
    const fv_rule gamma0 = {
        .kind = FV_SIGNAL_R, .epsilon = 0.25f, .affine = FV_AFFINE_GAMMA, .gamma = 0.0f};
    static const char *const ops[] = {"linear", "conv2d"};

    for (int i = 0; i < 2; i++) {
        const op_case *c = find(ops[i]);
        cr_expect_eq(difference(c, 0, &zplus, &alpha1), 0.0);
        cr_expect_leq(difference(c, 0, &gamma0, &r_large), 1e-5);
    }
}

/* Rows with a positive output, started from alone. */
Test(core_relevance, gamma_tends_to_zplus_on_positive_outputs) {
    const fv_rule zplus = {R_FORM, .affine = FV_AFFINE_ZPLUS};
    const fv_rule large = {R_FORM, .affine = FV_AFFINE_GAMMA, .gamma = 1e6f};
    op_relevance r = run(find("linear"), &zplus);
    op_relevance a, b;

    for (int64_t i = 0; i < data.n_y; i++)
        if (r.y[i] <= 0.0f) data.dy[i] = 0.0f;
    cr_assert_eq(op_run_relevance(&data, &zplus, &a), FV_OK);
    cr_assert_eq(op_run_relevance(&data, &large, &b), FV_OK);
    double *want = new_values(data.numel[0]);
    for (int64_t i = 0; i < data.numel[0]; i++) want[i] = (double)a.rx[0][i];
    expect_values(&b, 0, want, "gamma 1e6");
}

/* For epsilon -> 0 relevance g y at the output becomes what the gradient form reads off. */
Test(core_relevance, epsilon_tends_to_the_gradient_form) {
    const fv_rule tiny = {.kind = FV_SIGNAL_R, .epsilon = 1e-20f};
    const op_case *c;

    for (int k = 0; (c = op_case_at(k)); k++) {
        if (op_case_op(c)->constant) continue;
        const op_relevance first = run(c, &gi);
        op_relevance second;
        for (int64_t i = 0; i < data.n_y; i++) data.dy[i] *= first.y[i];
        cr_assert_eq(op_run_relevance(&data, &tiny, &second), FV_OK, "%s", fv_error_message());
        for (int i = 0; i < c->n_in; i++) {
            double worst = 0.0, largest = 0.0;
            for (int64_t e = 0; first.rx[i] && e < data.numel[i]; e++) {
                worst = fmax(worst, fabs((double)first.rx[i][e] - (double)second.rx[i][e]));
                largest = fmax(largest, fabs((double)first.rx[i][e]));
            }
            cr_expect_leq(worst, 1e-4 * largest, "%s %s, input %d: %g of %g", c->op, c->variant, i,
                          worst, largest);
        }
    }
}

Test(core_relevance, the_box_rule_needs_its_box) {
    const fv_rule box = {R_FORM, .affine = FV_AFFINE_BOX};
    op_relevance out;

    cr_assert_eq(op_data_create(find("linear"), SAMPLES, false, &data), FV_OK);
    cr_expect_eq(op_run_relevance(&data, &box, &out), FV_ERR_CONFIG);
    op_data_destroy(&data);
}

/* Nothing of a choice reaches what it was made from. */
Test(core_relevance, choices_take_none) {
    const op_case *c;
    int n = 0;
    for (int k = 0; (c = op_case_at(k)); k++) {
        op_relevance out;
        if (!op_case_op(c)->constant) continue;
        n++;
        cr_assert_eq(op_data_create(c, SAMPLES, false, &data), FV_OK, "%s", fv_error_message());
        cr_expect_eq(op_run_relevance(&data, &(fv_rule){.kind = FV_SIGNAL_GI}, &out),
                     FV_ERR_INTERNAL);
        cr_expect_str_eq(fv_error_message(), "relevance needs an input that wants it");
        op_data_destroy(&data);
    }
    cr_expect_gt(n, 0);
}

/* ---- single rules, with a stabiliser large enough to be seen ---- */

static double stab(double z) { return z + (z >= 0.0 ? 0.25 : -0.25); }

static void expect_sink(const op_relevance *r, fv_sink sink, int64_t b, double want) {
    const double got = r->ledger.sink[sink][b];
    cr_expect_leq(fabs(got - want), 1e-5 * (1.0 + fabs(want)), "%s of sample %d: %g, not %g",
                  fv_sink_names[sink], (int)b, got, want);
}

Test(core_relevance, linear_divides_by_contribution) {
    const op_relevance r = run(find("linear"), &r_large);
    const int64_t I = 20, O = 24, rows = 3 * SAMPLES;
    double *want = new_values(rows * I), *y = op_data_oracle(&data);
    double bias[SAMPLES] = {0}, eps[SAMPLES] = {0};

    for (int64_t n = 0; n < rows; n++)
        for (int64_t o = 0; o < O; o++) {
            const double z = y[n * O + o], s = (double)data.dy[n * O + o] / stab(z);
            bias[n / 3] += s * data.in64[2][o];
            eps[n / 3] += s * (stab(z) - z);
            for (int64_t i = 0; i < I; i++)
                want[n * I + i] += data.in64[0][n * I + i] * data.in64[1][o * I + i] * s;
        }
    expect_values(&r, 0, want, "linear");
    for (int64_t b = 0; b < SAMPLES; b++) {
        expect_sink(&r, FV_SINK_BIAS, b, bias[b]);
        expect_sink(&r, FV_SINK_EPS, b, eps[b]);
    }
}

Test(core_relevance, linear_without_bias_is_weight_times_input) {
    const op_case *c = find("linear") + 1;
    const op_relevance r = run(c, &gi);
    double *want = new_values(data.numel[0]);

    cr_assert_eq(c->n_in, 2);
    for (int64_t n = 0; n < 4 * SAMPLES; n++)
        for (int64_t o = 0; o < 8; o++)
            for (int64_t i = 0; i < 12; i++)
                want[n * 12 + i] += data.in64[0][n * 12 + i] * data.in64[1][o * 12 + i] *
                                    (double)data.dy[n * 8 + o];
    expect_values(&r, 0, want, "linear without bias");
    for (int s = 0; s < FV_SINK_COUNT; s++)
        for (int64_t b = 0; b < SAMPLES; b++) expect_sink(&r, (fv_sink)s, b, 0.0);
}

Test(core_relevance, gelu_passes_relevance) {
    const op_case *c = find("gelu");
    for (int is_gi = 0; is_gi < 2; is_gi++) {
        const op_relevance r = run(c, is_gi ? &gi : &r_eps);
        double *want = new_values(data.numel[0]), *y = op_data_oracle(&data);
        for (int64_t i = 0; i < data.numel[0]; i++)
            want[i] = (double)data.dy[i] * (is_gi ? y[i] : 1.0);
        expect_values(&r, 0, want, is_gi ? "GI" : "R");
    }
}

/* y with the mean live and rstd constant: R_x = x rstd (gamma s - mean(gamma s)), s = R / (y +- eps) */
static void norm_rule(const fv_rule *rule, const double *y, double *want, double *ln_beta) {
    const int64_t n = 6;

    for (int64_t row = 0; row < 40 * SAMPLES; row++) {
        const double *x = data.in64[0] + row * n, *gamma = data.in64[1];
        double mean = 0.0, var = 0.0, mean_s = 0.0, s[6];
        for (int64_t i = 0; i < n; i++) mean += x[i] / (double)n;
        for (int64_t i = 0; i < n; i++) var += (x[i] - mean) * (x[i] - mean) / (double)n;
        for (int64_t i = 0; i < n; i++) {
            s[i] = (double)data.dy[row * n + i];
            if (rule->kind == FV_SIGNAL_R) s[i] /= stab(y[row * n + i]);
            mean_s += gamma[i] * s[i] / (double)n;
            ln_beta[row / 40] += data.in64[2][i] * s[i];
        }
        for (int64_t i = 0; i < n; i++)
            want[row * n + i] = x[i] * (gamma[i] * s[i] - mean_s) / sqrt(var + 1e-5);
    }
}

Test(core_relevance, layernorm_freezes_its_scale) {
    const fv_rule *rules[] = {&gi, &r_large};
    for (int k = 0; k < 2; k++) {
        const op_relevance r = run(find("layernorm"), rules[k]);
        double *want = new_values(data.numel[0]), ln_beta[SAMPLES] = {0};
        norm_rule(rules[k], op_data_oracle(&data), want, ln_beta);
        expect_values(&r, 0, want, k ? "R" : "GI");
        for (int64_t b = 0; b < SAMPLES; b++) expect_sink(&r, FV_SINK_LN_BETA, b, ln_beta[b]);
    }
}

/* a [2S,4,5] x b [2S,5,3]: share_a and share_b of each product to its factors. */
static void product_rule(const fv_rule *rule, double share_a, double share_b, const double *y,
                         double *want_a, double *want_b) {
    const double *a = data.in64[0], *b = data.in64[1];

    for (int64_t i = 0; i < 2 * SAMPLES; i++)
        for (int64_t n = 0; n < 4; n++)
            for (int64_t m = 0; m < 3; m++) {
                const int64_t o = (i * 4 + n) * 3 + m;
                const double live = (share_a > 0.0) + (share_b > 0.0);
                double s = (double)data.dy[o];
                if (rule->kind == FV_SIGNAL_R) s *= live / stab(live * y[o]);
                for (int64_t k = 0; k < 5; k++) {
                    const double part = a[(i * 4 + n) * 5 + k] * b[(i * 5 + k) * 3 + m] * s;
                    want_a[(i * 4 + n) * 5 + k] += share_a * part;
                    want_b[(i * 5 + k) * 3 + m] += share_b * part;
                }
            }
}

/* x [B,5,3C], C = 8: with a constant matrix of attention only the queries it mixes are relevant. */
Test(core_relevance, constant_channel_attention_leaves_all_to_the_queries) {
    const fv_rule *rules[] = {&gi_constant, &r_constant};
    for (int k = 0; k < 2; k++) {
        const op_relevance r = run(find("channel_attention"), rules[k]);
        double queries = 0.0;
        for (int64_t i = 0; i < data.numel[0]; i++) {
            if (i % 24 >= 8) cr_expect_eq(r.rx[0][i], 0.0f, "rule %d, element %d", k, (int)i);
            if (i % 24 < 8) queries += fabs((double)r.rx[0][i]);
        }
        cr_expect_gt(queries, 0.1);
    }
}

Test(core_relevance, products_share_between_live_factors) {
    const fv_rule *rules[] = {&gi, &r_large, &gi_constant, &r_constant};
    for (int k = 0; k < 4; k++) {
        const op_relevance r = run(find("matmul"), rules[k]);
        double *want_a = new_values(data.numel[0]), *want_b = new_values(data.numel[1]);
        const bool constant = rules[k]->constant_attention;
        product_rule(rules[k], constant ? 0.0 : 0.5, constant ? 1.0 : 0.5, op_data_oracle(&data),
                     want_a, want_b);
        expect_values(&r, 0, want_a, constant ? "constant attention" : "half each");
        expect_values(&r, 1, want_b, constant ? "constant attention" : "half each");
    }
}

/* R_x,i = x_i (R_i - s_i sum R) in both kinds, R = g y in GI. */
Test(core_relevance, softmax_follows_its_taylor_rule) {
    const fv_rule *rules[] = {&gi, &r_eps};
    for (int k = 0; k < 2; k++) {
        const op_relevance r = run(find("softmax"), rules[k]);
        double *want = new_values(data.numel[0]), *y = op_data_oracle(&data);
        for (int64_t row = 0; row < data.numel[0] / 7; row++) {
            double sum = 0.0, R[7];
            for (int64_t i = 0; i < 7; i++) {
                R[i] = (double)data.dy[row * 7 + i] * (k == 0 ? y[row * 7 + i] : 1.0);
                sum += R[i];
            }
            for (int64_t i = 0; i < 7; i++)
                want[row * 7 + i] = data.in64[0][row * 7 + i] * (R[i] - y[row * 7 + i] * sum);
        }
        expect_values(&r, 0, want, k ? "R" : "GI");
    }
}

Test(core_relevance, constants_keep_their_share) {
    op_relevance r = run(find("add_pos"), &r_large);
    double *y = op_data_oracle(&data);
    for (int64_t b = 0; b < SAMPLES; b++) {
        double pos = 0.0;
        for (int64_t i = 0; i < 15; i++)
            pos += data.in64[1][i] * (double)data.dy[b * 15 + i] / stab(y[b * 15 + i]);
        expect_sink(&r, FV_SINK_POS_EMBED, b, pos);
    }
    r = run(find("prepend_token"), &gi);
    for (int64_t b = 0; b < SAMPLES; b++) {
        double cls = 0.0;
        for (int64_t c = 0; c < 5; c++) cls += data.in64[1][c] * (double)data.dy[b * 20 + c];
        expect_sink(&r, FV_SINK_CLS, b, cls);
    }
    r = run(find("cross_entropy"), &r_eps);
    for (int64_t b = 0; b < SAMPLES; b++) expect_sink(&r, FV_SINK_DROP, b, (double)data.dy[b]);
}

/* ---- values that are not finite ---- */

typedef fv_var *build_fn(fv_var *a, fv_var *b);

static void pick(const fv_var *y, void *rule, fv_rule *out) {
    (void)y;
    *out = *(const fv_rule *)rule;
}

/* Relevance of build(a, b), all ones at its output, a and b [1,4]; the kind is the rule's. */
static op_relevance walk(build_fn *build, float a[4], float b[4], const fv_rule *rule) {
    const fv_shape shape = fv_shape_of(2, (int64_t)1, (int64_t)4);
    const float start[4] = {1.0f, 1.0f, 1.0f, 1.0f};
    op_relevance out = {.y = NULL};
    fv_tape *tape;

    op_data_destroy(&data);
    cr_assert_eq(fv_ledger_init(&out.ledger, 1, &data.arena), FV_OK);
    cr_assert_eq(fv_tape_create(&tape), FV_OK);
    fv_tape_begin(tape, &(fv_step){.mode = FV_EXPLAIN});
    fv_var *va = fv_input(tape, &(fv_tensor){a, FV_F32, shape}, true);
    fv_var *vb = fv_input(tape, &(fv_tensor){b, FV_F32, shape}, true);
    fv_var *y = build(va, vb);
    cr_assert_eq(fv_tape_relevance(tape, y, start, (int)rule->kind, pick, (void *)(uintptr_t)rule,
                                   &out.ledger),
                 FV_OK, "%s", fv_error_message());
    const fv_var *from[] = {va, vb};
    for (int k = 0; k < 2; k++) {
        out.rx[k] = fv_arena_alloc(&data.arena, 4, sizeof(float));
        cr_assert_not_null(out.rx[k]);
        memcpy(out.rx[k], from[k]->relevance.data, 4 * sizeof(float));
    }
    fv_tape_destroy(tape);
    return out;
}

static fv_var *add_softmax(fv_var *a, fv_var *b) {
    return fv_add(fv_softmax(fv_scale(a, 1.0f)), b);
}

static fv_var *softmax_masked(fv_var *a, fv_var *mask) { return fv_softmax(fv_add(a, mask)); }

/* A masked logit counts as 0 (0 times infinity is no relevance). */
Test(core_relevance, masked_logits_take_nothing) {
    float a[4] = {0.5f, -INFINITY, 1.5f, -1.0f}, b[4] = {0.1f, 0.2f, 0.3f, 0.4f};
    float part[4] = {0.5f, 0.25f, 1.5f, -1.0f}, mask[4] = {0.0f, -INFINITY, 0.0f, 0.0f};
    const fv_rule *rules[] = {&gi, &r_eps};
    for (int k = 0; k < 4; k++) {
        const op_relevance r = k < 2 ? walk(add_softmax, a, b, rules[k])
                                     : walk(softmax_masked, part, mask, rules[k - 2]);
        cr_expect_leq(r.ledger.worst[0].error, 1e-5, "%g", r.ledger.worst[0].error);
        for (int i = 0; i < 4; i++) cr_expect(isfinite(r.rx[0][i]), "%s %d", k % 2 ? "R" : "GI", i);
        cr_expect_eq(r.rx[0][1], 0.0f);
    }
}

static fv_var *add_scaled(fv_var *a, fv_var *b) {
    fv_var *early = fv_scale(a, 2.0f);
    return fv_add(early, fv_scale(b, 2.0f));
}

/* The op that breaks is not the last one that is looked at. */
Test(core_relevance, a_broken_account_is_not_forgotten) {
    float a[4] = {1.0f, 2.0f, 3.0f, 4.0f}, b[4] = {1.0f, NAN, 1.0f, 1.0f};
    const op_relevance r = walk(add_scaled, a, b, &gi);

    cr_expect(isnan(r.ledger.worst[0].error), "%g", r.ledger.worst[0].error);
    cr_expect_str_eq(r.ledger.worst[0].op, "add");
}
