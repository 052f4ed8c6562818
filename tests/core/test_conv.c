/* Convolutions: oneDNN against the reference against double precision over random geometries, the
 * implementations behind the models' layers, and bits that do not depend on threads. */
#include "core/alloc.h"
#include "core/backend/backend.h"
#include "core/kernels/kernels.h"
#include "core/parallel.h"
#include "core/rng.h"
#include "tests/support/random_tensor.h"

#include <criterion/criterion.h>

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static const fv_backend_table *const tables[] = {&fv_backend_ref, &fv_backend_dnnl};

static uint32_t draws;

static uint32_t draw(uint32_t n) {
    const fv_rng_key key = {.seed = 15, .purpose = FV_RNG_TEST};
    return fv_rng_below(&key, draws++, n);
}

static void leave(void) {
    fv_alloc_fail_at(0);
    fv_backend_ref.release();
    fv_backend_dnnl.release();
    fv_threads_set(1);
}

TestSuite(core_conv, .fini = leave);

/* ---- one convolution ---- */

typedef struct sizes {
    int64_t x, w, y;
} sizes;

static sizes sizes_of(const fv_conv *c) {
    return (sizes){.x = c->n * c->H * c->W * c->C,
                   .w = c->O * (c->C / c->groups) * c->kh * c->kw,
                   .y = c->n * fv_conv_rows(c) * fv_conv_columns(c) * c->O};
}

static fv_tensor make(fv_dtype dtype, int64_t n, uint32_t layer) {
    const fv_rng_key key = {.seed = 16, .purpose = FV_RNG_TEST, .layer = layer};
    return random_tensor(&key, dtype, n);
}

/* Inputs of any pass, and where results go: x and dx have one shape, and so on. */
typedef struct problem {
    fv_conv c;
    sizes n;
    fv_tensor x, w, y, bias;
} problem;

static problem make_problem(const fv_conv *c) {
    problem p = {.c = *c, .n = sizes_of(c)};

    p.x = make(c->in, p.n.x, 1);
    p.w = make(c->in, p.n.w, 2);
    p.y = make(c->in, p.n.y, 3); /* dy */
    p.bias = make(FV_F32, c->O, 4);
    return p;
}

static void free_problem(problem *p) {
    fv_free(p->x.data);
    fv_free(p->w.data);
    fv_free(p->y.data);
    fv_free(p->bias.data);
}

static int64_t result_size(const problem *p) {
    return p->c.pass == FV_CONV_FORWARD ? p->n.y : p->c.pass == FV_CONV_DATA ? p->n.x : p->n.w;
}

/* The result in double, and the sum of magnitudes that bounds its rounding. */
static void oracle(const problem *p, double *out, double *size) {
    const fv_conv *c = &p->c;
    const int64_t C = c->C / c->groups, O = c->O / c->groups, Ho = fv_conv_rows(c),
                  Wo = fv_conv_columns(c);

    memset(out, 0, (size_t)result_size(p) * sizeof *out);
    memset(size, 0, (size_t)result_size(p) * sizeof *size);
    for (int64_t at = 0; at < p->n.y; at++) {
        const int64_t o = at % c->O, q = at / c->O % Wo, r = at / c->O / Wo % Ho;
        const int64_t image = at / c->O / Wo / Ho;
        for (int64_t k = 0; k < c->kh * c->kw * C; k++) {
            const int64_t i = k / (c->kh * c->kw), t = k % (c->kh * c->kw);
            const int64_t row = r * c->stride - c->top + t / c->kw;
            const int64_t column = q * c->stride - c->left + t % c->kw;
            if (row < 0 || row >= c->H || column < 0 || column >= c->W) continue;
            const int64_t ix = ((image * c->H + row) * c->W + column) * c->C + o / O * C + i;
            const int64_t iw = o * C * c->kh * c->kw + k;
            const double x = (double)fv_tensor_get(&p->x, ix), w = (double)fv_tensor_get(&p->w, iw);
            const double dy = (double)fv_tensor_get(&p->y, at);
            const int64_t to = c->pass == FV_CONV_FORWARD ? at : c->pass == FV_CONV_DATA ? ix : iw;
            const double v = c->pass == FV_CONV_FORWARD ? x * w
                             : c->pass == FV_CONV_DATA  ? dy * w
                                                        : x * dy;
            out[to] += v;
            size[to] += fabs(v);
        }
        if (c->pass == FV_CONV_FORWARD && c->bias) out[at] += (double)fv_tensor_get(&p->bias, o);
    }
}

