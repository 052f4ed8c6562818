#include "core/json.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

void fuzz_json(const uint8_t *bytes, size_t n_bytes) {
    fv_arena arena = {0};
    fv_value *value = NULL, *again = NULL;
    char *text = NULL, *same = NULL;

    const fv_status status = fv_json_parse((const char *)bytes, n_bytes, "input", &arena, &value);
    if (status != FV_OK) {
        fuzz_require_failure(status, FV_ERR_FORMAT, FV_ERR_FORMAT);
    } else {
        for (int style = FV_JSON_COMPACT; style <= FV_JSON_INDENT; style++) {
            FUZZ_REQUIRE(fv_json_write(value, (fv_json_style)style, &arena, &text) == FV_OK);
            FUZZ_REQUIRE(fv_json_parse(text, strlen(text), "again", &arena, &again) == FV_OK);
            FUZZ_REQUIRE(fuzz_same_value(value, again));
            FUZZ_REQUIRE(fv_json_write(again, (fv_json_style)style, &arena, &same) == FV_OK);
            FUZZ_REQUIRE(strcmp(text, same) == 0);
        }
    }
    fv_arena_destroy(&arena);
}
