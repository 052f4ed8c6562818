#include "core/value.h"

#include "core/alloc.h"
#include "core/json.h"

#include <criterion/criterion.h>

#include <math.h>
#include <string.h>

static fv_arena arena;

static void drop_arena(void) {
    fv_alloc_fail_at(0);
    fv_arena_destroy(&arena);
}

TestSuite(core_value, .fini = drop_arena);

/* {"depth": 3, "rate": 0.5, "flag": true, "name": "vit", "dims": [1, 2], "none": null} */
static fv_value *sample(void) {
    fv_value *map = fv_value_new(&arena, FV_VALUE_MAP);
    fv_value *dims = fv_value_new(&arena, FV_VALUE_LIST);

    fv_value_set(&arena, map, "depth", fv_value_int(&arena, 3));
    fv_value_set(&arena, map, "rate", fv_value_real(&arena, 0.5));
    fv_value_set(&arena, map, "flag", fv_value_bool(&arena, true));
    fv_value_set(&arena, map, "name", fv_value_string(&arena, "vit"));
    fv_value_add(dims, fv_value_int(&arena, 1));
    fv_value_add(dims, fv_value_int(&arena, 2));
    fv_value_set(&arena, map, "dims", dims);
    fv_value_set(&arena, map, "none", fv_value_string(&arena, NULL));
    return map;
}

Test(core_value, typed_look_up) {
    fv_value *map = sample();
    int64_t depth = 0, dims[4], n = 0;
    double rate = 0, depth_as_real = 0;
    bool flag = false;
    const char *name = "";

    cr_assert_eq(fv_value_get_int(map, "depth", 0, 10, &depth), FV_OK);
    cr_assert_eq(fv_value_get_real(map, "rate", 0, 1, &rate), FV_OK);
    cr_assert_eq(fv_value_get_real(map, "depth", 0, 10, &depth_as_real), FV_OK);
    cr_assert_eq(fv_value_get_bool(map, "flag", &flag), FV_OK);
    cr_assert_eq(fv_value_get_string(map, "name", &name), FV_OK);
    cr_assert_eq(fv_value_get_ints(map, "dims", 0, 9, 4, dims, &n), FV_OK);
    cr_assert_eq(depth, 3);
    cr_assert_eq(depth_as_real, 3.0);
    cr_assert_eq(rate, 0.5);
    cr_assert(flag);
    cr_assert_str_eq(name, "vit");
    cr_assert(n == 2 && dims[0] == 1 && dims[1] == 2);
    cr_assert_eq(fv_value_get_ints(map, "depth", 0, 9, 4, dims, &n), FV_OK);
    cr_assert(n == 1 && dims[0] == 3, "one integer stands for a list of one");
}

Test(core_value, absent_and_null_keep_the_default) {
    int64_t v = 7;

    cr_assert_eq(fv_value_get_int(sample(), "absent", 0, 1, &v), FV_OK);
    cr_assert_eq(fv_value_get_int(sample(), "none", 0, 1, &v), FV_OK);
    cr_assert_eq(fv_value_get_int(NULL, "depth", 0, 1, &v), FV_OK);
    cr_assert_eq(v, 7);
}

Test(core_value, wrong_types_and_ranges_name_the_place) {
    fv_value *map = sample();
    fv_value *depth = fv_value_find(map, "depth");
    int64_t i = 0, list[1], n;
    double r = 0;
    bool b;
    const char *s;

    depth->file = "a.yaml";
    depth->line = 4;
    depth->column = 9;
    cr_assert_eq(fv_value_get_int(map, "depth", 4, 9, &i), FV_ERR_CONFIG);
    cr_assert_str_eq(fv_error_message(), "a.yaml:4:9: depth: 3 is outside 4 to 9");
    cr_assert_eq(fv_value_get_int(map, "rate", 0, 9, &i), FV_ERR_CONFIG);
    cr_assert_eq(fv_value_get_bool(map, "depth", &b), FV_ERR_CONFIG);
    cr_assert_eq(fv_value_get_string(map, "depth", &s), FV_ERR_CONFIG);
    cr_assert_eq(fv_value_get_real(map, "name", 0, 1, &r), FV_ERR_CONFIG);
    cr_assert_eq(fv_value_get_ints(map, "dims", 0, 9, 1, list, &n), FV_ERR_CONFIG);
    cr_assert_eq(fv_value_get_ints(map, "rate", 0, 9, 1, list, &n), FV_ERR_CONFIG);
    fv_value_set(&arena, map, "rate", fv_value_real(&arena, NAN));
    cr_assert_eq(fv_value_get_real(map, "rate", 0, 1, &r), FV_ERR_CONFIG);
    cr_assert_eq(fv_value_get_int(depth, "x", 0, 1, &i), FV_ERR_CONFIG, "a look-up in a scalar");
}

