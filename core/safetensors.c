#include "core/safetensors.h"

#include "core/alloc.h"
#include "core/json.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tensor data is little endian");

#define LENGTH_BYTES 8

struct fv_safetensors {
    fv_arena arena;
    const char *path;
    int fd; /* -1: bytes */
    const uint8_t *bytes;
    uint64_t n_bytes;    /* of the file */
    uint64_t data_start; /* of the data, from the start of the file */
    int64_t count;
    fv_safetensors_entry *entry;          /* [count], by offset */
    const fv_safetensors_entry **by_name; /* [count], by strcmp */
    const fv_value *metadata;
};

#define SHOWN 72
/* A name out of a file, fit for a one-line message. */
static const char *shown(const char *name, char text[SHOWN]) {
    size_t n = 0;

    for (; name[n] && n < SHOWN - 1; n++)
        text[n] = (unsigned char)name[n] < 0x20 || name[n] == 0x7f ? '?' : name[n];
    if (name[n]) memcpy(text + n - 3, "...", 3);
    text[n] = '\0';
    return text;
}

#define BAD(st, name, ...) bad_tensor(FV_FAIL(FV_ERR_FORMAT, __VA_ARGS__), st, name)

/* Puts the file and the tensor in front of a message. */
static fv_status bad_tensor(fv_status status, const fv_safetensors *st, const char *name) {
    char text[SHOWN];
    return fv_error_context(status, "%s: tensor '%s'", st->path, shown(name, text));
}

static fv_status read_at(const fv_safetensors *st, uint64_t offset, size_t n, void *out) {
    uint8_t *to = out;

    if (st->fd < 0) {
        if (n) memcpy(to, st->bytes + offset, n);
        return FV_OK;
    }
    while (n > 0) {
        const ssize_t got = pread(st->fd, to, n, (off_t)offset);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return FV_FAIL(FV_ERR_IO, "%s: cannot read: %s", st->path, strerror(errno));
        if (got == 0) return FV_FAIL(FV_ERR_IO, "%s: the file has become shorter", st->path);
        to += got;
        offset += (uint64_t)got;
        n -= (size_t)got;
    }
    return FV_OK;
}

static fv_status parse_dtype(const fv_safetensors *st, const fv_value *v, const char *name,
                             fv_dtype *out) {
    const fv_value *dtype = fv_value_find(v, "dtype");
    char text[SHOWN];

    if (!dtype || dtype->kind != FV_VALUE_STRING) return BAD(st, name, "dtype is not a string");
    for (int d = 0; d < FV_DTYPE_COUNT; d++) {
        if (strcmp(dtype->text, fv_dtype_name((fv_dtype)d)) != 0) continue;
        *out = (fv_dtype)d;
        return FV_OK;
    }
    return bad_tensor(
        FV_FAIL(FV_ERR_UNSUPPORTED, "element type %s is not supported", shown(dtype->text, text)),
        st, name);
}

/* The shape and what follows from it: element and byte counts that fit their types. */
static fv_status parse_shape(const fv_safetensors *st, const fv_value *v, fv_safetensors_entry *e) {
    const fv_value *shape = fv_value_find(v, "shape");
    int64_t bytes;

    if (!shape || shape->kind != FV_VALUE_LIST) return BAD(st, e->name, "shape is not a list");
    e->numel = 1;
    for (const fv_value *d = shape->first; d; d = d->next) {
        if (d->kind != FV_VALUE_INT || d->integer < 0)
            return BAD(st, e->name, "shape holds something else than sizes");
        if (e->shape.rank == FV_MAX_RANK)
            return bad_tensor(FV_FAIL(FV_ERR_UNSUPPORTED, "%" PRId64 " dimensions, at most %d",
                                      shape->count, FV_MAX_RANK),
                              st, e->name);
        e->shape.dim[e->shape.rank++] = d->integer;
        if (__builtin_mul_overflow(e->numel, d->integer, &e->numel))
            return BAD(st, e->name, "element count overflows");
    }
    if (__builtin_mul_overflow(e->numel, (int64_t)fv_dtype_bytes(e->dtype), &bytes))
        return BAD(st, e->name, "byte count overflows");
    e->bytes = (size_t)bytes;
    return FV_OK;
}

