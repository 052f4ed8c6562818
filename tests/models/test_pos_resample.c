#include "models/pos_resample.h"

#include <criterion/criterion.h>
#include <math.h>

#define SIZE(h, w) ((fv_grid_size){h, w})

TestSuite(models_pos_resample);

/* Value i of channel d is sin(1.3 i + 0.7 d). */
static void check(fv_grid_size from, fv_grid_size to, int64_t D, const float *expected) {
    float in[64], out[64];

    for (int64_t i = 0; i < from.h * from.w * D; i++)
        in[i] = (float)sin(1.3 * (double)(i / D) + 0.7 * (double)(i % D));

    cr_assert_eq(fv_pos_resample(in, from, to, D, out), FV_OK);
    for (int64_t i = 0; i < to.h * to.w * D; i++)
        cr_expect(fabsf(out[i] - expected[i]) <= 1e-6f * fmaxf(1.0f, fabsf(expected[i])),
                  "%d: %.8g, not %.8g", (int)i, (double)out[i], (double)expected[i]);
}

/* interpolate(mode="bicubic", antialias=True) of PyTorch 2, which timm resizes positions with. */
Test(models_pos_resample, enlarging_and_shrinking_equal_pytorch) {
    check(SIZE(2, 2), SIZE(3, 3), 2,
          (const float[]){-0.106684856f, 0.674773395f, 0.519141614f, 0.865736008f, 1.14496827f,
                          1.0566988f, 0.265635848f, 0.262014419f, 0.197823361f, 0.100519598f,
                          0.130010813f, -0.060975343f, 0.637956738f, -0.150744736f, -0.123495027f,
                          -0.66469717f, -0.884947121f, -1.1786499f});
    check(SIZE(5, 5), SIZE(3, 4), 1,
          (const float[]){0.275332808f, 0.871993721f, -0.309120387f, -0.885910153f, 0.570021212f,
                          0.721780837f, -0.586750567f, -0.716495514f, 0.796928525f, 0.485741436f,
                          -0.794610441f, -0.461882651f});
    check(SIZE(3, 4), SIZE(5, 2), 2,
          (const float[]){0.584264517f,  0.762973189f,  -0.0108333221f, -0.499757648f,
                          0.297087073f,  0.613797426f,  0.25971666f,    -0.198943123f,
                          -0.19875735f,  0.301864684f,  0.663007438f,   0.307165891f,
                          -0.566892326f, -0.204028144f, 0.640289664f,   0.615908682f,
                          -0.754561663f, -0.504332721f, 0.578904331f,   0.762940288f});
}

Test(models_pos_resample, a_constant_stays_and_channels_do_not_mix) {
    float in[25 * 2], out[49 * 2];

    for (int i = 0; i < 25; i++) {
        in[2 * i] = 3.5f;
        in[2 * i + 1] = (float)(i % 5);
    }
    cr_assert_eq(fv_pos_resample(in, SIZE(5, 5), SIZE(7, 7), 2, out), FV_OK);
    for (int i = 0; i < 49; i++) {
        cr_assert_eq(out[2 * i], 3.5f);
        cr_assert_eq(out[2 * i + 1], out[2 * (i % 7) + 1], "columns depend on the column alone");
    }
}

Test(models_pos_resample, the_same_grid_is_a_copy) {
    float in[12], out[12];

    for (int i = 0; i < 12; i++) in[i] = sinf((float)i);
    cr_assert_eq(fv_pos_resample(in, SIZE(3, 4), SIZE(3, 4), 1, out), FV_OK);
    for (int i = 0; i < 12; i++) cr_assert_eq(out[i], in[i]);
}
