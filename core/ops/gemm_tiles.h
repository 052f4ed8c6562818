/* gemm_tiles.h - a matrix product cut into tiles: at most four plans, for full and last tiles. */
#ifndef FV_CORE_OPS_GEMM_TILES_H
#define FV_CORE_OPS_GEMM_TILES_H

#include "core/backend/backend.h"

/* Plans of one product whose m and n are cut into tiles; [0] full, [1] last when shorter. */
typedef struct fv_gemm_tiles {
    const fv_gemm_plan *plan[2][2];
    int64_t m, n; /* of a full tile */
} fv_gemm_tiles;

/* desc describes a full tile; last_m and last_n are the sizes of the shorter last tiles (0: none).  An ldc
 * of 0 stands for packed results, whose row stride is the width of the tile, full or last. */
fv_status fv_gemm_tiles_find(const fv_gemm *desc, int64_t last_m, int64_t last_n,
                             fv_gemm_tiles *out);

/* Bytes of packed op(B) of a full tile's columns, at least as many as of a last one's; 0: it is read as it is,
 * because desc does not want it packed or because a plan does not pack. */
size_t fv_gemm_tiles_packed_bytes(const fv_gemm_tiles *tiles);

/* Packs columns of the op(B) of a tile of n columns, as gemm_pack does. */
void fv_gemm_tiles_pack(const fv_gemm_tiles *tiles, int64_t n, const void *b, int64_t first,
                        int64_t count, void *packed);

/* Runs the plan for a tile of m x n, which must be full or last in either direction. */
fv_status fv_gemm_tiles_run(const fv_gemm_tiles *tiles, int64_t m, int64_t n, const void *a,
                            const void *b, const float *bias, void *c);

#endif
