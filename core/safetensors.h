/* safetensors.h - named tensors in a file: 8 bytes of header length, a JSON header, raw data.
 *
 * Little endian, row-major.  A file is judged by its header before anything else is read: what opens
 * has unique names, shapes that fit their byte ranges, and ranges that cover the data exactly, in
 * whatever order.  Data is read when asked for, with pread, so that a file that shrinks or fails
 * under us is an ordinary error.  Error messages name the file and the tensor. */
#ifndef FV_CORE_SAFETENSORS_H
#define FV_CORE_SAFETENSORS_H

#include "core/arena.h"
#include "core/tensor.h"
#include "core/value.h"

#define FV_SAFETENSORS_MAX_HEADER 100000000

typedef struct fv_safetensors fv_safetensors;

typedef struct fv_safetensors_entry {
    const char *name;
    fv_dtype dtype;
    fv_shape shape;
    int64_t numel;
    uint64_t offset; /* of the first byte, from the start of the file */
    size_t bytes;
} fv_safetensors_entry;

/* Opens and validates.  The caller closes *out; on error *out is NULL.
 * Errors: FV_ERR_NOT_FOUND, FV_ERR_IO, FV_ERR_FORMAT, FV_ERR_UNSUPPORTED (an element type outside of
 * FV_DTYPE_LIST, rank above FV_MAX_RANK), FV_ERR_NOMEM.  Reading is thread-safe. */
fv_status fv_safetensors_open(const char *path, fv_safetensors **out);

/* The same over bytes that stay the caller's and must outlive *out; name stands in messages. */
fv_status fv_safetensors_open_bytes(const void *bytes, size_t n_bytes, const char *name,
                                    fv_safetensors **out);
void fv_safetensors_close(fv_safetensors *st); /* NULL is fine */

const char *fv_safetensors_path(const fv_safetensors *st);

/* Tensors in the order of their data.  Entries belong to st. */
int64_t fv_safetensors_count(const fv_safetensors *st);
const fv_safetensors_entry *fv_safetensors_at(const fv_safetensors *st, int64_t i);

/* By name: NULL when absent; or FV_ERR_NOT_FOUND with the file and the name. */
const fv_safetensors_entry *fv_safetensors_find(const fv_safetensors *st, const char *name);
fv_status fv_safetensors_need(const fv_safetensors *st, const char *name,
                              const fv_safetensors_entry **out);

/* A string of __metadata__, NULL when absent; the whole map (of strings), NULL without one. */
const char *fv_safetensors_metadata(const fv_safetensors *st, const char *key);
const fv_value *fv_safetensors_metadata_map(const fv_safetensors *st);

/* Data of one entry into the caller's buffer: entry->bytes as they are; or entry->numel elements
 * converted from F32, F16, BF16 or F64 (to f32), from I64, I32 or U8 (to i64).  Another element type
 * is FV_ERR_UNSUPPORTED. */
fv_status fv_safetensors_read(const fv_safetensors *st, const fv_safetensors_entry *entry,
                              void *out);
fv_status fv_safetensors_read_f32(const fv_safetensors *st, const fv_safetensors_entry *entry,
                                  float *out);
fv_status fv_safetensors_read_i64(const fv_safetensors *st, const fv_safetensors_entry *entry,
                                  int64_t *out);

/* A named tensor in the arena, in its own element type or as f32. */
fv_status fv_safetensors_load(const fv_safetensors *st, const char *name, fv_arena *arena,
                              fv_tensor *out);
fv_status fv_safetensors_load_f32(const fv_safetensors *st, const char *name, fv_arena *arena,
                                  fv_tensor *out);

typedef struct fv_safetensors_item {
    const char *name;
    fv_tensor tensor; /* data is borrowed and only read */
} fv_safetensors_item;

typedef struct fv_safetensors_meta {
    const char *key, *value;
} fv_safetensors_meta;

/* Writes path.tmp, fsyncs it and renames it over path; on failure the old file is untouched.  The
 * tensors go out from where they are.  Equal arguments give equal bytes.  __metadata__ is
 * {"format": "pt"} and then meta in order.  Tensors stand in the order given, but larger elements
 * before smaller ones: the format has no padding, and PyTorch refuses a misaligned tensor.
 * Errors: FV_ERR_IO, FV_ERR_NOMEM, FV_ERR_INTERNAL (a name twice). */
fv_status fv_safetensors_save(const char *path, const fv_safetensors_item items[], int64_t n_items,
                              const fv_safetensors_meta meta[], int64_t n_meta);

#endif