static fv_status parse_range(const fv_safetensors *st, const fv_value *v, fv_safetensors_entry *e) {
    const fv_value *range = fv_value_find(v, "data_offsets");
    const fv_value *from = range ? range->first : NULL, *to = from ? from->next : NULL;
    const uint64_t data_bytes = st->n_bytes - st->data_start;

    if (!to || range->kind != FV_VALUE_LIST || range->count != 2 || from->kind != FV_VALUE_INT ||
        to->kind != FV_VALUE_INT)
        return BAD(st, e->name, "data_offsets is not a pair of integers");
    if (from->integer < 0 || to->integer < from->integer)
        return BAD(st, e->name, "data_offsets [%" PRId64 ", %" PRId64 "] are no range",
                   from->integer, to->integer);
    if ((uint64_t)to->integer > data_bytes)
        return BAD(st, e->name, "data ends at byte %" PRId64 " of %" PRIu64 " (torn file?)",
                   to->integer, data_bytes);
    if ((uint64_t)(to->integer - from->integer) != e->bytes) {
        char text[FV_SHAPE_TEXT];
        return BAD(st, e->name, "%s elements of %s need %zu bytes, data_offsets hold %" PRId64,
                   fv_shape_text(&e->shape, text), fv_dtype_name(e->dtype), e->bytes,
                   to->integer - from->integer);
    }
    e->offset = st->data_start + (uint64_t)from->integer;
    return FV_OK;
}

static fv_status parse_tensor(fv_safetensors *st, const fv_value *v) {
    fv_safetensors_entry *e = &st->entry[st->count];

    *e = (fv_safetensors_entry){.name = v->key};
    if (v->kind != FV_VALUE_MAP) return BAD(st, v->key, "its header entry is not a map");
    FV_TRY(parse_dtype(st, v, v->key, &e->dtype));
    FV_TRY(parse_shape(st, v, e));
    FV_TRY(parse_range(st, v, e));
    st->count++;
    return FV_OK;
}

static fv_status parse_metadata(fv_safetensors *st, const fv_value *v) {
    char text[SHOWN];

    if (v->kind != FV_VALUE_MAP)
        return FV_FAIL(FV_ERR_FORMAT, "%s: __metadata__ is not a map", st->path);
    for (const fv_value *item = v->first; item; item = item->next)
        if (item->kind != FV_VALUE_STRING)
            return FV_FAIL(FV_ERR_FORMAT, "%s: __metadata__ '%s' is not a string", st->path,
                           shown(item->key, text));
    st->metadata = v;
    return FV_OK;
}

/* Empty tensors stand before the one that starts at their offset. */
static int compare_offsets(const void *pa, const void *pb) {
    const fv_safetensors_entry *a = pa, *b = pb;
    if (a->offset != b->offset) return a->offset < b->offset ? -1 : 1;
    if (a->bytes != b->bytes) return a->bytes < b->bytes ? -1 : 1;
    return strcmp(a->name, b->name);
}

static int compare_names(const void *pa, const void *pb) {
    const fv_safetensors_entry *const *a = pa, *const *b = pb;
    return strcmp((*a)->name, (*b)->name);
}

