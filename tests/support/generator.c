#include "tests/support/generator.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static uint64_t hash(uint64_t h, const char *s) {
    for (; *s; s++) h = (h ^ (unsigned char)*s) * 0x100000001B3u;
    return h;
}

uint64_t fv_generator_seed(const char *salt, const char *name) {
    return hash(hash(0xCBF29CE484222325u, salt), name);
}

double fv_generator_draw(uint64_t seed, uint64_t i) {
    uint64_t z = seed + (i + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    z = z ^ (z >> 31);
    return (double)(z >> 40) * 0x1p-23 - 1.0;
}

static bool ends_with(const char *s, const char *tail) {
    const size_t n = strlen(s), m = strlen(tail);
    return n >= m && strcmp(s + n - m, tail) == 0;
}

static bool is_one_of(const char *s, const char *a, const char *b, const char *c) {
    return strcmp(s, a) == 0 || strcmp(s, b) == 0 || strcmp(s, c) == 0;
}

/* value = offset + factor u, and for weights the extra factors one after the other */
typedef struct formula {
    double offset, factor[5];
    int n_factors;
} formula;

static void add_factor(formula *f, double v) { f->factor[f->n_factors++] = v; }

static formula weight_formula(const fv_param *p) {
    formula f = {0};
    const int64_t fan = p->numel / p->shape.dim[0];

    add_factor(&f, sqrt(3.0 / (double)fan));
    if (p->shape.rank == 4 && p->shape.dim[1] == 1) add_factor(&f, 0.4);
    if (strncmp(p->name, "stages.", 7) == 0 && ends_with(p->name, ".1.attn.qkv.weight"))
        add_factor(&f, 0.3);
    if (ends_with(p->name, ".self_attn.q.weight")) add_factor(&f, 2.0);
    return f;
}

static formula formula_of(const fv_param *p) {
    const char *dot = strrchr(p->name, '.'), *last = dot ? dot + 1 : p->name;

    if (strcmp(last, "num_batches_tracked") == 0) return (formula){0};
    if (is_one_of(last, "cls_token", "dist_token", "pos_embed")) return (formula){0, {0.5}, 1};
    if (strncmp(last, "gamma", 5) == 0) return (formula){0.5, {0.1}, 1};
    if (strcmp(last, "running_mean") == 0) return (formula){0, {0.1}, 1};
    if (strcmp(last, "running_var") == 0) return (formula){1.0, {0.1}, 1};
    if (p->shape.rank >= 2) return weight_formula(p);
    if (p->shape.rank == 1 && strcmp(last, "weight") == 0) return (formula){1.0, {0.1}, 1};
    return (formula){0, {0.02}, 1};
}

void fv_generate_params(fv_params *params, const char *salt) {
    for (int64_t i = 0; i < params->count; i++) {
        fv_param *p = params->item[i];
        const formula f = formula_of(p);
        const uint64_t seed = fv_generator_seed(salt, p->name);
        for (int64_t j = 0; j < p->numel; j++) {
            double v = f.n_factors ? fv_generator_draw(seed, (uint64_t)j) : 0.0;
            for (int k = 0; k < f.n_factors; k++) v *= f.factor[k];
            p->value[j] = (float)(f.offset + v);
        }
    }
    fv_params_bf16_refresh(params);
}

void fv_generate_images(const char *salt, const char *name, int64_t N, int64_t C, int64_t H,
                        int64_t W, float *nhwc) {
    char coarse_name[256];
    const int64_t Hc = (H + 15) / 16, Wc = (W + 15) / 16;

    snprintf(coarse_name, sizeof coarse_name, "%s.coarse", name);
    const uint64_t fine = fv_generator_seed(salt, name);
    const uint64_t coarse = fv_generator_seed(salt, coarse_name);
    for (int64_t n = 0; n < N; n++)
        for (int64_t c = 0; c < C; c++)
            for (int64_t y = 0; y < H; y++)
                for (int64_t x = 0; x < W; x++) {
                    const int64_t i = ((n * C + c) * H + y) * W + x;
                    const int64_t j = ((n * C + c) * Hc + y / 16) * Wc + x / 16;
                    nhwc[((n * H + y) * W + x) * C + c] =
                        (float)(0.6 * fv_generator_draw(fine, (uint64_t)i) +
                                1.0 * fv_generator_draw(coarse, (uint64_t)j));
                }
}
