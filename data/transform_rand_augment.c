/* transform_rand_augment.c - RandAugment (Cubuk et al. 2020) with timm's operations and ranges. */
#include "data/pixels.h"
#include "data/transform_list.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LEVELS 10.0 /* the magnitude at the end of a range */

#define MAX_ROTATION    30.0 /* degrees */
#define MAX_SHEAR       0.3
#define MAX_TRANSLATION 0.45 /* of the side */
#define MAX_ENHANCEMENT 0.9
#define MAX_SOLARIZE    256
#define MAX_ADD         110
#define MAX_BITS        4
#define DARK            128

/* ---- the text ---- */

static fv_status parse_part(const char *part, size_t n, fv_rand_augment *a) {
    static const char *const keys[] = {"m", "n", "mstd", "mmax", "inc", "p"};
    char key[16] = "";
    size_t letters = 0;
    char *end = NULL;

    while (letters < n && letters < sizeof key - 1 && isalpha((unsigned char)part[letters])) {
        key[letters] = part[letters];
        letters++;
    }
    const double v = letters < n ? strtod(part + letters, &end) : (double)NAN;
    int k = 0;
    while (k < 6 && strcmp(keys[k], key) != 0) k++;
    const double most[] = {100.0, 16.0, 1e9, 100.0, 1.0, 1.0};
    if (k == 6 || end != part + n || !(v >= 0.0 && v <= most[k]))
        return FV_FAIL(FV_ERR_CONFIG,
                       "aa: '%.*s' is not understood; known parts: -m9 -n2 -mstd0.5 -mmax10 -inc1 "
                       "-p0.5",
                       (int)n, part);
    double *const reals[] = {&a->magnitude, NULL, &a->deviation, &a->most, NULL, &a->prob};
    if (reals[k]) *reals[k] = v;
    if (k == 1) a->layers = (int64_t)v;
    if (k == 4) a->increasing = v != 0.0;
    return FV_OK;
}

fv_status fv_rand_augment_parse(const char *text, fv_rand_augment *out) {
    *out = (fv_rand_augment){0};
    if (!text[0]) return FV_OK;
    size_t n = strcspn(text, "-");
    if (n != 4 || strncmp(text, "rand", 4) != 0)
        return FV_FAIL(FV_ERR_CONFIG, "aa: there is no augmentation '%.*s'; known: rand", (int)n,
                       text);
    *out = (fv_rand_augment){.layers = 2, .magnitude = LEVELS, .most = LEVELS, .prob = 0.5};
    for (text += n; *text; text += n) {
        n = strcspn(++text, "-");
        FV_TRY(parse_part(text, n, out));
    }
    return FV_OK;
}

/* ---- the operations: level 0 .. LEVELS ---- */

typedef struct call {
    fv_transform_state *state;
    fv_rng_stream *draws;
    double level;
} call;

static double share(const call *c) { return c->level / LEVELS; }

static double either_sign(const call *c, double v) { return fv_rng_next(c->draws) > 0.5 ? -v : v; }

static fv_status autocontrast(const call *c) {
    fv_pixels_autocontrast(c->state->image);
    return FV_OK;
}

static fv_status equalize(const call *c) {
    fv_pixels_equalize(c->state->image);
    return FV_OK;
}

static fv_status invert(const call *c) {
    fv_pixels_invert(c->state->image);
    return FV_OK;
}

static fv_status posterize(const call *c) {
    fv_pixels_posterize(c->state->image, (int)(share(c) * MAX_BITS));
    return FV_OK;
}

static fv_status posterize_increasing(const call *c) {
    fv_pixels_posterize(c->state->image, MAX_BITS - (int)(share(c) * MAX_BITS));
    return FV_OK;
}

static int solarize_level(const call *c) {
    const int level = (int)(share(c) * MAX_SOLARIZE);
    return level < MAX_SOLARIZE ? level : MAX_SOLARIZE;
}

static fv_status solarize(const call *c) {
    fv_pixels_solarize(c->state->image, solarize_level(c));
    return FV_OK;
}

static fv_status solarize_increasing(const call *c) {
    fv_pixels_solarize(c->state->image, MAX_SOLARIZE - solarize_level(c));
    return FV_OK;
}