Test(core_value, unknown_keys_are_found_and_explained) {
    static const char *const names[] = {"depth", "dims", NULL};
    fv_value *map = fv_value_new(&arena, FV_VALUE_MAP);
    int64_t v = 0;

    fv_value_set(&arena, map, "depth", fv_value_int(&arena, 1));
    fv_value_set(&arena, map, "dimz", fv_value_int(&arena, 1));
    cr_assert_eq(fv_value_get_int(map, "depth", 0, 9, &v), FV_OK);
    cr_assert_eq(fv_value_check_known(map, names), FV_ERR_CONFIG);
    cr_assert_str_eq(fv_error_message(), "unknown key 'dimz'; did you mean 'dims'?");
    cr_assert_eq(fv_value_get_int(map, "dimz", 0, 9, &v), FV_OK);
    cr_assert_eq(fv_value_check_known(map, names), FV_OK);
    cr_assert_eq(fv_value_check_known(NULL, names), FV_OK);
}

Test(core_value, set_replaces_in_place) {
    fv_value *map = sample();
    char *text;

    fv_value_set(&arena, map, "depth", fv_value_int(&arena, 9));
    fv_value_set(&arena, map, "none", fv_value_int(&arena, 1));
    fv_value_set(&arena, map, "more", fv_value_int(&arena, 2));
    cr_assert_eq(map->count, 7);
    cr_assert_eq(fv_json_write(map, FV_JSON_COMPACT, &arena, &text), FV_OK);
    cr_assert_str_eq(text,
                     "{\"depth\":9,\"rate\":0.5,\"flag\":true,\"name\":\"vit\",\"dims\":[1,2],"
                     "\"none\":1,\"more\":2}");
}

Test(core_value, copy_is_deep_and_at_indexes) {
    fv_arena other = {0};
    fv_value *copy = fv_value_copy(&other, sample());
    char *text;

    fv_arena_destroy(&arena);
    cr_assert_eq(fv_json_write(copy, FV_JSON_COMPACT, &other, &text), FV_OK);
    cr_assert_str_eq(text,
                     "{\"depth\":3,\"rate\":0.5,\"flag\":true,\"name\":\"vit\",\"dims\":[1,2],"
                     "\"none\":null}");
    cr_assert_eq(fv_value_at(fv_value_find(copy, "dims"), 1)->integer, 2);
    cr_assert_null(fv_value_at(fv_value_find(copy, "dims"), 2));
    cr_assert_null(fv_value_at(fv_value_find(copy, "dims"), -1));
    fv_arena_destroy(&other);
}

Test(core_value, merging_goes_down_into_maps) {
    fv_arena other = {0};
    fv_value *into = NULL, *from = NULL;
    const char *const a = "{\"x\":1,\"m\":{\"p\":1,\"q\":{\"r\":2}},\"l\":[1,2]}";
    const char *const b = "{\"m\":{\"q\":{\"s\":3},\"p\":4},\"l\":[3],\"y\":{\"z\":5},\"x\":{}}";
    char *text;

    cr_assert_eq(fv_json_parse(a, strlen(a), "a", &arena, &into), FV_OK);
    cr_assert_eq(fv_json_parse(b, strlen(b), "b", &other, &from), FV_OK);
    cr_assert_eq(fv_value_merge(&arena, into, from), FV_OK);
    fv_arena_destroy(&other);
    cr_assert_eq(fv_json_write(into, FV_JSON_COMPACT, &arena, &text), FV_OK);
    cr_assert_str_eq(
        text, "{\"x\":{},\"m\":{\"p\":4,\"q\":{\"r\":2,\"s\":3}},\"l\":[3],\"y\":{\"z\":5}}");
}

/* A builder that loses an item to a failed allocation must not yield a document without it. */
Test(core_value, lost_items_reach_the_writer) {
    for (uint64_t n = 1;; n++) {
        char *text = NULL;
        drop_arena();
        arena.chunk_bytes = 64; /* every value is an allocation of its own */
        fv_alloc_fail_at(n);
        fv_value *map = sample();
        const fv_status status = fv_json_write(map, FV_JSON_COMPACT, &arena, &text);
        if (status == FV_OK) {
            fv_alloc_fail_at(0);
            cr_assert_gt(n, 10);
            cr_assert_not_null(strstr(text, "\"none\":null"));
            return;
        }
        cr_assert_eq(status, FV_ERR_NOMEM);
        cr_assert_null(text);
    }
}
