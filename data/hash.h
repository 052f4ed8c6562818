/* hash.h - XXH3 64-bit checksums (the only file that sees xxhash.h is hash.c). */
#ifndef FV_DATA_HASH_H
#define FV_DATA_HASH_H

#include "core/status.h"

#include <stddef.h>
#include <stdint.h>

/* XXH3_64bits of n_bytes, seed 0. */
uint64_t fv_hash_bytes(const void *bytes, size_t n_bytes);

/* The same over pieces.  The caller frees *out with fv_hash_destroy. */
typedef struct fv_hash fv_hash;
fv_status fv_hash_create(fv_hash **out);
void fv_hash_update(fv_hash *hash, const void *bytes, size_t n_bytes);
void fv_hash_u64(fv_hash *hash, uint64_t value); /* eight bytes, least significant first */
uint64_t fv_hash_value(const fv_hash *hash);
void fv_hash_destroy(fv_hash *hash);

#endif
