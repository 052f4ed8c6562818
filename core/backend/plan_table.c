#include "core/backend/plan_table.h"

#include "core/kernels/kernels.h"

#include <string.h>

static fv_status check_gemm(const fv_gemm *g) {
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
    if (g->apart && g->trans_a)
        return FV_FAIL(FV_ERR_UNSUPPORTED, "gemm: rows apart of a transposed matrix");
    if (g->accumulate && g->c != FV_F32)
        return FV_FAIL(FV_ERR_UNSUPPORTED, "gemm: accumulating into %s", fv_dtype_name(g->c));
    return FV_OK;
}

fv_status fv_gemm_normalise(const fv_gemm *desc, fv_gemm *out) {
    FV_TRY(check_gemm(desc));
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
    out->apart = desc->apart != 0;
    out->packed = desc->packed != 0;
    out->ab = desc->ab;
    out->c = desc->c;
    return FV_OK;
}

void fv_gemm_add_bias(const fv_gemm *g, const float *bias, float *c) {
    if (!g->bias || !g->accumulate) return;
    for (int64_t i = 0; i < g->m; i++) fv_kernel()->axpy(g->n, 1.0f, bias, c + i * g->ldc);
}

int64_t fv_conv_rows(const fv_conv *c) {
    return (c->H + c->top + c->bottom - c->kh) / (c->stride > 0 ? c->stride : 1) + 1;
}

int64_t fv_conv_columns(const fv_conv *c) {
    return (c->W + c->left + c->right - c->kw) / (c->stride > 0 ? c->stride : 1) + 1;
}

static fv_status check_conv(const fv_conv *c) {
    if (c->n < 1 || c->H < 1 || c->W < 1 || c->C < 1 || c->O < 1 || c->kh < 1 || c->kw < 1)
        return FV_FAIL(FV_ERR_SHAPE, "conv: %lld maps %lldx%lldx%lld to %lld by %lldx%lld",
                       (long long)c->n, (long long)c->H, (long long)c->W, (long long)c->C,
                       (long long)c->O, (long long)c->kh, (long long)c->kw);
    if (c->stride < 1 || c->groups < 1 || c->C % c->groups || c->O % c->groups)
        return FV_FAIL(FV_ERR_SHAPE, "conv: stride %lld, %lld groups of %lld and %lld channels",
                       (long long)c->stride, (long long)c->groups, (long long)c->C,
                       (long long)c->O);
    if (c->top < 0 || c->left < 0 || c->bottom < 0 || c->right < 0 ||
        c->H + c->top + c->bottom < c->kh || c->W + c->left + c->right < c->kw)
        return FV_FAIL(FV_ERR_SHAPE, "conv: a %lldx%lld map is too small for a %lldx%lld kernel",
                       (long long)c->H, (long long)c->W, (long long)c->kh, (long long)c->kw);
    if ((c->in != FV_F32 && c->in != FV_BF16) || (c->out != FV_F32 && c->out != FV_BF16) ||
        (c->out == FV_BF16 && (c->in == FV_F32 || c->pass == FV_CONV_WEIGHTS)))
        return FV_FAIL(FV_ERR_UNSUPPORTED, "conv: types %s and %s", fv_dtype_name(c->in),
                       fv_dtype_name(c->out));
    return FV_OK;
}

fv_status fv_conv_normalise(const fv_conv *desc, fv_conv *out) {
    memset(out, 0, sizeof *out);
    out->n = desc->n;
    out->H = desc->H;
    out->W = desc->W;
    out->C = desc->C;
    out->O = desc->O;
    out->kh = desc->kh;
    out->kw = desc->kw;
    out->stride = desc->stride == 0 ? 1 : desc->stride;
    out->top = desc->top;
    out->left = desc->left;
    out->bottom = desc->bottom;
    out->right = desc->right;
    out->groups = desc->groups == 0 ? 1 : desc->groups;
    out->pass = desc->pass;
    out->bias = desc->pass == FV_CONV_FORWARD && desc->bias != 0;
    out->in = desc->in;
    out->out = desc->out;
    return check_conv(out);
}

/* FNV-1a (Fowler, Noll and Vo). */
static size_t bucket_of(const fv_plan_table *table, const void *key) {
    const unsigned char *bytes = key;
    uint64_t hash = 0xcbf29ce484222325u;

    for (size_t i = 0; i < table->key_bytes; i++) hash = (hash ^ bytes[i]) * 0x100000001b3u;
    return (size_t)(hash ^ (hash >> 32)) % FV_PLAN_BUCKETS;
}

fv_plan_node *fv_plan_table_find(const fv_plan_table *table, const void *key) {
    fv_plan_node *node = table->bucket[bucket_of(table, key)];
    while (node && memcmp(node->key, key, table->key_bytes) != 0) node = node->next;
    return node;
}

void fv_plan_table_add(fv_plan_table *table, fv_plan_node *node) {
    fv_plan_node **bucket = &table->bucket[bucket_of(table, node->key)];
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