static fv_status run(const fv_backend_table *table, const problem *p, void *packed,
                     const fv_conv_plan *plan, void *out) {
    if (p->c.pass == FV_CONV_FORWARD)
        return table->conv_run(plan, p->x.data, packed, p->c.bias ? p->bias.data : NULL, out);
    if (p->c.pass == FV_CONV_DATA) return table->conv_run(plan, p->y.data, packed, NULL, out);
    return table->conv_run(plan, p->x.data, p->y.data, NULL, out);
}

static void *pack(const fv_backend_table *table, const problem *p, const fv_conv_plan *plan) {
    const size_t bytes = table->conv_packed_bytes(plan);

    if (bytes == 0) return NULL;
    void *packed = fv_alloc(bytes, 1);
    cr_assert_not_null(packed);
    memset(packed, 0xff, bytes);
    cr_assert_eq(table->conv_pack(plan, p->w.data, packed), FV_OK, "%s", fv_error_message());
    return packed;
}

static void check(const fv_backend_table *table, const problem *p) {
    const fv_conv *c = &p->c;
    const int64_t n = result_size(p);
    double *want = fv_alloc((size_t)n, sizeof *want), *size = fv_alloc((size_t)n, sizeof *size);
    fv_tensor got = make(c->out, n + 1, 5);
    const float mark = fv_tensor_get(&got, n);
    const fv_conv_plan *plan;

    cr_assert_eq(table->conv_find(c, &plan), FV_OK, "%s", fv_error_message());
    void *packed = pack(table, p, plan);
    cr_assert_eq(run(table, p, packed, plan, got.data), FV_OK, "%s", fv_error_message());
    cr_assert_eq(fv_tensor_get(&got, n), mark, "written beyond the end");
    oracle(p, want, size);
    for (int64_t i = 0; i < n; i++) {
        const double v = (double)fv_tensor_get(&got, i);
        const double bound = 1e-6 * (size[i] + 1.0) + (c->out == FV_BF16 ? fabs(want[i]) / 256 : 0);
        cr_assert(
            fabs(v - want[i]) <= bound,
            "%s %s, pass %d, %s>%s: %d maps %dx%dx%d to %d by %dx%d, stride %d, padding %d %d "
            "%d %d, %d groups, bias %d: element %d is %.8g, not %.8g",
            table->name, table->conv_implementation(plan), (int)c->pass, fv_dtype_name(c->in),
            fv_dtype_name(c->out), (int)c->n, (int)c->H, (int)c->W, (int)c->C, (int)c->O,
            (int)c->kh, (int)c->kw, (int)c->stride, (int)c->top, (int)c->left, (int)c->bottom,
            (int)c->right, (int)c->groups, c->bias, (int)i, v, want[i]);
    }
    fv_free(packed);
    fv_free(got.data);
    fv_free(want);
    fv_free(size);
}

static fv_conv random_conv(fv_dtype in, fv_conv_pass pass) {
    static const int64_t kernels[] = {1, 2, 3, 3, 5, 7};
    static const int64_t channels[] = {1, 3, 4, 8, 16, 24, 33};
    fv_conv c = {.n = 1 + draw(3), .pass = pass, .in = in, .bias = (int32_t)draw(2)};

    c.kh = kernels[draw(6)];
    c.kw = draw(3) ? c.kh : kernels[draw(6)];
    c.stride = 1 + draw(3);
    c.top = draw((uint32_t)c.kh);
    c.left = draw((uint32_t)c.kw);
    c.bottom = draw((uint32_t)c.kh);
    c.right = draw((uint32_t)c.kw);
    c.H = c.kh + draw(9);
    c.W = c.kw + draw(9);
    c.groups = draw(3) ? 1 : 1 + draw(4);
    c.C = c.groups * channels[draw(c.groups > 1 ? 5 : 7)];
    c.O = c.groups * channels[draw(c.groups > 1 ? 5 : 7)];
    if (draw(4) == 0) c.groups = c.O = c.C = 1 + draw(70); /* depthwise */
    c.out = in == FV_BF16 && pass != FV_CONV_WEIGHTS && draw(2) ? FV_BF16 : FV_F32;
    return c;
}

