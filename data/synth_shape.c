#include "data/synth_shape.h"

#include <math.h>

float fv_segment_distance(fv_point a, fv_point b, fv_point p) {
    const float ex = b.x - a.x, ey = b.y - a.y, wx = p.x - a.x, wy = p.y - a.y;
    const float length2 = ex * ex + ey * ey;
    float t = length2 > 0.0f ? (wx * ex + wy * ey) / length2 : 0.0f;
    t = t < 0.0f ? 0.0f : t > 1.0f ? 1.0f : t;
    const float dx = wx - t * ex, dy = wy - t * ey;
    return sqrtf(dx * dx + dy * dy);
}

/* The distance to the nearest edge; the sign from the parity of edges crossed. */
float fv_polygon_distance(const fv_point *vertex, int n, fv_point p) {
    float nearest = INFINITY, sign = 1.0f;

    for (int i = 0, j = n - 1; i < n; j = i++) {
        const fv_point a = vertex[i], b = vertex[j];
        nearest = fminf(nearest, fv_segment_distance(a, b, p));
        if ((a.y > p.y) != (b.y > p.y) && p.x < (b.x - a.x) * (p.y - a.y) / (b.y - a.y) + a.x)
            sign = -sign;
    }
    return sign * nearest;
}

static float length(float x, float y) { return sqrtf(x * x + y * y); }

/* Half sides w and h. */
static float rectangle(fv_point p, float w, float h) {
    const float dx = fabsf(p.x) - w, dy = fabsf(p.y) - h;
    return length(fmaxf(dx, 0.0f), fmaxf(dy, 0.0f)) + fminf(fmaxf(dx, dy), 0.0f);
}

static float disc(fv_point p) { return length(p.x, p.y) - 0.9f; }

static float square(fv_point p) { return rectangle(p, 0.7f, 0.7f); }

static float triangle(fv_point p) {
    static const fv_point v[] = {{0.0f, -1.0f}, {0.866f, 0.5f}, {-0.866f, 0.5f}};
    return fv_polygon_distance(v, 3, p);
}

static float star(fv_point p) {
    static const fv_point v[] = {{0.0f, -1.0f},       {0.2233f, -0.3074f}, {0.9511f, -0.3090f},
                                 {0.3614f, 0.1174f},  {0.5878f, 0.8090f},  {0.0f, 0.38f},
                                 {-0.5878f, 0.8090f}, {-0.3614f, 0.1174f}, {-0.9511f, -0.3090f},
                                 {-0.2233f, -0.3074f}};
    return fv_polygon_distance(v, 10, p);
}

static float cross(fv_point p) {
    return fminf(rectangle(p, 0.93f, 0.3f), rectangle(p, 0.3f, 0.93f));
}

static float ring(fv_point p) { return fabsf(length(p.x, p.y) - 0.74f) - 0.24f; }

static float crescent(fv_point p) {
    return fmaxf(length(p.x, p.y) - 0.98f, 0.78f - length(p.x - 0.5f, p.y));
}

static float bar(fv_point p) { return rectangle(p, 0.95f, 0.27f); }

static float hourglass(fv_point p) {
    static const fv_point top[] = {{-0.75f, -0.66f}, {0.75f, -0.66f}, {0.0f, 0.08f}};
    const fv_point mirrored = {p.x, -fabsf(p.y)};
    return fv_polygon_distance(top, 3, mirrored);
}

static float chevron(fv_point p) {
    static const fv_point v[] = {{0.0f, -0.7f}, {0.95f, 0.25f},  {0.62f, 0.75f},
                                 {0.0f, 0.1f},  {-0.62f, 0.75f}, {-0.95f, 0.25f}};
    return fv_polygon_distance(v, 6, p);
}

const fv_synth_shape fv_synth_shapes[] = {
    {"disc", disc},           {"square", square},   {"triangle", triangle}, {"star", star},
    {"cross", cross},         {"ring", ring},       {"crescent", crescent}, {"bar", bar},
    {"hourglass", hourglass}, {"chevron", chevron},
};