/* Sorts both ways; no gap, no overlap, nothing behind the last tensor, no name twice. */
static fv_status check_layout(fv_safetensors *st) {
    const size_t n = (size_t)st->count;
    uint64_t at = st->data_start;

    st->by_name = fv_arena_alloc(&st->arena, n, sizeof(fv_safetensors_entry *));
    if (!st->by_name) return FV_ERR_NOMEM;
    if (n) qsort(st->entry, n, sizeof *st->entry, compare_offsets);
    for (size_t i = 0; i < n; i++) {
        const fv_safetensors_entry *e = &st->entry[i];
        if (e->offset > at)
            return BAD(st, e->name, "%" PRIu64 " unused bytes before it", e->offset - at);
        if (e->offset < at) return BAD(st, e->name, "overlaps the tensor before it");
        at += e->bytes;
        st->by_name[i] = e;
    }
    if (at != st->n_bytes)
        return FV_FAIL(FV_ERR_FORMAT, "%s: %" PRIu64 " bytes behind the last tensor", st->path,
                       st->n_bytes - at);
    if (n) qsort(st->by_name, n, sizeof *st->by_name, compare_names);
    for (size_t i = 1; i < n; i++)
        if (strcmp(st->by_name[i - 1]->name, st->by_name[i]->name) == 0)
            return BAD(st, st->by_name[i]->name, "the name is there twice");
    return FV_OK;
}

static fv_status parse_header(fv_safetensors *st, const char *text, size_t n_bytes) {
    fv_value *root = NULL;

    if (n_bytes < 2 || text[0] != '{')
        return FV_FAIL(FV_ERR_FORMAT, "%s: not a safetensors file: no JSON header", st->path);
    FV_TRY(fv_json_parse(text, n_bytes, st->path, &st->arena, &root));
    st->entry = fv_arena_alloc(&st->arena, (size_t)root->count, sizeof *st->entry);
    if (!st->entry) return FV_ERR_NOMEM;
    for (const fv_value *v = root->first; v; v = v->next) {
        if (strcmp(v->key, "__metadata__") == 0)
            FV_TRY(parse_metadata(st, v));
        else
            FV_TRY(parse_tensor(st, v));
    }
    return check_layout(st);
}

/* What torch.save writes: a zip archive, formerly a pickle of protocol 2 and up. */
static bool is_pickle(const void *head) {
    const uint8_t *b = head;
    return memcmp(b, "PK\3\4", 4) == 0 || (b[0] == 0x80 && b[1] >= 2 && b[1] <= 5);
}

static fv_status read_header(fv_safetensors *st) {
    uint64_t length = 0;
    char *text = NULL;

    if (st->n_bytes < LENGTH_BYTES)
        return FV_FAIL(FV_ERR_FORMAT, "%s: not a safetensors file: only %" PRIu64 " bytes",
                       st->path, st->n_bytes);
    FV_TRY(read_at(st, 0, LENGTH_BYTES, &length));
    const bool torn = length > FV_SAFETENSORS_MAX_HEADER || length > st->n_bytes - LENGTH_BYTES;
    if (torn && is_pickle(&length))
        return FV_FAIL(
            FV_ERR_UNSUPPORTED,
            "%s: a PyTorch file (pickle), which can run code when it is read: convert it "
            "first with safetensors.torch.save_file in Python",
            st->path);
    if (torn)
        return FV_FAIL(FV_ERR_FORMAT,
                       "%s: not a safetensors file, or torn: header of %" PRIu64
                       " bytes in a file of %" PRIu64,
                       st->path, length, st->n_bytes);
    st->data_start = LENGTH_BYTES + length;
    text = fv_alloc((size_t)length + 1, 1);
    if (!text) return FV_ERR_NOMEM;
    text[length] = '\0';
    fv_status status = read_at(st, LENGTH_BYTES, (size_t)length, text);
    if (status == FV_OK) status = parse_header(st, text, (size_t)length);
    fv_free(text);
    return status;
}

static fv_status create(const char *name, fv_safetensors **out) {
    fv_safetensors *st = fv_calloc(1, sizeof *st);

    if (!st) return FV_ERR_NOMEM;
    st->fd = -1;
    st->path = fv_arena_strdup(&st->arena, name);
    if (st->path) {
        *out = st;
        return FV_OK;
    }
    fv_safetensors_close(st);
    return FV_ERR_NOMEM;
}