static void check_random(const fv_backend_table *table, fv_dtype in, int count) {
    draws = 0;
    for (int i = 0; i < count; i++) {
        const fv_conv c = random_conv(in, (fv_conv_pass)(i % 3));
        problem p = make_problem(&c);
        check(table, &p);
        free_problem(&p);
    }
}

static void set_avx2(void) { setenv("FOVEA_CPU", "avx2", 1); }

Test(core_conv, reference_f32) { check_random(&fv_backend_ref, FV_F32, 90); }
Test(core_conv, reference_bf16) { check_random(&fv_backend_ref, FV_BF16, 60); }
Test(core_conv, onednn_f32) { check_random(&fv_backend_dnnl, FV_F32, 240); }
Test(core_conv, onednn_below_avx512, .init = set_avx2) {
    check_random(&fv_backend_dnnl, FV_F32, 120);
    check_random(&fv_backend_dnnl, FV_BF16, 120);
}
Test(core_conv, onednn_bf16) { check_random(&fv_backend_dnnl, FV_BF16, 180); }

/* More output channels, pixels and weights of an output than a block of our kernel takes at once; the maps are
 * wider than high, and the last block is cut in the middle of a row. */
static void check_large_weight_gradients(void) {
    static const fv_dtype dtypes[] = {FV_F32, FV_BF16};

    for (int i = 0; i < 8; i++) {
        fv_conv c = {.n = 3, .H = 11, .W = 21, .C = 46, .O = 197, .kh = 3, .kw = 3, .groups = 1};
        c.pass = FV_CONV_WEIGHTS;
        c.in = dtypes[i & 1];
        c.stride = i & 2 ? 2 : 1;
        c.left = c.bottom = 1;
        c.top = i & 4 ? 2 : 0;
        c.right = i & 4 ? 0 : 2;
        if (i & 4) c.n = 1, c.C = 150, c.O = 140; /* and more channels than a part has */
        problem p = make_problem(&c);
        check(&fv_backend_dnnl, &p);
        free_problem(&p);
    }
    fv_backend_dnnl.release();
}

Test(core_conv, large_weight_gradients) { check_large_weight_gradients(); }
Test(core_conv, large_below_avx512, .init = set_avx2) { check_large_weight_gradients(); }

/* Maps narrower and lower than the kernel, which padding makes large enough. */
static void check_small_maps(fv_dtype in, bool ours) {
    const fv_conv_plan *plan;

    for (int64_t W = 1; W <= 6; W++) {
        const fv_conv c = {.n = 2,
                           .H = 7 - W,
                           .W = W,
                           .C = 18,
                           .O = 5,
                           .kh = 5,
                           .kw = 5,
                           .stride = 1 + W % 3,
                           .top = 2,
                           .left = 3,
                           .bottom = 4,
                           .right = 2,
                           .groups = 1,
                           .pass = FV_CONV_WEIGHTS,
                           .in = in};
        problem p = make_problem(&c);
        check(&fv_backend_dnnl, &p);
        free_problem(&p);
        cr_assert_eq(fv_backend_dnnl.conv_find(&c, &plan), FV_OK);
        if (ours) cr_expect_str_eq(fv_backend_dnnl.conv_implementation(plan), "fovea:panels");
    }
    fv_backend_dnnl.release();
}

Test(core_conv, our_weight_gradient, .init = set_avx2) {
    check_small_maps(FV_F32, strcmp(fv_kernel()->isa, "avx2") == 0);
}

Test(core_conv, our_weight_gradient_in_bf16) {
    const unsigned wanted = FV_CPU_AVX512_BF16 | FV_CPU_AMX_BF16;
    check_small_maps(FV_BF16, (fv_cpu_flags() & wanted) == FV_CPU_AVX512_BF16);
}

/* Wide rows, several pieces and strips, and zeros on every side. */
Test(core_conv, our_depthwise_weight_gradient) {
    for (int64_t stride = 1; stride <= 2; stride++) {
        const fv_conv c = {.n = 2,
                           .H = 9,
                           .W = 150,
                           .C = 70,
                           .O = 70,
                           .kh = 5,
                           .kw = 5,
                           .stride = stride,
                           .top = 2,
                           .left = 4,
                           .bottom = 3,
                           .right = 1,
                           .groups = 70,
                           .pass = FV_CONV_WEIGHTS};
        const fv_conv_plan *plan;
        problem p = make_problem(&c);
        check(&fv_backend_dnnl, &p);
        cr_assert_eq(fv_backend_dnnl.conv_find(&c, &plan), FV_OK);
        cr_expect_eq(strncmp(fv_backend_dnnl.conv_implementation(plan), "fovea", 5), 0);
        free_problem(&p);
    }
}

