#include "core/alloc.h"
#include "core/safetensors.h"
#include "tests/fuzz/fuzz.h"

/* Ranges lie inside the file, names lead back to their entries, and all data can be read. */
static void check_entry(const fv_safetensors *st, int64_t i, size_t n_bytes) {
    const fv_safetensors_entry *e = fv_safetensors_at(st, i);
    int64_t numel = 0;

    FUZZ_REQUIRE(fv_safetensors_find(st, e->name) == e);
    FUZZ_REQUIRE(fv_shape_check(&e->shape, &numel) == FV_OK && numel == e->numel);
    FUZZ_REQUIRE(e->bytes == (size_t)numel * fv_dtype_bytes(e->dtype));
    FUZZ_REQUIRE(e->offset <= n_bytes && e->bytes <= n_bytes - e->offset);

    void *out = fv_alloc((size_t)numel, 8); /* the widest element */
    FUZZ_REQUIRE(out);
    FUZZ_REQUIRE(fv_safetensors_read(st, e, out) == FV_OK);
    fv_status status = fv_safetensors_read_f32(st, e, out);
    if (status != FV_OK) fuzz_require_failure(status, FV_ERR_UNSUPPORTED, FV_ERR_UNSUPPORTED);
    status = fv_safetensors_read_i64(st, e, out);
    if (status != FV_OK) fuzz_require_failure(status, FV_ERR_UNSUPPORTED, FV_ERR_UNSUPPORTED);
    fv_free(out);
}

void fuzz_safetensors(const uint8_t *bytes, size_t n_bytes) {
    fv_safetensors *st = NULL;

    const fv_status status = fv_safetensors_open_bytes(bytes, n_bytes, "input", &st);
    if (status != FV_OK) {
        fuzz_require_failure(status, FV_ERR_FORMAT, FV_ERR_UNSUPPORTED);
        FUZZ_REQUIRE(!st);
        return;
    }
    for (int64_t i = 0; i < fv_safetensors_count(st); i++) check_entry(st, i, n_bytes);
    const fv_value *map = fv_safetensors_metadata_map(st);
    for (const fv_value *v = map ? map->first : NULL; v; v = v->next)
        FUZZ_REQUIRE(v->key && v->kind == FV_VALUE_STRING &&
                     fv_safetensors_metadata(st, v->key) == v->text);
    fv_safetensors_close(st);
}