static fv_status open_file(fv_safetensors *st) {
    struct stat info;

    /* Without O_NONBLOCK a named pipe would keep us waiting for its writer. */
    st->fd = open(st->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (st->fd < 0)
        return FV_FAIL(errno == ENOENT || errno == ENOTDIR ? FV_ERR_NOT_FOUND : FV_ERR_IO,
                       "%s: cannot open: %s", st->path, strerror(errno));
    if (fstat(st->fd, &info) != 0)
        return FV_FAIL(FV_ERR_IO, "%s: cannot read: %s", st->path, strerror(errno));
    if (!S_ISREG(info.st_mode)) return FV_FAIL(FV_ERR_FORMAT, "%s: not a regular file", st->path);
    st->n_bytes = (uint64_t)info.st_size;
    return read_header(st);
}

/* Hands st over when it is good, closes it when not. */
static fv_status finish(fv_status status, fv_safetensors *st, fv_safetensors **out) {
    if (status == FV_OK)
        *out = st;
    else
        fv_safetensors_close(st);
    return status;
}

fv_status fv_safetensors_open(const char *path, fv_safetensors **out) {
    fv_safetensors *st = NULL;

    *out = NULL;
    FV_TRY(create(path, &st));
    return finish(open_file(st), st, out);
}

fv_status fv_safetensors_open_bytes(const void *bytes, size_t n_bytes, const char *name,
                                    fv_safetensors **out) {
    fv_safetensors *st = NULL;

    *out = NULL;
    FV_TRY(create(name, &st));
    st->bytes = bytes;
    st->n_bytes = n_bytes;
    return finish(read_header(st), st, out);
}

void fv_safetensors_close(fv_safetensors *st) {
    if (!st) return;
    if (st->fd >= 0) close(st->fd);
    fv_arena_destroy(&st->arena);
    fv_free(st);
}

const char *fv_safetensors_path(const fv_safetensors *st) { return st->path; }

int64_t fv_safetensors_count(const fv_safetensors *st) { return st->count; }

const fv_safetensors_entry *fv_safetensors_at(const fv_safetensors *st, int64_t i) {
    return &st->entry[i];
}

static int compare_key(const void *key, const void *item) {
    const fv_safetensors_entry *const *e = item;
    return strcmp(key, (*e)->name);
}

const fv_safetensors_entry *fv_safetensors_find(const fv_safetensors *st, const char *name) {
    const fv_safetensors_entry **hit =
        bsearch(name, st->by_name, (size_t)st->count, sizeof *st->by_name, compare_key);
    return hit ? *hit : NULL;
}

fv_status fv_safetensors_need(const fv_safetensors *st, const char *name,
                              const fv_safetensors_entry **out) {
    *out = fv_safetensors_find(st, name);
    return *out ? FV_OK : FV_FAIL(FV_ERR_NOT_FOUND, "%s: no tensor '%s'", st->path, name);
}

const fv_value *fv_safetensors_metadata_map(const fv_safetensors *st) { return st->metadata; }

const char *fv_safetensors_metadata(const fv_safetensors *st, const char *key) {
    const fv_value *v = st->metadata ? fv_value_find(st->metadata, key) : NULL;
    return v ? v->text : NULL;
}

fv_status fv_safetensors_read(const fv_safetensors *st, const fv_safetensors_entry *entry,
                              void *out) {
    return read_at(st, entry->offset, entry->bytes, out);
}

#define CHUNK_BYTES 16384
typedef union chunk {
    double f64[CHUNK_BYTES / 8];
    uint16_t half[CHUNK_BYTES / 2];
    int32_t i32[CHUNK_BYTES / 4];
    uint8_t u8[CHUNK_BYTES];
} chunk;

/* Converts n elements of a chunk to out[i...]. */
typedef void convert_fn(const chunk *raw, int64_t n, int64_t i, void *out);

#define CONVERT(function, to, expression)                                     \
    static void function(const chunk *raw, int64_t n, int64_t i, void *out) { \
        for (int64_t j = 0; j < n; j++) ((to *)out)[i + j] = expression;      \
    }
CONVERT(f64_to_f32, float, (float)raw->f64[j])
CONVERT(bf16_to_f32, float, fv_bf16_to_f32(raw->half[j]))
CONVERT(half_to_f32, float, fv_f16_to_f32(raw->half[j]))
CONVERT(i32_to_i64, int64_t, raw->i32[j])
CONVERT(u8_to_i64, int64_t, raw->u8[j])

static fv_status read_converted(const fv_safetensors *st, const fv_safetensors_entry *entry,
                                convert_fn *convert, void *out) {
    const size_t size = fv_dtype_bytes(entry->dtype);
    const int64_t step = CHUNK_BYTES / (int64_t)size;
    chunk raw;

    for (int64_t i = 0; i < entry->numel; i += step) {
        const int64_t n = entry->numel - i < step ? entry->numel - i : step;
        FV_TRY(read_at(st, entry->offset + (uint64_t)i * size, (size_t)n * size, &raw));
        convert(&raw, n, i, out);
    }
    return FV_OK;
}

fv_status fv_safetensors_read_f32(const fv_safetensors *st, const fv_safetensors_entry *entry,
                                  float *out) {
    if (entry->dtype == FV_F32) return fv_safetensors_read(st, entry, out);
    convert_fn *convert = entry->dtype == FV_BF16  ? bf16_to_f32
                          : entry->dtype == FV_F16 ? half_to_f32
                          : entry->dtype == FV_F64 ? f64_to_f32
                                                   : NULL;
    if (convert) return read_converted(st, entry, convert, out);
    return bad_tensor(FV_FAIL(FV_ERR_UNSUPPORTED, "%s elements where floating point is needed",
                              fv_dtype_name(entry->dtype)),
                      st, entry->name);
}

fv_status fv_safetensors_read_i64(const fv_safetensors *st, const fv_safetensors_entry *entry,
                                  int64_t *out) {
    if (entry->dtype == FV_I64) return fv_safetensors_read(st, entry, out);
    convert_fn *convert = entry->dtype == FV_I32  ? i32_to_i64
                          : entry->dtype == FV_U8 ? u8_to_i64
                                                  : NULL;
    if (convert) return read_converted(st, entry, convert, out);
    return bad_tensor(FV_FAIL(FV_ERR_UNSUPPORTED, "%s elements where integers are needed",
                              fv_dtype_name(entry->dtype)),
                      st, entry->name);
}

static fv_status load(const fv_safetensors *st, const char *name, bool as_f32, fv_arena *arena,
                      fv_tensor *out) {
    const fv_safetensors_entry *e = NULL;

    *out = (fv_tensor){0};
    FV_TRY(fv_safetensors_need(st, name, &e));
    const fv_dtype dtype = as_f32 ? FV_F32 : e->dtype;
    void *data = fv_arena_alloc(arena, (size_t)e->numel, fv_dtype_bytes(dtype));
    if (!data) return FV_ERR_NOMEM;
    FV_TRY(as_f32 ? fv_safetensors_read_f32(st, e, data) : fv_safetensors_read(st, e, data));
    *out = (fv_tensor){.data = data, .dtype = dtype, .shape = e->shape};
    return FV_OK;
}

fv_status fv_safetensors_load(const fv_safetensors *st, const char *name, fv_arena *arena,
                              fv_tensor *out) {
    return load(st, name, false, arena, out);
}

fv_status fv_safetensors_load_f32(const fv_safetensors *st, const char *name, fv_arena *arena,
                                  fv_tensor *out) {
    return load(st, name, true, arena, out);
}