/* ---- implementations ---- */

typedef struct geometry {
    int64_t size, C, O, kernel, stride, padding, groups;
} geometry;

/* Layers of the published models at their published image sizes. */
static const geometry layers[] = {
    /* HaloNet and ResNet: stems, bottlenecks, shortcuts and strided queries, grouped 3x3 */
    {256, 3, 64, 7, 2, 3, 1},
    {224, 3, 64, 7, 2, 3, 1},
    {256, 3, 24, 3, 2, 1, 1},
    {128, 24, 32, 3, 1, 1, 1},
    {128, 32, 64, 3, 1, 1, 1},
    {64, 64, 64, 3, 1, 1, 1},
    {56, 64, 64, 3, 1, 1, 1},
    {64, 128, 128, 3, 2, 1, 1},
    {28, 128, 128, 3, 1, 1, 1},
    {14, 256, 256, 3, 1, 1, 1},
    {14, 512, 512, 3, 2, 1, 1},
    {7, 512, 512, 3, 1, 1, 1},
    {64, 256, 512, 1, 2, 0, 1},
    {32, 128, 128, 1, 2, 0, 1},
    {64, 64, 64, 3, 1, 1, 4},
    {32, 256, 256, 3, 2, 1, 16},
    /* BiFormer: downsampling, positions, LEPE */
    {224, 3, 32, 3, 2, 1, 1},
    {112, 32, 64, 3, 2, 1, 1},
    {112, 48, 96, 3, 2, 1, 1},
    {56, 64, 128, 3, 2, 1, 1},
    {14, 256, 512, 3, 2, 1, 1},
    {56, 64, 64, 3, 1, 1, 64},
    {7, 512, 512, 3, 1, 1, 512},
    {56, 64, 64, 5, 1, 2, 64},
    {28, 192, 192, 5, 1, 2, 192},
    {7, 512, 512, 5, 1, 2, 512},
    {224, 3, 96, 4, 4, 0, 1},
    {56, 96, 192, 2, 2, 0, 1},
    /* DaViT: stem, downsampling, positions */
    {224, 3, 96, 7, 4, 3, 1},
    {56, 128, 256, 2, 2, 0, 1},
    {56, 96, 96, 3, 1, 1, 96},
    {7, 768, 768, 3, 1, 1, 768}};

/* A step must not fall to an implementation without blocking or vectors. */
static void check_implementations(fv_dtype in) {
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
        for (int pass = FV_CONV_FORWARD; pass <= FV_CONV_WEIGHTS; pass++) {
            const geometry *g = &layers[i];
            const fv_conv c = {.n = 1,
                               .H = g->size,
                               .W = g->size,
                               .C = g->C,
                               .O = g->O,
                               .kh = g->kernel,
                               .kw = g->kernel,
                               .stride = g->stride,
                               .top = g->padding,
                               .left = g->padding,
                               .bottom = g->padding,
                               .right = g->padding,
                               .groups = g->groups,
                               .pass = (fv_conv_pass)pass,
                               .bias = 1,
                               .in = in};
            const fv_conv_plan *plan;
            cr_assert_eq(fv_backend_dnnl.conv_find(&c, &plan), FV_OK, "%s", fv_error_message());
            const char *name = fv_backend_dnnl.conv_implementation(plan);
            cr_expect_neq(strncmp(name, "ref", 3), 0, "layer %d, pass %d, %s: %s", (int)i, pass,
                          fv_dtype_name(in), name);
        }
}

Test(core_conv, no_reference_implementation_in_the_models) {
    check_implementations(FV_F32);
    check_implementations(FV_BF16);
}

/* bf16 is widened there, for the plans of f32. */
Test(core_conv, no_reference_implementation_below_avx512, .init = set_avx2) {
    if (fv_cpu_flags() & FV_CPU_AVX2) check_implementations(FV_F32);
}

/* ---- descriptors and plans ---- */

static const fv_conv small = {
    .n = 1, .H = 6, .W = 7, .C = 8, .O = 4, .kh = 3, .kw = 3, .groups = 2};

