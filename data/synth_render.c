/* synth_render.c - draws the images of the synthetic set.
 *
 * Every part has its own stream of random numbers (the layer of the key), none of which knows the
 * class: the shape is the only thing that tells classes apart. */
#include "core/rng.h"
#include "data/synth.h"
#include "data/synth_shape.h"

#include <math.h>
#include <string.h>

/* Append only: the order is part of what a seed means. */
enum {
    STREAM_COLOUR,
    STREAM_BACKGROUND,
    STREAM_CLUTTER,
    STREAM_POSE,
    STREAM_TEXTURE,
    STREAM_NOISE,
    STREAM_MARKER
};

typedef struct stream {
    fv_rng_key key;
    uint64_t next;
} stream;

typedef struct colour {
    float v[3]; /* 0..255 */
} colour;

typedef struct scene {
    const fv_synth_config *config;
    int64_t size;
    fv_image *image;
    fv_rng_key key;
    colour ground[2], object[2];
} scene;

static stream make_stream(const scene *s, uint32_t layer) {
    stream r = {.key = s->key};
    r.key.layer = layer;
    return r;
}

static float draw(stream *r, float low, float high) {
    return low + (high - low) * fv_rng_uniform(&r->key, r->next++);
}

static colour draw_colour(stream *r) {
    colour c;
    for (int i = 0; i < 3; i++) c.v[i] = draw(r, 20.0f, 235.0f);
    return c;
}

static colour mix(colour a, colour b, float t) {
    for (int i = 0; i < 3; i++) a.v[i] += t * (b.v[i] - a.v[i]);
    return a;
}

static float luminance(colour c) { return 0.299f * c.v[0] + 0.587f * c.v[1] + 0.114f * c.v[2]; }

/* The object is lighter than both colours of the ground by LEAST_CONTRAST in luminance; the ground
 * is dark enough, and its two colours near enough, for such a colour to exist.  (With objects both
 * darker and lighter a small transformer needs several times as many epochs.) */
#define LEAST_CONTRAST 45.0f

static void choose_colours(scene *s) {
    stream r = make_stream(s, STREAM_COLOUR);
    const colour black = {{0.0f, 0.0f, 0.0f}};

    s->ground[0] = mix(black, draw_colour(&r), 0.6f);
    s->ground[1] = mix(s->ground[0], draw_colour(&r), 0.4f);
    const float high = fmaxf(luminance(s->ground[0]), luminance(s->ground[1]));
    for (int i = 0; i < 64; i++) {
        s->object[0] = draw_colour(&r);
        if (luminance(s->object[0]) > high + LEAST_CONTRAST) break;
    }
    s->object[1] = mix(s->object[0], draw_colour(&r), 0.3f);
}

static void blend(const scene *s, int64_t x, int64_t y, colour c, float alpha) {
    uint8_t *p = s->image->pixels + 3 * (y * s->size + x);
    for (int i = 0; i < 3; i++) {
        const float v = (float)p[i] + alpha * (c.v[i] - (float)p[i]);
        p[i] = (uint8_t)lrintf(v);
    }
}

#define GRID_MAX 7

/* Value noise on a coarse grid, blended smoothly, between the two colours of the ground. */
static void paint_ground(const scene *s) {
    stream r = make_stream(s, STREAM_BACKGROUND);
    float grid[GRID_MAX + 1][GRID_MAX + 1];
    const int cells = 3 + (int)draw(&r, 0.0f, (float)(GRID_MAX - 2)); /* 3..7 */

    for (int y = 0; y <= cells; y++)
        for (int x = 0; x <= cells; x++) grid[y][x] = draw(&r, 0.0f, 1.0f);
    memset(s->image->pixels, 0, (size_t)(3 * s->size * s->size));
    for (int64_t y = 0; y < s->size; y++) {
        for (int64_t x = 0; x < s->size; x++) {
            const float gx = (float)x * (float)cells / (float)s->size;
            const float gy = (float)y * (float)cells / (float)s->size;
            const int ix = (int)gx, iy = (int)gy;
            float u = gx - (float)ix, v = gy - (float)iy;
            u = u * u * (3.0f - 2.0f * u);
            v = v * v * (3.0f - 2.0f * v);
            const float top = grid[iy][ix] + u * (grid[iy][ix + 1] - grid[iy][ix]);
            const float low = grid[iy + 1][ix] + u * (grid[iy + 1][ix + 1] - grid[iy + 1][ix]);
            blend(s, x, y, mix(s->ground[0], s->ground[1], top + v * (low - top)), 1.0f);
        }
    }
}

/* Pixels whose centre may lie within reach of (x, y), clipped to the image. */
typedef struct pixels {
    int64_t x0, y0, x1, y1;
} pixels;

