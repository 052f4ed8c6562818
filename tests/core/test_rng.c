#include "core/rng.h"

#include <criterion/criterion.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MIX(purpose) ((uint64_t)((uint32_t)(purpose)*0x85EBCA6Bu) << 32)

/* Known answers of the Random123 distribution (kat_vectors, philox4x32, 10 rounds). */
Test(core_rng, known_answers) {
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } vectors[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u}},
        {{~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}, {0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu}},
        {{0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u},
         {0xa4093822u, 0x299f31d0u},
         {0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u}},
    };

    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        const uint64_t seed = vectors[i].key[0] | (uint64_t)vectors[i].key[1] << 32;
        const uint32_t *c = vectors[i].counter;
        uint32_t out[4];
        for (int purpose = 0; purpose <= FV_RNG_RANDOM_MAP; purpose++) {
            const fv_rng_key key = {.seed = seed ^ MIX(purpose),
                                    .purpose = (fv_rng_purpose)purpose,
                                    .sample = c[1],
                                    .step = c[2],
                                    .layer = c[3]};
            fv_rng_block(&key, c[0], out);
            cr_expect_arr_eq(out, vectors[i].out, sizeof out, "vector %zu, purpose %d", i, purpose);
        }
    }
}

Test(core_rng, draws_are_words_of_blocks) {
    const fv_rng_key key = {.seed = 7, .purpose = FV_RNG_TEST, .step = 1, .sample = 2, .layer = 3};

    for (uint32_t i = 0; i < 40; i++) {
        uint32_t words[4];
        fv_rng_block(&key, i / 4, words);
        cr_assert_eq(fv_rng_u32(&key, i), words[i % 4]);
        cr_assert_eq(fv_rng_uniform(&key, i), (float)(words[i % 4] >> 8) / 16777216.0f);
        cr_assert_eq(fv_rng_below(&key, i, 10), (uint32_t)((uint64_t)words[i % 4] * 10 >> 32));
    }
    cr_expect_eq(fv_rng_below(&key, 0, 1), 0);
}

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Kolmogorov and Smirnov's distance of n values (sorted here) from a distribution function; times
 * sqrt(n) it stays below 1.95 with probability 0.999. */
static double distance(double *x, int n, double (*cdf)(double)) {
    double most = 0;

    qsort(x, (size_t)n, sizeof *x, by_value);
    for (int i = 0; i < n; i++) {
        const double f = cdf(x[i]);
        most = fmax(most, fmax(f - (double)i / n, (double)(i + 1) / n - f));
    }
    return most * sqrt(n);
}

static double uniform_cdf(double x) { return x; }
static double normal_cdf(double x) { return 0.5 * erfc(-x * sqrt(0.5)); }

#define DRAWS 40000
static double draws[DRAWS];

Test(core_rng, distributions) {
    const fv_rng_key key = {.seed = 1, .purpose = FV_RNG_TEST};

    for (int i = 0; i < DRAWS; i++) draws[i] = (double)fv_rng_uniform(&key, (uint64_t)i);
    cr_expect_lt(distance(draws, DRAWS, uniform_cdf), 1.95);
    cr_expect(draws[0] >= 0 && draws[DRAWS - 1] < 1);
    for (int i = 0; i < DRAWS; i++) draws[i] = fv_rng_uniform_double(&key, (uint64_t)i);
    cr_expect_lt(distance(draws, DRAWS, uniform_cdf), 1.95);
    cr_expect(draws[0] >= 0 && draws[DRAWS - 1] < 1);
    for (int i = 0; i < DRAWS; i++) draws[i] = (double)fv_rng_normal(&key, (uint64_t)i);
    cr_expect_lt(distance(draws, DRAWS, normal_cdf), 1.95);
}

Test(core_rng, doubles_have_53_bits) {
    const fv_rng_key key = {.seed = 2, .purpose = FV_RNG_TEST};
    uint64_t seen = 0, all = ~(uint64_t)0;

    for (uint64_t i = 0; i < 2000; i++) {
        const double scaled = fv_rng_uniform_double(&key, i) * 0x1p53;
        cr_assert_eq(scaled, floor(scaled));
        seen |= (uint64_t)scaled;
        all &= (uint64_t)scaled;
    }
    cr_expect_eq(seen, ((uint64_t)1 << 53) - 1); /* no bit is always 0 */
    cr_expect_eq(all, 0);                        /* or always 1 */
}

