#include "core/yaml.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

void fuzz_yaml(const uint8_t *bytes, size_t n_bytes) {
    fv_arena arena = {0};
    fv_value *value = NULL, *again = NULL;
    char *text = NULL;

    const fv_status status = fv_yaml_parse((const char *)bytes, n_bytes, "input", &arena, &value);
    if (status != FV_OK) {
        fuzz_require_failure(status, FV_ERR_CONFIG, FV_ERR_CONFIG);
    } else {
        FUZZ_REQUIRE(fv_yaml_write(value, &arena, &text) == FV_OK);
        FUZZ_REQUIRE(fv_yaml_parse(text, strlen(text), "again", &arena, &again) == FV_OK);
        FUZZ_REQUIRE(fuzz_same_value(value, again));
    }
    fv_arena_destroy(&arena);
}