static fv_status status_of(const fv_backend_table *table, const fv_conv *c) {
    const fv_conv_plan *plan;
    const fv_status status = table->conv_find(c, &plan);
    cr_assert((plan != NULL) == (status == FV_OK));
    return status;
}

Test(core_conv, bad_descriptors_are_refused) {
    for (int t = 0; t < 2; t++) {
        fv_conv c = small;
        cr_expect_eq(status_of(tables[t], &c), FV_OK);
        c.H = 2;
        cr_expect_eq(status_of(tables[t], &c), FV_ERR_SHAPE);
        c.top = 1;
        cr_expect_eq(status_of(tables[t], &c), FV_OK);
        c = small;
        c.groups = 3;
        cr_expect_eq(status_of(tables[t], &c), FV_ERR_SHAPE);
        c = small;
        c.O = 5;
        cr_expect_eq(status_of(tables[t], &c), FV_ERR_SHAPE);
        c = small;
        c.stride = -1;
        cr_expect_eq(status_of(tables[t], &c), FV_ERR_SHAPE);
        c = small;
        c.left = -1;
        cr_expect_eq(status_of(tables[t], &c), FV_ERR_SHAPE);
        c = small;
        c.n = 0;
        cr_expect_eq(status_of(tables[t], &c), FV_ERR_SHAPE);
        c = small;
        c.in = FV_U8;
        cr_expect_eq(status_of(tables[t], &c), FV_ERR_UNSUPPORTED);
        c = small;
        c.out = FV_BF16;
        cr_expect_eq(status_of(tables[t], &c), FV_ERR_UNSUPPORTED);
        c.in = FV_BF16;
        c.pass = FV_CONV_WEIGHTS;
        cr_expect_eq(status_of(tables[t], &c), FV_ERR_UNSUPPORTED);
    }
}

Test(core_conv, a_shape_is_planned_once) {
    for (int t = 0; t < 2; t++) {
        const fv_conv_plan *first, *second, *other;
        fv_conv again;
        memset(&again, 0xff, sizeof again); /* padding bytes differ */
        again.n = small.n, again.H = small.H, again.W = small.W, again.C = small.C;
        again.O = small.O, again.kh = small.kh, again.kw = small.kw, again.groups = small.groups;
        again.top = again.left = again.bottom = again.right = 0;
        again.stride = 1; /* what 0 stands for */
        again.pass = FV_CONV_FORWARD;
        again.in = again.out = FV_F32;
        again.bias = 0;

        fv_threads_set(3);
        const uint64_t before = tables[t]->plans_created();
        cr_assert_eq(tables[t]->conv_find(&small, &first), FV_OK);
        cr_expect_eq(tables[t]->plans_created(), before + 1);
        const uint64_t calls = fv_alloc_calls();
        cr_assert_eq(tables[t]->conv_find(&again, &second), FV_OK);
        cr_expect_eq(first, second);
        cr_expect_eq(tables[t]->plans_created(), before + 1);
        cr_expect_eq(fv_alloc_calls(), calls);
        again.pass = FV_CONV_DATA;
        cr_assert_eq(tables[t]->conv_find(&again, &other), FV_OK);
        cr_expect_neq(first, other);
    }
}

static void check_failed_allocations(const fv_conv *c) {
    fv_threads_set(2);
    for (int t = 0; t < 2; t++) {
        fv_status status = FV_ERR_NOMEM;
        uint64_t n = 0;
        while (status != FV_OK && ++n < 50) {
            tables[t]->release();
            fv_alloc_fail_at(n);
            status = status_of(tables[t], c);
            fv_alloc_fail_at(0);
            cr_assert(status == FV_OK || status == FV_ERR_NOMEM);
            cr_assert_eq(status_of(tables[t], c), FV_OK, "usable after a failure");
        }
        cr_expect(n > 1 && n < 50);
    }
}

Test(core_conv, failed_allocations_are_reported) {
    for (int pass = FV_CONV_FORWARD; pass <= FV_CONV_WEIGHTS; pass++) {
        fv_conv c = small;
        c.pass = (fv_conv_pass)pass;
        check_failed_allocations(&c);
    }
}

static void check_failed_weight_gradient(fv_dtype in) {
    fv_conv c = small;
    c.pass = FV_CONV_WEIGHTS;
    c.groups = 1;
    c.C = 16;
    c.in = in;
    check_failed_allocations(&c);
}

