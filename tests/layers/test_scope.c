#include "layers/scope.h"

#include "core/alloc.h"

#include <criterion/criterion.h>

#include <string.h>

static fv_arena arena;
static fv_params params;

static void enter(void) { params = (fv_params){.arena = &arena}; }

static void leave(void) {
    fv_alloc_fail_at(0);
    fv_params_destroy(&params);
    fv_arena_destroy(&arena);
}

TestSuite(layers_scope, .init = enter, .fini = leave);

static const fv_init ones = {FV_INIT_ONES, 0.0f};

Test(layers_scope, names_are_paths) {
    const fv_scope top = {&params, ""};
    const fv_scope block = fv_scope_child(fv_scope_child(top, "blocks"), "%d.attn", 3);
    fv_param *p = NULL, *q = NULL;

    cr_assert_str_eq(block.path, "blocks.3.attn");
    cr_assert_eq(fv_scope_param(block, "weight", fv_shape_of(2, (int64_t)4, (int64_t)5), ones, &p),
                 FV_OK);
    cr_assert_eq(fv_scope_param(top, "cls_token", fv_shape_of(1, (int64_t)2), ones, &q), FV_OK);
    cr_assert_str_eq(p->name, "blocks.3.attn.weight");
    cr_assert_str_eq(q->name, "cls_token");
    cr_assert_eq(p->numel, 20);
    cr_assert_eq(params.count, 2);
}

Test(layers_scope, a_lost_path_fails_every_declaration) {
    fv_scope scope = {&params, ""};
    fv_param *p = NULL;

    fv_alloc_fail_at(1); /* the arena's first chunk */
    scope = fv_scope_child(scope, "blocks");
    cr_assert_null(scope.path);
    scope = fv_scope_child(scope, "0");
    cr_assert_eq(fv_scope_param(scope, "weight", fv_shape_of(1, (int64_t)2), ones, &p),
                 FV_ERR_NOMEM);
    cr_assert_eq(params.count, 0);
}

Test(layers_scope, long_names_and_twins_are_errors) {
    const fv_scope top = {&params, ""};
    char name[600];
    fv_param *p = NULL;

    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    cr_assert_null(fv_scope_child(top, "%s", name).path);
    cr_assert_eq(fv_scope_param(top, name, fv_shape_of(1, (int64_t)2), ones, &p), FV_ERR_INTERNAL);
    cr_assert_eq(fv_scope_param(top, "a", fv_shape_of(1, (int64_t)2), ones, &p), FV_OK);
    cr_assert_eq(fv_scope_param(top, "a", fv_shape_of(1, (int64_t)2), ones, &p), FV_ERR_INTERNAL);
    cr_assert(strstr(fv_error_message(), "'a' is declared twice"), "%s", fv_error_message());
}
