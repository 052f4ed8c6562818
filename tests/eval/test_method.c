/* Method texts: what they say, and what is refused. */
#include "eval/saliency/method.h"

#include <criterion/criterion.h>
#include <string.h>

static fv_arena arena;

static void teardown(void) { fv_arena_destroy(&arena); }

TestSuite(eval_method, .fini = teardown);

static fv_saliency_choice parse(const char *text) {
    fv_saliency_choice choice;
    cr_assert_eq(fv_saliency_parse(text, &arena, &choice), FV_OK, "%s", fv_error_message());
    return choice;
}

static void expect_refused(const char *text, const char *message) {
    fv_saliency_choice choice;
    cr_expect_eq(fv_saliency_parse(text, &arena, &choice), FV_ERR_CONFIG, "%s", text);
    cr_expect_not_null(strstr(fv_error_message(), message), "%s: %s", text, fv_error_message());
}

Test(eval_method, a_name_alone_has_the_defaults) {
    const fv_saliency_choice c = parse("lrp");
    cr_expect_str_eq(c.text, "lrp");
    cr_expect_str_eq(c.method->name, "lrp");
    cr_expect_str_eq(c.variant, c.method->variants[0]);
    cr_expect_null(c.layer);
}

Test(eval_method, variants_are_taken) { cr_expect_str_eq(parse("lrp:cplrp").variant, "cplrp"); }

Test(eval_method, what_is_unknown_is_named) {
    expect_refused("lpr", "did you mean 'lrp'");
    expect_refused("", "unknown method");
    expect_refused("lrp:cplpr", "did you mean 'cplrp'");
    expect_refused("gradient_x_input:x", "no variant 'x'");
    expect_refused("gradient_x_input:steps=3", "no parameter 'steps'");
    expect_refused("gradient_x_input:layer=blocks.0", "does not look at a layer");
    expect_refused("lrp:cplrp:epsilon", "two variants");
}

Test(eval_method, lists_refuse_what_is_there_twice_and_too_many) {
    fv_saliency_choice c[2];
    int n;

    cr_expect_eq(fv_saliency_parse_list("lrp, gradient_x_input", &arena, 2, c, &n), FV_OK);
    cr_expect_eq(n, 2);
    cr_expect_eq(fv_saliency_parse_list("lrp,lrp", &arena, 2, c, &n), FV_ERR_CONFIG);
    cr_expect_eq(fv_saliency_parse_list("lrp,lrp:cplrp,gradient_x_input", &arena, 2, c, &n),
                 FV_ERR_CONFIG);
    cr_expect_eq(fv_saliency_parse_list(" ,", &arena, 2, c, &n), FV_ERR_CONFIG);
}

/* Defaults lie in their ranges, and tables end where they may. */
Test(eval_method, every_parameter_is_well_formed) {
    for (int i = 0; fv_saliency_at(i); i++) {
        const fv_saliency_method *m = fv_saliency_at(i);
        cr_expect_not_null(m->summary, "%s", m->name);
        cr_expect_not_null(m->source, "%s", m->name);
        int n = 0;
        for (; m->params && m->params[n].name; n++) {
            const fv_saliency_param *p = &m->params[n];
            cr_expect_leq(p->min, p->initial, "%s: %s", m->name, p->name);
            cr_expect_leq(p->initial, p->max, "%s: %s", m->name, p->name);
            cr_expect_not_null(p->help, "%s: %s", m->name, p->name);
        }
        cr_expect_leq(n, FV_SALIENCY_MAX_PARAMS, "%s", m->name);
    }
}