Test(core_rng, below_covers_its_range_evenly) {
    const fv_rng_key key = {.seed = 3, .purpose = FV_RNG_TEST};
    int count[7] = {0};
    double chi2 = 0;

    for (uint64_t i = 0; i < DRAWS; i++) {
        const uint32_t v = fv_rng_below(&key, i, 7);
        cr_assert_lt(v, 7);
        count[v]++;
    }
    for (int k = 0; k < 7; k++) {
        const double expected = DRAWS / 7.0;
        chi2 += (count[k] - expected) * (count[k] - expected) / expected;
    }
    cr_expect_lt(chi2, 22.46); /* 6 degrees of freedom, 0.999 */
}

/* Keys that differ in one field, or in one bit of the seed, give unrelated draws. */
Test(core_rng, streams_are_independent) {
    enum { KEYS = 12, N = 4096 };
    fv_rng_key keys[KEYS];
    static float x[KEYS][N];

    for (int k = 0; k < KEYS; k++) keys[k] = (fv_rng_key){.seed = 5, .purpose = FV_RNG_TEST};
    keys[1].seed = 4;
    keys[2].seed = 5 | (uint64_t)1 << 32;
    keys[3].seed = 5 | (uint64_t)1 << 63;
    keys[4].purpose = FV_RNG_INIT;
    keys[5].purpose = FV_RNG_SHUFFLE;
    keys[6].purpose = FV_RNG_AUGMENT;
    keys[7].step = 1;
    keys[8].sample = 1;
    keys[9].layer = 1;
    keys[10].layer = 1u << 31;
    keys[11].step = keys[11].sample = 1;
    for (int k = 0; k < KEYS; k++)
        for (int i = 0; i < N; i++) x[k][i] = fv_rng_uniform(&keys[k], (uint64_t)i) - 0.5f;
    for (int a = 0; a < KEYS; a++) {
        for (int b = 0; b < a; b++) {
            double sum = 0;
            int same = 0;
            for (int i = 0; i < N; i++) {
                sum += (double)x[a][i] * (double)x[b][i];
                same += x[a][i] == x[b][i];
            }
            /* variance 1/144 per product: five standard deviations */
            cr_expect_lt(fabs(sum), 5.0 / 12.0 * sqrt(N), "keys %d and %d", a, b);
            cr_expect_lt(same, 4, "keys %d and %d", a, b);
        }
    }
}

/* Neighbouring draws, and the pair that Box and Muller make of one block, are uncorrelated. */
Test(core_rng, neighbours_are_independent) {
    const fv_rng_key key = {.seed = 6, .purpose = FV_RNG_TEST};

    for (uint64_t lag = 1; lag <= 8; lag++) {
        double uniform = 0, normal = 0, squares = 0;
        for (uint64_t i = 0; i < DRAWS; i++) {
            const double u = (double)fv_rng_uniform(&key, i) - 0.5;
            const double v = (double)fv_rng_uniform(&key, i + lag) - 0.5;
            const double p = (double)fv_rng_normal(&key, i);
            const double q = (double)fv_rng_normal(&key, i + lag);
            uniform += u * v;
            normal += p * q;
            squares += (p * p - 1) * (q * q - 1);
        }
        cr_expect_lt(fabs(uniform), 5.0 / 12.0 * sqrt(DRAWS), "lag %d", (int)lag);
        cr_expect_lt(fabs(normal), 5.0 * sqrt(DRAWS), "lag %d", (int)lag);
        cr_expect_lt(fabs(squares), 5.0 * 2.0 * sqrt(DRAWS), "lag %d", (int)lag);
    }
}

Test(core_rng, names_hash_as_fnv_1a) {
    /* FNV-1a, 64 bits: "" cbf29ce484222325, "a" af63dc4c8601ec8c, "foobar" 85944171f73967e8 */
    cr_expect_eq(fv_rng_name(""), 0xcbf29ce4u ^ 0x84222325u);
    cr_expect_eq(fv_rng_name("a"), 0xaf63dc4cu ^ 0x8601ec8cu);
    cr_expect_eq(fv_rng_name("foobar"), 0x85944171u ^ 0xf73967e8u);
}
