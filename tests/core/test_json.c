#include "core/json.h"

#include "core/alloc.h"
#include "core/file.h"

#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static fv_arena arena;

static void drop_arena(void) {
    fv_alloc_fail_at(0);
    fv_arena_destroy(&arena);
}

TestSuite(core_json, .fini = drop_arena);

static fv_status parse(const char *text, fv_value **out) {
    return fv_json_parse(text, strlen(text), "test.json", &arena, out);
}

static void round_trip(const char *text) {
    fv_value *v;
    char *again;

    cr_assert_eq(parse(text, &v), FV_OK, "%s: %s", text, fv_error_message());
    cr_assert_eq(fv_json_write(v, FV_JSON_COMPACT, &arena, &again), FV_OK);
    cr_assert_str_eq(again, text);
}

Test(core_json, round_trips) {
    round_trip("{\"z\":1,\"a\":[true,false,null],\"m\":{\"x\":-0.5}}"); /* order is kept */
    round_trip("[]");
    round_trip("{}");
    round_trip("\"a\\\"b\\\\c\\n\\t\\u0001\xc3\xa9\"");
    round_trip("[9223372036854775807,-9223372036854775808]");
    round_trip("[0.1,1.0,-0.0,1.0e-300,1.7976931348623157e+308,4.94065645841247e-324,0."
               "30000000000000004]");
}

Test(core_json, doubles_keep_their_bits) {
    uint64_t bits = 0x123456789abcdefULL;
    for (int i = 0; i < 2000; i++) {
        double v;
        fv_value *back;
        char *text;
        bits = bits * 6364136223846793005ULL + 1442695040888963407ULL;
        memcpy(&v, &bits, sizeof v);
        if (!isfinite(v)) continue;
        cr_assert_eq(fv_json_write(fv_value_real(&arena, v), FV_JSON_COMPACT, &arena, &text),
                     FV_OK);
        cr_assert_eq(parse(text, &back), FV_OK);
        cr_assert_eq(back->kind, FV_VALUE_REAL);
        cr_assert(memcmp(&back->real, &v, sizeof v) == 0, "%s", text);
    }
}

Test(core_json, kinds_and_big_integers) {
    fv_value *v;

    cr_assert_eq(parse("[1, 1.0, 18446744073709551616, 2]", &v), FV_OK);
    cr_assert_eq(fv_value_at(v, 0)->kind, FV_VALUE_INT);
    cr_assert_eq(fv_value_at(v, 0)->real, 1.0);
    cr_assert_eq(fv_value_at(v, 2)->kind, FV_VALUE_REAL);
    cr_assert_eq(fv_value_at(v, 2)->real, 18446744073709551616.0);
    cr_assert_eq(fv_value_at(v, 3)->kind, FV_VALUE_INT);
}

Test(core_json, writes_what_json_cannot_hold) {
    fv_value *list = fv_value_new(&arena, FV_VALUE_LIST);
    char *text;

    fv_value_add(list, fv_value_real(&arena, NAN));
    fv_value_add(list, fv_value_real(&arena, -INFINITY));
    fv_value_add(list, fv_value_string(&arena, "\xff\xc0\x80 \xed\xa0\x80"));
    cr_assert_eq(fv_json_write(list, FV_JSON_COMPACT, &arena, &text), FV_OK);
    cr_assert_str_eq(text, "[null,null,\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd "
                           "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"]");
}

Test(core_json, indented_style) {
    fv_value *v;
    char *text;

    cr_assert_eq(parse("{\"a\":[1,2],\"b\":{\"c\":[{}]},\"d\":[]}", &v), FV_OK);
    cr_assert_eq(fv_json_write(v, FV_JSON_INDENT, &arena, &text), FV_OK);
    cr_assert_str_eq(text, "{\n  \"a\": [1, 2],\n  \"b\": {\n    \"c\": [\n      {}\n    ]\n  },\n"
                           "  \"d\": []\n}");
}

Test(core_json, malformed_documents) {
    static const char *const bad[] = {
        "",
        " ",
        "{",
        "[1,]",
        "{\"a\":1,}",
        "{a:1}",
        "[1 2]",
        "nul",
        "'a'",
        "[1] x",
        "{\"a\":1,\"a\":2}",
        "\"\xff\"",
        "1e999",
        "[01]",
        "NaN",
        "\"\\u0000\"",
        "{\"a\":{\"b\":1,\"b\":1}}",
        "\"a",
        "]",
        "[\"\\x\"]",
        "\"\t\"",
        "[1,,2]",
        "{\"a\"}",
        "// c\n1",
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fv_value *v = (fv_value *)&arena;
        cr_assert_eq(parse(bad[i], &v), FV_ERR_FORMAT, "%s", bad[i]);
        cr_assert_null(v);
        cr_assert_eq(strncmp(fv_error_message(), "test.json:", 10), 0, "%s", fv_error_message());
    }
}

Test(core_json, depth_limit) {
    char text[2 * 65 + 1] = "";
    fv_value *v;

    for (int i = 0; i < 65; i++) {
        text[i] = '[';
        text[65 + i] = ']';
    }
    cr_assert_eq(parse(text, &v), FV_ERR_FORMAT);
    text[129] = '\0'; /* 64 levels remain */
    cr_assert_eq(parse(text + 1, &v), FV_OK);
}

Test(core_json, loads_files) {
    char path[] = "/tmp/fovea_json_XXXXXX";
    fv_value *v;

    close(mkstemp(path));
    cr_assert_eq(fv_file_write(path, "{\"a\": 1}", 8), FV_OK);
    cr_assert_eq(fv_json_load(path, 100, &arena, &v), FV_OK);
    cr_assert_eq(fv_value_find(v, "a")->integer, 1);
    cr_assert_str_eq(v->file, path);
    cr_assert_eq(fv_json_load(path, 7, &arena, &v), FV_ERR_FORMAT);
    unlink(path);
    cr_assert_eq(fv_json_load(path, 100, &arena, &v), FV_ERR_NOT_FOUND);
}

Test(core_json, every_allocation_may_fail) {
    for (uint64_t n = 1;; n++) {
        fv_value *v = NULL;
        char *text = NULL;
        drop_arena();
        arena.chunk_bytes = 64;
        fv_alloc_fail_at(n);
        fv_status status = parse("{\"a\":[1,\"b\",2.5],\"c\":{\"d\":null}}", &v);
        if (status == FV_OK) status = fv_json_write(v, FV_JSON_INDENT, &arena, &text);
        fv_alloc_fail_at(0);
        if (status == FV_OK) {
            cr_assert_gt(n, 8);
            return;
        }
        cr_assert_eq(status, FV_ERR_NOMEM);
    }
}
