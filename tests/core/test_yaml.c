#include "core/yaml.h"

#include "core/alloc.h"
#include "core/file.h"
#include "core/json.h"

#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static fv_arena arena;

static void drop_arena(void) {
    fv_alloc_fail_at(0);
    fv_arena_destroy(&arena);
}

TestSuite(core_yaml, .fini = drop_arena);

static fv_status parse(const char *text, fv_value **out) {
    return fv_yaml_parse(text, strlen(text), "t.yaml", &arena, out);
}

/* The document as compact JSON, which is easy to compare. */
static const char *as_json(const char *text) {
    fv_value *v;
    char *json;

    cr_assert_eq(parse(text, &v), FV_OK, "%s: %s", text, fv_error_message());
    cr_assert_eq(fv_json_write(v, FV_JSON_COMPACT, &arena, &json), FV_OK);
    return json;
}

Test(core_yaml, core_schema) {
    cr_assert_str_eq(as_json("[null, Null, NULL, ~, ]"), "[null,null,null,null]");
    cr_assert_str_eq(as_json("[true, True, TRUE, false, False, FALSE]"),
                     "[true,true,true,false,false,false]");
    cr_assert_str_eq(as_json("[yes, no, on, off, y, n, tRue, nUll]"),
                     "[\"yes\",\"no\",\"on\",\"off\",\"y\",\"n\",\"tRue\",\"nUll\"]");
    cr_assert_str_eq(as_json("[0, -1, +12, 007, 0o17, 0xfF, 9223372036854775807]"),
                     "[0,-1,12,7,15,255,9223372036854775807]");
    cr_assert_str_eq(as_json("[1e-3, 1E+2, .5, 3., -1.5e3, 9223372036854775808]"),
                     "[0.001,100.0,0.5,3.0,-1500.0,9.223372036854776e+18]");
    cr_assert_str_eq(as_json("[1e, ., +, -, 1.2.3, 0o8, 0x, 1_000, e5, +.e1, 12:30:00]"),
                     "[\"1e\",\".\",\"+\",\"-\",\"1.2.3\",\"0o8\",\"0x\",\"1_000\",\"e5\",\"+.e1\","
                     "\"12:30:00\"]");
    cr_assert_str_eq(as_json("['1', \"true\", !!str 5, ! 6, '']"),
                     "[\"1\",\"true\",\"5\",\"6\",\"\"]");
}

Test(core_yaml, infinities) {
    fv_value *v;

    cr_assert_eq(parse("[.inf, -.Inf, +.INF, .nan, -.nan]", &v), FV_OK);
    cr_assert(fv_value_at(v, 0)->real > 1e308);
    cr_assert(fv_value_at(v, 1)->real < -1e308);
    cr_assert(fv_value_at(v, 2)->real > 1e308);
    cr_assert(isnan(fv_value_at(v, 3)->real));
    cr_assert_eq(fv_value_at(v, 4)->kind, FV_VALUE_STRING);
}

Test(core_yaml, documents) {
    cr_assert_str_eq(as_json(""), "null");
    cr_assert_str_eq(as_json("# only a comment\n"), "null");
    cr_assert_str_eq(as_json("---\na: 1\n...\n"), "{\"a\":1}");
    cr_assert_str_eq(
        as_json("lr: 1e-3 # rate\nmodel_kwargs:\n  depth: 3\n  dims: [1, 2]\nempty:\n"),
        "{\"lr\":0.001,\"model_kwargs\":{\"depth\":3,\"dims\":[1,2]},\"empty\":null}");
    cr_assert_str_eq(as_json("a: >\n  two\n  lines\nb: |\n  x\n"),
                     "{\"a\":\"two lines\\n\",\"b\":\"x\\n\"}");
}

Test(core_yaml, aliases_are_copies) {
    cr_assert_str_eq(as_json("a: &x [1, 2]\nb: *x\nc: {d: *x}\n"),
                     "{\"a\":[1,2],\"b\":[1,2],\"c\":{\"d\":[1,2]}}");
    cr_assert_str_eq(as_json("- {k: &x 5}\n- *x\n"), "[{\"k\":5},5]");
}