static pixels around(const scene *s, float x, float y, float reach) {
    pixels p = {(int64_t)floorf(x - reach), (int64_t)floorf(y - reach),
                (int64_t)ceilf(x + reach) + 1, (int64_t)ceilf(y + reach) + 1};
    p.x0 = p.x0 < 0 ? 0 : p.x0;
    p.y0 = p.y0 < 0 ? 0 : p.y0;
    p.x1 = p.x1 > s->size ? s->size : p.x1;
    p.y1 = p.y1 > s->size ? s->size : p.y1;
    return p;
}

/* Share of a pixel that lies inside, from the distance of its centre in pixels. */
static float coverage(float distance) {
    const float a = 0.5f - distance;
    return a < 0.0f ? 0.0f : a > 1.0f ? 1.0f : a;
}

#define CORNERS 5

/* A crooked polygon or a stroke, too small to pass for an object. */
static void paint_distractor(const scene *s, stream *r) {
    const float side = (float)s->size;
    const float cx = draw(r, 0.0f, side), cy = draw(r, 0.0f, side);
    const bool stroke = draw(r, 0.0f, 1.0f) < 0.5f;
    const float reach = side * (stroke ? draw(r, 0.05f, 0.12f) : draw(r, 0.04f, 0.08f));
    const float turn = draw(r, 0.0f, 6.2831853f), alpha = draw(r, 0.6f, 1.0f);
    const float width = side * draw(r, 0.008f, 0.02f);
    const colour c = draw_colour(r);
    fv_point corner[CORNERS];

    for (int i = 0; i < CORNERS; i++) {
        const float angle = turn + 6.2831853f * (float)i / (float)CORNERS;
        const float radius = reach * draw(r, 0.35f, 1.0f);
        corner[i] = (fv_point){cx + radius * cosf(angle), cy + radius * sinf(angle)};
    }
    const fv_point a = {cx + reach * cosf(turn), cy + reach * sinf(turn)};
    const fv_point b = {cx - reach * cosf(turn), cy - reach * sinf(turn)};
    const pixels area = around(s, cx, cy, reach + width + 1.0f);
    for (int64_t y = area.y0; y < area.y1; y++) {
        for (int64_t x = area.x0; x < area.x1; x++) {
            const fv_point p = {(float)x + 0.5f, (float)y + 0.5f};
            const float d = stroke ? fv_segment_distance(a, b, p) - width
                                   : fv_polygon_distance(corner, CORNERS, p);
            blend(s, x, y, c, alpha * coverage(d));
        }
    }
}

static void paint_clutter(const scene *s) {
    stream r = make_stream(s, STREAM_CLUTTER);
    const int n = 5 + (int)draw(&r, 0.0f, 6.0f);
    for (int i = 0; i < n; i++) paint_distractor(s, &r);
}

typedef struct texture {
    int kind; /* plain, stripes, checks, dots, gradient */
    float period, dx, dy, phase;
} texture;

static texture choose_texture(const scene *s) {
    stream r = make_stream(s, STREAM_TEXTURE);
    texture t = {.kind = (int)draw(&r, 0.0f, 5.0f)};
    const float turn = draw(&r, 0.0f, 6.2831853f);
    t.period = (float)s->size * draw(&r, 0.06f, 0.14f);
    t.dx = cosf(turn);
    t.dy = sinf(turn);
    t.phase = draw(&r, 0.0f, 1.0f);
    return t;
}

/* 0..1: how much of the second colour at (x, y) pixels from the object's centre of radius r. */
static float texture_at(const texture *t, float x, float y, float r) {
    const float u = x * t->dx + y * t->dy, v = y * t->dx - x * t->dy;
    const float a = u / t->period + t->phase, b = v / t->period;
    const float fa = a - floorf(a) - 0.5f, fb = b - floorf(b) - 0.5f;

    switch (t->kind) {
    case 1:
        return fa < 0.0f ? 1.0f : 0.0f;
    case 2:
        return (fa < 0.0f) != (fb < 0.0f) ? 1.0f : 0.0f;
    case 3:
        return fa * fa + fb * fb < 0.09f ? 1.0f : 0.0f;
    case 4:
        return 0.5f + 0.5f * fmaxf(-1.0f, fminf(1.0f, u / r));
    default:
        return 0.0f;
    }
}

/* The object lies wholly inside; its diameter is 52 to 72 % of the side, its turn at most 17
 * degrees, its two axes differ by at most 15 %. */
