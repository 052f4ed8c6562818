/* golden.h - a golden file under test: every tensor in it is either compared, used as input, or part of
 * a case that is skipped; whatever is left over at the end, and whatever a case asks for in vain, is a
 * failure.  One line per case on stdout: name, largest error, tolerance, ok | FAIL | skip. */
#ifndef FV_TESTS_GOLDEN_H
#define FV_TESTS_GOLDEN_H

#include "core/safetensors.h"
#include "core/tape.h"

typedef struct golden_counts {
    int passed, failed, skipped;
} golden_counts;

typedef struct golden {
    fv_safetensors *file;
    const char *path, *stem; /* stem: file name without .safetensors */
    fv_arena arena;          /* freed with the file */
    bool *used;              /* per tensor */
    golden_counts counts;
} golden;

/* A kind of file: told by its name, run on the open file. */
typedef struct golden_kind {
    const char *prefix; /* of the stem; the whole stem when exact */
    bool exact;
    void (*run)(golden *g);
} golden_kind;

#define GOLDEN_KIND_LIST(X) \
    X(model)                \
    X(layers)               \
    X(training)             \
    X(images)               \
    X(render)               \
    X(metrics)              \
    X(saliency_srmap)       \
    X(rules)                \
    X(convnet)              \
    X(vit)                  \
    X(vit_gap)              \
    X(attn_variants)        \
    X(family)

/* A tensor as f32 (i64 for integers), marked as used.  NULL when it is missing: a failed line. */
const float *golden_f32(golden *g, const char *name, fv_shape *shape);
const int64_t *golden_i64(golden *g, const char *name, fv_shape *shape);
const double *golden_f64(golden *g, const char *name, int64_t *n);
const uint8_t *golden_u8(golden *g, const char *name, fv_shape *shape);
bool golden_has(const golden *g, const char *name);
void golden_use(golden *g, const char *name);

/* Report lines. */
void golden_result(golden *g, const char *name, double error, double tolerance); /* NaN fails */
void golden_fail(golden *g, const char *name, const char *why, ...)
    __attribute__((format(printf, 3, 4)));
void golden_skip(golden *g, const char *name); /* marks all tensors called name or name/... */

/* The same for tensors called name or name.*, those without a case so far; no line when all have one. */
void golden_skip_group(golden *g, const char *name);

/* max |a - b| / max |b| (or / scale when positive) of a stored tensor against n computed values; a
 * different count fails. */
void golden_compare(golden *g, const char *name, const float *computed, int64_t n, double scale,
                    double tolerance);

/* Stored choices i32 [...,k] against computed ones, row by row as sets; NULL, other types and other shapes
 * fail. */
void golden_compare_choices(golden *g, const char *name, const fv_var *computed);

/* A metadata entry that is JSON text, parsed; NULL when absent. */
fv_value *golden_meta(golden *g, const char *key);

/* Maps [B,H,W,C] as [B,C,H,W] and the other way round (shape is the argument's), in the file's arena;
 * other ranks are returned as they are.  NULL when memory runs out. */
const float *golden_planar(golden *g, const fv_shape *shape, const float *packed);
const float *golden_packed(golden *g, const fv_shape *shape, const float *planar);

/* printf into the file's arena. */
const char *golden_text(golden *g, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