Test(core_yaml, positions) {
    fv_value *v;

    cr_assert_eq(parse("a: 1\nb:\n  c:  two\n", &v), FV_OK);
    const fv_value *c = fv_value_find(fv_value_find(v, "b"), "c");
    char where[512];
    cr_assert_str_eq(fv_value_where(c, where), "t.yaml:3:7: ");
}

typedef struct broken {
    const char *text, *message;
} broken;

Test(core_yaml, malformed_documents) {
    static const broken bad[] = {
        {"a: [1, 2",
         "t.yaml:2:1: did not find expected ',' or ']' while parsing a flow sequence from line 1"},
        {"a: 1\n b: 2\n", "t.yaml:2:3: mapping values are not allowed in this context"},
        {"a: 1\na: 2\n", "t.yaml:2:1: duplicate key a"},
        {"a: {b: 1, b: 2}", "t.yaml:1:11: duplicate key b"},
        {"? [1]\n: 2\n", "t.yaml:1:3: a key must be a plain word"},
        {"a: *x\n", "t.yaml:1:4: unknown alias *x"},
        {"a: &x [*x]\n", "t.yaml:1:8: unknown alias *x"},
        {"a: !!int 5\n", "t.yaml:1:4: tags are not supported: tag:yaml.org,2002:int"},
        {"a: !python/tuple [1]\n", "t.yaml:1:4: tags are not supported"},
        {"a: 1\n---\nb: 2\n", "t.yaml:2:1: only one document is allowed"},
        {"a: \"x\\0y\"\n", "t.yaml:1:4: a string holds a 0 byte"},
        {"ok: 1\nx: \xff\n", "t.yaml:2:4: "},
        {"a: 'open\n", "t.yaml:"},
        {"\ta: 1\n", "t.yaml:1:1: "},
        {"a: @b\n", "t.yaml:1:4: "},
        {"- 1\nb: 2\n", "t.yaml:2:1: "},
        {"a: }\n", "t.yaml:1:4: "},
        {"%YAML 9.9\n---\na\n", "t.yaml:1:1: "},
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fv_value *v = (fv_value *)&arena;
        cr_assert_eq(parse(bad[i].text, &v), FV_ERR_CONFIG, "%s", bad[i].text);
        cr_assert_null(v);
        cr_assert_eq(strncmp(fv_error_message(), bad[i].message, strlen(bad[i].message)), 0,
                     "%s: %s", bad[i].text, fv_error_message());
    }
}