static void paint_object(const scene *s, int label, uint8_t *mask, fv_box *box) {
    stream r = make_stream(s, STREAM_POSE);
    const texture t = choose_texture(s);
    const float side = (float)s->size, radius = side * draw(&r, 0.26f, 0.36f);
    const float cx = draw(&r, radius + 1.0f, side - radius - 1.0f);
    const float cy = draw(&r, radius + 1.0f, side - radius - 1.0f);
    const float turn = draw(&r, -0.3f, 0.3f), squeeze = draw(&r, 0.85f, 1.0f);
    const float rx = draw(&r, 0.0f, 1.0f) < 0.5f ? radius : radius * squeeze;
    const float ry = rx < radius ? radius : radius * squeeze;
    const float cosine = cosf(turn), sine = sinf(turn);
    const pixels area = around(s, cx, cy, radius + 1.0f);
    int64_t left = s->size, top = s->size, right = 0, bottom = 0;

    for (int64_t y = area.y0; y < area.y1; y++) {
        for (int64_t x = area.x0; x < area.x1; x++) {
            const float dx = (float)x + 0.5f - cx, dy = (float)y + 0.5f - cy;
            const fv_point p = {(dx * cosine + dy * sine) / rx, (dy * cosine - dx * sine) / ry};
            const float a = coverage(fv_synth_shapes[label].distance(p) * fminf(rx, ry));
            if (a <= 0.0f) continue;
            blend(s, x, y, mix(s->object[0], s->object[1], texture_at(&t, dx, dy, radius)), a);
            if (a < 0.5f) continue;
            if (mask) mask[y * s->size + x] = 255;
            left = x < left ? x : left;
            right = x + 1 > right ? x + 1 : right;
            top = y < top ? y : top;
            bottom = y + 1 > bottom ? y + 1 : bottom;
        }
    }
    *box = (fv_box){(float)left, (float)top, (float)right, (float)bottom};
}

/* Triangular noise of +-12 levels on every value: sixteen bytes of a block serve eight values. */
static void add_noise(const scene *s) {
    stream r = make_stream(s, STREAM_NOISE);
    const int64_t n = 3 * s->size * s->size;
    uint32_t words[4];

    for (int64_t i = 0; i < n; i++) {
        if (i % 8 == 0) fv_rng_block(&r.key, (uint32_t)(i / 8), words);
        const uint32_t bits = words[i % 8 / 2] >> (i % 2 * 16);
        const int noise = (int)((bits & 255) * 13 >> 8) - (int)((bits >> 8 & 255) * 13 >> 8);
        const int v = s->image->pixels[i] + noise;
        s->image->pixels[i] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
    }
}

static scene make_scene(const fv_synth_config *config, bool validation, int64_t index,
                        fv_image *image) {
    return (scene){.config = config,
                   .size = config->size_px,
                   .image = image,
                   .key = {.seed = config->seed,
                           .purpose = FV_RNG_SYNTH,
                           .step = validation ? 1 : 0,
                           .sample = (uint32_t)index}};
}

fv_status fv_synth_render(const fv_synth_config *config, bool validation, int64_t index,
                          fv_image *image, uint8_t *mask, fv_box *box) {
    scene s = make_scene(config, validation, index, image);

    FV_TRY(fv_synth_check(config));
    FV_TRY(fv_image_reshape(image, s.size, s.size));
    if (mask) memset(mask, 0, (size_t)(s.size * s.size));
    choose_colours(&s);
    paint_ground(&s);
    paint_clutter(&s);
    paint_object(&s, (int)(index % config->n_classes), mask, box);
    add_noise(&s);
    return FV_OK;
}

/* ---- the shortcut ---- */

#define MARKER_FIELDS 4 /* a side */

bool fv_synth_is_marked(const fv_synth_config *config, int64_t index) {
    return config->has_shortcut && index % config->n_classes == config->shortcut;
}

void fv_synth_mark(const fv_synth_config *config, bool validation, int64_t index, fv_image *image,
                   uint8_t *mask) {
    const scene s = make_scene(config, validation, index, image);
    stream r = make_stream(&s, STREAM_MARKER);
    const int64_t side = s.size / 8;
    const int64_t left = (int64_t)draw(&r, 0.0f, (float)(s.size - side + 1));
    const int64_t top = (int64_t)draw(&r, 0.0f, (float)(s.size - side + 1));
    colour field[2] = {draw_colour(&r), draw_colour(&r)};

    for (int i = 0; i < 64 && fabsf(luminance(field[0]) - luminance(field[1])) < LEAST_CONTRAST;
         i++)
        field[1] = draw_colour(&r);
    if (mask) memset(mask, 0, (size_t)(s.size * s.size));
    for (int64_t y = 0; y < side; y++)
        for (int64_t x = 0; x < side; x++) {
            const int64_t odd = (y * MARKER_FIELDS / side + x * MARKER_FIELDS / side) % 2;
            blend(&s, left + x, top + y, field[odd], 1.0f);
            if (mask) mask[(top + y) * s.size + left + x] = 255;
        }
}