static fv_status solarize_add(const call *c) {
    const int add = (int)(share(c) * MAX_ADD);
    fv_pixels_solarize_add(c->state->image, add < DARK ? add : DARK, DARK);
    return FV_OK;
}

/* 0.1 .. 1.9; increasing: away from 1 to either side. */
static double enhancement(const call *c) {
    const double level = share(c) * MAX_ENHANCEMENT;
    if (!c->state->augment->aa.increasing) return 2.0 * level + 0.1;
    return fmax(0.1, 1.0 + either_sign(c, level));
}

static fv_status color(const call *c) {
    fv_pixels_color(c->state->image, enhancement(c));
    return FV_OK;
}

static fv_status contrast(const call *c) {
    fv_pixels_contrast(c->state->image, enhancement(c));
    return FV_OK;
}

static fv_status brightness(const call *c) {
    fv_pixels_brightness(c->state->image, enhancement(c));
    return FV_OK;
}

static fv_status sharpness(const call *c) {
    return fv_pixels_sharpness(c->state->image, enhancement(c), c->state->copy);
}

/* The mean colour comes in from outside. */
static fv_status transform(const call *c, const double m[6]) {
    const fv_transform_state *s = c->state;
    fv_affine a = {.interpolation = s->augment->interpolation};

    memcpy(a.m, m, sizeof a.m);
    for (int k = 0; k < 3; k++)
        a.fill[k] = (uint8_t)fmin(255.0, rint(255.0 * fmax(0.0, (double)s->pre->mean[k])));
    if (a.interpolation == FV_INTERPOLATION_RANDOM)
        a.interpolation =
            fv_rng_next(c->draws) < 0.5 ? FV_INTERPOLATION_BILINEAR : FV_INTERPOLATION_BICUBIC;
    return fv_pixels_affine(s->image, &a, s->copy);
}

static fv_status rotate(const call *c) {
    double m[6];
    fv_rotation(either_sign(c, share(c) * MAX_ROTATION), c->state->image->height,
                c->state->image->width, m);
    return transform(c, m);
}

static fv_status shear_x(const call *c) {
    return transform(c, (double[]){1, either_sign(c, share(c) * MAX_SHEAR), 0, 0, 1, 0});
}

static fv_status shear_y(const call *c) {
    return transform(c, (double[]){1, 0, 0, either_sign(c, share(c) * MAX_SHEAR), 1, 0});
}

static fv_status translate_x(const call *c) {
    const double by = either_sign(c, share(c) * MAX_TRANSLATION) * (double)c->state->image->width;
    return transform(c, (double[]){1, 0, by, 0, 1, 0});
}

static fv_status translate_y(const call *c) {
    const double by = either_sign(c, share(c) * MAX_TRANSLATION) * (double)c->state->image->height;
    return transform(c, (double[]){1, 0, 0, 0, 1, by});
}

typedef fv_status operation(const call *c);

/* Row 1: the increasing kinds. */
#define OPERATIONS 15
static operation *const operations[2][OPERATIONS] = {
    {autocontrast, equalize, invert, rotate, posterize, solarize, solarize_add, color, contrast,
     brightness, sharpness, shear_x, shear_y, translate_x, translate_y},
    {autocontrast, equalize, invert, rotate, posterize_increasing, solarize_increasing,
     solarize_add, color, contrast, brightness, sharpness, shear_x, shear_y, translate_x,
     translate_y}};

static double magnitude(const fv_rand_augment *a, fv_rng_stream *draws) {
    double m = a->magnitude;

    if (a->deviation > 100.0)
        m *= fv_rng_next(draws);
    else if (a->deviation > 0.0)
        m += a->deviation * fv_rng_next_normal(draws);
    return fmax(0.0, fmin(m, a->most));
}

static fv_status apply(fv_transform_state *s) {
    const fv_rand_augment *a = &s->augment->aa;
    fv_rng_stream draws = {.key = s->key};

    for (int64_t i = 0; i < a->layers; i++) {
        const int64_t which = fv_rng_next_below(&draws, OPERATIONS);
        if (fv_rng_next(&draws) >= a->prob) continue;
        const call c = {.state = s, .draws = &draws, .level = magnitude(a, &draws)};
        FV_TRY(operations[a->increasing][which](&c));
    }
    return FV_OK;
}

const fv_transform fv_transform_rand_augment = {
    .name = "rand_augment", .summary = "some operations of RandAugment", .apply = apply};
