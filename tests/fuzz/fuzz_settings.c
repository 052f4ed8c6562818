#include "core/option.h"
#include "core/settings.h"
#include "core/yaml.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

#define BITS 3 /* bytes in front that are the set of commands */
_Static_assert(FV_CMD_EVERY < 1 << 8 * BITS, "every command has a bit");

static uint32_t read_commands(const uint8_t *bytes) {
    return (bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16) & FV_CMD_EVERY;
}

/* The resolved settings as text, in arena. */
static char *resolve(const fv_settings *s, uint32_t commands, fv_arena *arena) {
    char *text = NULL;
    FUZZ_REQUIRE(fv_settings_write(s, commands, arena, &text) == FV_OK);
    return text;
}

/* What is written loads to the same. */
static void check_written(const fv_settings *s, uint32_t commands, fv_arena *arena) {
    const char *text = resolve(s, commands, arena);
    fv_settings again;
    fv_value *map = NULL;

    fv_settings_init(&again);
    FUZZ_REQUIRE(fv_yaml_parse(text, strlen(text), "again", arena, &map) == FV_OK);
    FUZZ_REQUIRE(fv_settings_merge(&again, map, commands) == FV_OK);
    FUZZ_REQUIRE(strcmp(resolve(&again, commands, arena), text) == 0);
    fv_settings_destroy(&again);
}

void fuzz_settings(const uint8_t *bytes, size_t n_bytes) {
    fv_arena arena = {0};
    fv_settings settings;
    fv_value *map = NULL;

    if (n_bytes < BITS) return;
    const uint32_t commands = read_commands(bytes);
    fv_settings_init(&settings);
    fv_status status =
        fv_yaml_parse((const char *)bytes + BITS, n_bytes - BITS, "input", &arena, &map);
    if (status == FV_OK) {
        status = fv_settings_merge(&settings, map, commands);
        if (status == FV_OK)
            check_written(&settings, commands, &arena);
        else
            fuzz_require_failure(status, FV_ERR_CONFIG, FV_ERR_CONFIG);
    }
    fv_settings_destroy(&settings);
    fv_arena_destroy(&arena);
}

void fuzz_option(const uint8_t *bytes, size_t n_bytes) {
    fv_arena arena = {0};
    fv_settings settings;

    if (n_bytes < BITS) return;
    const uint32_t commands = read_commands(bytes);
    char *key = fv_arena_calloc(&arena, n_bytes, 1); /* 0-terminated */
    FUZZ_REQUIRE(key);
    memcpy(key, bytes + BITS, n_bytes - BITS);
    char *line_feed = strchr(key, '\n');
    const char *text = line_feed ? line_feed + 1 : "";
    if (line_feed) *line_feed = 0;
    fv_settings_init(&settings);
    const fv_status status = fv_settings_set(&settings, key, text, "--set", commands);
    if (status == FV_OK)
        check_written(&settings, commands, &arena);
    else
        fuzz_require_failure(status, FV_ERR_CONFIG, FV_ERR_CONFIG);
    fv_settings_destroy(&settings);
    fv_arena_destroy(&arena);
}