Test(core_conv, failed_allocations_of_our_weight_gradient, .init = set_avx2) {
    check_failed_weight_gradient(FV_F32);
}

Test(core_conv, failed_allocations_of_our_weight_gradient_in_bf16) {
    check_failed_weight_gradient(FV_BF16);
}

/* ---- threads ---- */

#define JOBS 48

/* JOBS runs of one plan, side by side, on images of one map or on parts of one result. */
typedef struct jobs {
    const problem *p;
    const fv_conv_plan *plan;
    void *packed;
    char *out;
    size_t out_bytes;
    atomic_int failures;
} jobs;

static void run_job(int64_t task, void *arg) {
    jobs *j = arg;
    char *out = j->out + (size_t)task * j->out_bytes;
    if (run(&fv_backend_dnnl, j->p, j->packed, j->plan, out) != FV_OK) j->failures++;
}

static void check_threads(const fv_conv *c, int find_threads) {
    problem p = make_problem(c);
    jobs j = {.p = &p};
    j.out_bytes = (size_t)result_size(&p) * fv_dtype_bytes(c->out);
    char *alone = fv_calloc(JOBS, j.out_bytes), *together = fv_calloc(JOBS, j.out_bytes);

    cr_assert(alone && together);
    fv_backend_dnnl.release();
    fv_threads_set(1);
    cr_assert_eq(fv_backend_dnnl.conv_find(c, &j.plan), FV_OK, "%s", fv_error_message());
    j.packed = pack(&fv_backend_dnnl, &p, j.plan);
    j.out = alone;
    run_job(0, &j);
    for (int64_t i = 1; i < JOBS; i++) memcpy(alone + (size_t)i * j.out_bytes, alone, j.out_bytes);
    fv_threads_set(find_threads); /* fewer than run: some threads find no lane */
    cr_assert_eq(fv_backend_dnnl.conv_find(c, &j.plan), FV_OK);
    fv_threads_set(6);
    j.out = together;
    for (int repeat = 0; repeat < 4; repeat++) {
        memset(together, 0, JOBS * j.out_bytes);
        fv_parallel(JOBS, run_job, &j);
        cr_assert_eq(j.failures, 0);
        cr_expect_eq(memcmp(alone, together, JOBS * j.out_bytes), 0, "pass %d, repeat %d",
                     (int)c->pass, repeat);
    }
    /* A single task, and no task at all, while six threads are allowed. */
    memset(together, 0, JOBS * j.out_bytes);
    fv_parallel(1, run_job, &j);
    cr_expect_eq(memcmp(alone, together, j.out_bytes), 0);
    memset(together, 0, JOBS * j.out_bytes);
    run_job(0, &j);
    cr_expect_eq(memcmp(alone, together, j.out_bytes), 0);
    cr_assert_eq(j.failures, 0);
    fv_free(j.packed);
    fv_free(alone);
    fv_free(together);
    free_problem(&p);
}

static void check_all_threads(fv_dtype in, int find_threads) {
    const fv_conv wide = {.n = 2,
                          .H = 20,
                          .W = 20,
                          .C = 24,
                          .O = 40,
                          .kh = 3,
                          .kw = 3,
                          .stride = 2,
                          .top = 1,
                          .left = 1,
                          .bottom = 1,
                          .right = 1,
                          .in = in};
    for (int pass = FV_CONV_FORWARD; pass <= FV_CONV_WEIGHTS; pass++) {
        fv_conv c = wide;
        c.groups = 1;
        c.pass = (fv_conv_pass)pass;
        check_threads(&c, find_threads);
        c.groups = c.C = c.O;
        check_threads(&c, find_threads);
    }
}

Test(core_conv, one_plan_runs_on_many_threads_at_once) {
    check_all_threads(FV_F32, 6);
    check_all_threads(FV_BF16, 6);
}

Test(core_conv, more_threads_than_lanes) {
    check_all_threads(FV_F32, 2);
    check_all_threads(FV_BF16, 2);
}
Test(core_conv, many_threads_below_avx512, .init = set_avx2) {
    check_all_threads(FV_F32, 6);
    check_all_threads(FV_BF16, 6);
}
Test(core_conv, more_below_avx512, .init = set_avx2) { check_all_threads(FV_BF16, 2); }