Test(core_yaml, limits) {
    char text[20001 * 2 + 80] = "";
    fv_value *v;

    memset(text, '[', 65);
    memset(text + 65, ']', 65);
    cr_assert_eq(parse(text, &v), FV_ERR_CONFIG);
    cr_assert_str_eq(fv_error_message(), "t.yaml:1:65: nested too deeply");
    text[129] = '\0';
    cr_assert_eq(parse(text + 1, &v), FV_OK);

    text[0] = '[';
    for (int i = 0; i < 20001; i++) memcpy(text + 1 + 2 * i, "1,", 2);
    strcpy(text + 1 + 2 * 20001, "]");
    cr_assert_eq(parse(text, &v), FV_ERR_CONFIG);

    /* nine levels of nine copies each: half a billion values */
    strcpy(text, "a0: &a0 1\n");
    for (int i = 1; i < 10; i++) {
        char line[80];
        snprintf(line, sizeof line, "a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n", i,
                 i, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
        strcat(text, line);
    }
    cr_assert_eq(parse(text, &v), FV_ERR_CONFIG);
    cr_assert_not_null(strstr(fv_error_message(), "too many values"));
}

Test(core_yaml, written_documents_read_back) {
    static const char document[] =
        "s: [\"\", yes, \"1\", \"a b\", \"\xc3\xa9\\n\\\"\\\\\", \"null\", \"-\", \"#\", \"a: b\", "
        "\"\\u0085\\u007f\", \"2001-01-01\", \"0x1\", \"Off\", /a/b-c.d, \"*x\", \"True\"]\n"
        "m:\n  deep:\n    list: [[1], {k: null}, []]\n  none: {}\n\"odd key\": "
        "1e-5\n\"line\\Lbreak\": 1\n"
        "r: [0.1, 1.0, -.inf, 1e300]\ni: -5\nt: true\n";
    fv_value *v, *again;
    char *first, *second, *yaml;

    cr_assert_eq(parse(document, &v), FV_OK, "%s", fv_error_message());
    cr_assert_eq(fv_yaml_write(v, &arena, &yaml), FV_OK);
    cr_assert_eq(parse(yaml, &again), FV_OK, "%s\n%s", yaml, fv_error_message());
    cr_assert_eq(fv_json_write(v, FV_JSON_COMPACT, &arena, &first), FV_OK);
    cr_assert_eq(fv_json_write(again, FV_JSON_COMPACT, &arena, &second), FV_OK);
    cr_assert_str_eq(first, second);
    cr_assert(fv_value_at(fv_value_find(again, "r"), 2)->real < -1e308);
    cr_assert_not_null(strstr(yaml, "\"odd key\": 1.0e-05\n"), "%s", yaml);
    cr_assert_not_null(strstr(yaml, "m:\n  deep:\n    list: [[1], {k: null}, []]\n  none: {}\n"));
    cr_assert_not_null(strstr(yaml, "\"yes\""), "YAML 1.1 would read a boolean");
}

/* Keys of n backslashes: as many escapes. */
Test(core_yaml, long_keys_read_back) {
    for (int n = 120; n <= 1000; n += 40) {
        char key[1024], document[8192];
        fv_value *v, *again;
        char *yaml;

        memset(key, '\\', (size_t)n);
        key[n] = '\0';
        snprintf(document, sizeof document, "%s: {%s: 1}\na:\n  %s:\n    b: [{%s: 2}]\n", key, key,
                 key, key);
        cr_assert_eq(parse(document, &v), FV_OK, "%s", fv_error_message());
        cr_assert_eq(fv_yaml_write(v, &arena, &yaml), FV_OK);
        cr_assert_eq(parse(yaml, &again), FV_OK, "%d: %s", n, fv_error_message());
        cr_assert_eq(fv_value_find(fv_value_find(again, key), key)->integer, 1);
        const fv_value *b = fv_value_find(fv_value_find(fv_value_find(again, "a"), key), "b");
        cr_assert_eq(fv_value_find(b->first, key)->integer, 2);
    }
}

Test(core_yaml, writes_scalars) {
    char *text;

    cr_assert_eq(fv_yaml_write(fv_value_new(&arena, FV_VALUE_MAP), &arena, &text), FV_OK);
    cr_assert_str_eq(text, "{}\n");
    cr_assert_eq(fv_yaml_write(fv_yaml_scalar(&arena, "1e3"), &arena, &text), FV_OK);
    cr_assert_str_eq(text, "1000.0\n");
}

Test(core_yaml, loads_files) {
    char path[] = "/tmp/fovea_yaml_XXXXXX";
    fv_value *v;

    close(mkstemp(path));
    cr_assert_eq(fv_file_write(path, "a: 1\n", 5), FV_OK);
    cr_assert_eq(fv_yaml_load(path, &arena, &v), FV_OK);
    cr_assert_eq(fv_value_find(v, "a")->integer, 1);
    unlink(path);
    cr_assert_eq(fv_yaml_load(path, &arena, &v), FV_ERR_CONFIG);
    cr_assert_not_null(strstr(fv_error_message(), path));
}

Test(core_yaml, every_allocation_may_fail) {
    static const char text[] = "a: &x [1, {b: two}]\nc: *x\nd: {e: null, f: .5}\n";

    for (uint64_t n = 1;; n++) {
        fv_value *v = NULL;
        char *out = NULL;
        drop_arena();
        arena.chunk_bytes = 64;
        fv_alloc_fail_at(n);
        fv_status status = parse(text, &v);
        if (status == FV_OK) status = fv_yaml_write(v, &arena, &out);
        fv_alloc_fail_at(0);
        if (status == FV_OK) {
            cr_assert_gt(n, 20);
            return;
        }
        cr_assert_eq(status, FV_ERR_NOMEM, "%s", fv_error_message());
    }
}
