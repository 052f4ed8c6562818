#include "core/backend/plan_table.h"

#include <string.h>

static fv_status check(const fv_gemm *g) {
    const int64_t lda = g->trans_a ? g->m : g->k, ldb = g->trans_b ? g->k : g->n;

    if (g->m < 1 || g->n < 1 || g->k < 1)
        return FV_FAIL(FV_ERR_SHAPE, "gemm: empty product %lldx%lldx%lld", (long long)g->m,
                       (long long)g->n, (long long)g->k);
    if (g->lda < lda || g->ldb < ldb || g->ldc < g->n)
        return FV_FAIL(FV_ERR_SHAPE,
                       "gemm: leading dimensions %lld %lld %lld, at least %lld %lld %lld",
                       (long long)g->lda, (long long)g->ldb, (long long)g->ldc, (long long)lda,
                       (long long)ldb, (long long)g->n);
    if ((g->ab != FV_F32 && g->ab != FV_BF16) || (g->c != FV_F32 && g->c != FV_BF16))
        return FV_FAIL(FV_ERR_UNSUPPORTED, "gemm: types %s and %s", fv_dtype_name(g->ab),
                       fv_dtype_name(g->c));
    if (g->ab == FV_F32 && g->c == FV_BF16)
        return FV_FAIL(FV_ERR_UNSUPPORTED, "gemm: F32 inputs with a BF16 result");
    if (g->accumulate && g->c != FV_F32)
        return FV_FAIL(FV_ERR_UNSUPPORTED, "gemm: accumulating into %s", fv_dtype_name(g->c));
    return FV_OK;
}

fv_status fv_gemm_normalise(const fv_gemm *desc, fv_gemm *out) {
    FV_TRY(check(desc));
    memset(out, 0, sizeof *out);
    out->m = desc->m;
    out->n = desc->n;
    out->k = desc->k;
    out->lda = desc->lda;
    out->ldb = desc->ldb;
    out->ldc = desc->ldc;
    out->alpha = desc->alpha < 0.0f || desc->alpha > 0.0f ? desc->alpha : 1.0f;
    out->trans_a = desc->trans_a != 0;
    out->trans_b = desc->trans_b != 0;
    out->accumulate = desc->accumulate != 0;
    out->bias = desc->bias != 0;
    out->ab = desc->ab;
    out->c = desc->c;
    return FV_OK;
}

/* FNV-1a (Fowler, Noll and Vo). */
static size_t bucket_of(const fv_gemm *g) {
    unsigned char bytes[sizeof *g];
    uint64_t hash = 0xcbf29ce484222325u;

    memcpy(bytes, g, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++) hash = (hash ^ bytes[i]) * 0x100000001b3u;
    return (size_t)(hash ^ (hash >> 32)) % FV_PLAN_BUCKETS;
}

fv_plan_node *fv_plan_table_find(const fv_plan_table *table, const fv_gemm *normalised) {
    fv_plan_node *node = table->bucket[bucket_of(normalised)];
    while (node && memcmp(&node->desc, normalised, sizeof *normalised) != 0) node = node->next;
    return node;
}

void fv_plan_table_add(fv_plan_table *table, fv_plan_node *node) {
    fv_plan_node **bucket = &table->bucket[bucket_of(&node->desc)];
    node->next = *bucket;
    *bucket = node;
}

void fv_plan_table_clear(fv_plan_table *table, void (*destroy)(fv_plan_node *node)) {
    for (size_t i = 0; i < FV_PLAN_BUCKETS; i++) {
        for (fv_plan_node *node = table->bucket[i]; node;) {
            fv_plan_node *next = node->next;
            destroy(node);
            node = next;
        }
        table->bucket[i] = NULL;
    }
}
