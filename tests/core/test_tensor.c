#include "core/tensor.h"

#include <criterion/criterion.h>

#include <math.h>
#include <string.h>

static float from_bits(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static uint32_t to_bits(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

Test(core_tensor, types_have_sizes_and_names) {
    static const struct {
        fv_dtype dtype;
        size_t bytes;
        const char *name;
    } types[] = {{FV_F32, 4, "F32"}, {FV_BF16, 2, "BF16"}, {FV_I32, 4, "I32"}, {FV_U8, 1, "U8"},
                 {FV_F64, 8, "F64"}, {FV_I64, 8, "I64"},   {FV_F16, 2, "F16"}};

    cr_assert_eq(sizeof types / sizeof *types, FV_DTYPE_COUNT);
    for (int i = 0; i < FV_DTYPE_COUNT; i++) {
        const fv_tensor t = {.dtype = types[i].dtype,
                             .shape = fv_shape_of(2, (int64_t)3, (int64_t)5)};
        cr_expect_eq(fv_dtype_bytes(types[i].dtype), types[i].bytes);
        cr_expect_str_eq(fv_dtype_name(types[i].dtype), types[i].name);
        cr_expect_eq(fv_tensor_bytes(&t), 15 * types[i].bytes);
    }
}

Test(core_tensor, every_bf16_survives_the_way_through_f32) {
    for (uint32_t v = 0; v <= 0xffff; v++) {
        const float f = fv_bf16_to_f32((fv_bf16)v);
        if (isnan(f))
            cr_assert(isnan(fv_bf16_to_f32(fv_bf16_from_f32(f))));
        else
            cr_assert_eq(fv_bf16_from_f32(f), v, "%04x", (unsigned)v);
    }
}

/* Nearest, and even between two: against the two neighbours in double arithmetic. */
Test(core_tensor, bf16_rounds_to_the_nearest_even) {
    static const uint16_t low[] = {0,      1,      0x7f,   0x80,   0x4001,
                                   0x7fff, 0x8000, 0x8001, 0xc000, 0xffff};
    static const uint32_t high[] = {0x0000, 0x0001, 0x007f, 0x0080, 0x3f80, 0x3f81, 0x4049, 0x7f7e};

    for (size_t i = 0; i < sizeof high / sizeof *high; i++) {
        for (size_t k = 0; k < sizeof low / sizeof *low; k++) {
            const float x = from_bits(high[i] << 16 | low[k]);
            const double below = fv_bf16_to_f32((fv_bf16)high[i]);
            const double above = fv_bf16_to_f32((fv_bf16)(high[i] + 1));
            const double to_below = (double)x - below, to_above = above - (double)x;
            uint32_t want = to_below < to_above ? high[i] : high[i] + 1;
            if (to_below == to_above) want = high[i] + (high[i] & 1);
            cr_expect_eq(fv_bf16_from_f32(x), want, "%08x", (unsigned)to_bits(x));
            cr_expect_eq(fv_bf16_from_f32(-x), want | 0x8000u);
        }
    }
}

Test(core_tensor, bf16_of_values_without_neighbours) {
    cr_expect_eq(fv_bf16_from_f32(INFINITY), 0x7f80);
    cr_expect_eq(fv_bf16_from_f32(-INFINITY), 0xff80);
    cr_expect_eq(fv_bf16_from_f32(from_bits(0x7f7fffffu)), 0x7f80); /* FLT_MAX is beyond */
    cr_expect_eq(fv_bf16_from_f32(from_bits(0x7f7f7fffu)), 0x7f7f);
    static const uint32_t nans[] = {0x7f800001u, 0x7fc00000u, 0x7fffffffu, 0xff800001u,
                                    0xffffffffu};
    for (size_t i = 0; i < sizeof nans / sizeof *nans; i++) {
        const fv_bf16 v = fv_bf16_from_f32(from_bits(nans[i]));
        cr_expect(isnan(fv_bf16_to_f32(v)), "%08x gives %04x", (unsigned)nans[i], v);
        cr_expect_eq(v >> 15, nans[i] >> 31);
    }
}

Test(core_tensor, every_half_by_its_definition) {
    for (uint32_t v = 0; v <= 0xffff; v++) {
        const int sign = v & 0x8000 ? -1 : 1, exponent = (int)(v >> 10 & 31), m = (int)(v & 1023);
        const float f = fv_f16_to_f32((uint16_t)v);
        if (exponent == 31 && m) {
            cr_assert(isnan(f));
            continue;
        }
        double want = exponent ? ldexp(1024 + m, exponent - 25) : ldexp(m, -24);
        if (exponent == 31) want = INFINITY;
        cr_assert_eq((double)f, sign * want, "%04x", (unsigned)v);
        cr_assert_eq(signbit(f) != 0, sign < 0);
    }
}

Test(core_tensor, elements) {
    float f[3] = {0};
    fv_bf16 h[3] = {0};
    fv_tensor t = {.data = f, .dtype = FV_F32, .shape = fv_shape_of(1, (int64_t)3)};

    fv_tensor_set(&t, 1, 1.2345678f);
    cr_expect(f[0] == 0 && f[1] == 1.2345678f && f[2] == 0);
    cr_expect_eq(fv_tensor_get(&t, 1), 1.2345678f);
    t.data = h;
    t.dtype = FV_BF16;
    fv_tensor_set(&t, 2, 1.2345678f);
    cr_expect(h[0] == 0 && h[1] == 0);
    cr_expect_eq(fv_tensor_get(&t, 2), 1.234375f);
}
