#include "data/hash.h"

#include "core/alloc.h"

#include <xxhash.h>

struct fv_hash {
    XXH3_state_t *state;
};

uint64_t fv_hash_bytes(const void *bytes, size_t n_bytes) { return XXH3_64bits(bytes, n_bytes); }

fv_status fv_hash_create(fv_hash **out) {
    fv_hash *hash = fv_calloc(1, sizeof *hash);

    *out = NULL;
    if (!hash) return FV_ERR_NOMEM;
    hash->state = XXH3_createState();
    if (!hash->state) {
        fv_free(hash);
        return FV_FAIL(FV_ERR_NOMEM, "cannot allocate a checksum state");
    }
    XXH3_64bits_reset(hash->state);
    *out = hash;
    return FV_OK;
}

void fv_hash_update(fv_hash *hash, const void *bytes, size_t n_bytes) {
    XXH3_64bits_update(hash->state, bytes, n_bytes);
}

void fv_hash_u64(fv_hash *hash, uint64_t value) {
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(value >> (8 * i));
    fv_hash_update(hash, bytes, sizeof bytes);
}

uint64_t fv_hash_value(const fv_hash *hash) { return XXH3_64bits_digest(hash->state); }

void fv_hash_destroy(fv_hash *hash) {
    if (!hash) return;
    XXH3_freeState(hash->state);
    fv_free(hash);
}
