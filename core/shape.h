/* shape.h - dimensions of a dense row-major tensor, rank 0 to 6. */
#ifndef FV_CORE_SHAPE_H
#define FV_CORE_SHAPE_H

#include "core/status.h"

#include <stdbool.h>
#include <stdint.h>

#define FV_MAX_RANK 6

typedef struct fv_shape {
    int rank;
    int64_t dim[FV_MAX_RANK]; /* outermost first; unused entries are 0 */
} fv_shape;

/* fv_shape_of(3, B, N, C) */
fv_shape fv_shape_of(int rank, ...);

int64_t fv_shape_numel(const fv_shape *s); /* 1 for rank 0 */
int64_t fv_shape_last(const fv_shape *s);  /* last dim, 1 for rank 0 */
int64_t fv_shape_rows(const fv_shape *s);  /* numel / last dim */
bool fv_shape_equal(const fv_shape *a, const fv_shape *b);

/* The product of the dims, or FV_ERR_SHAPE when one is negative or the product overflows. */
fv_status fv_shape_check(const fv_shape *s, int64_t *numel);

#define FV_SHAPE_TEXT 128
/* "2x197x192" ("scalar" for rank 0) into text; returns text. */
const char *fv_shape_text(const fv_shape *s, char text[FV_SHAPE_TEXT]);

#endif
