#include "eval/saliency/colormap.h"

#include "core/suggest.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- the maps ---- */

#define ANCHORS(table) .anchors = (table), .n_anchors = (int)(sizeof(table) / sizeof *(table))

static const fv_colormap_anchor bwr[] = {
    {0.0, {0, 0, 255}}, {0.5, {255, 255, 255}}, {1.0, {255, 0, 0}}};

const fv_colormap fv_colormap_bwr = {
    .name = "bwr", .summary = "blue, white, red", .diverging = true, ANCHORS(bwr)};

static const fv_colormap_anchor seismic[] = {{0.0, {0, 0, 76.5}},
                                             {0.25, {0, 0, 255}},
                                             {0.5, {255, 255, 255}},
                                             {0.75, {255, 0, 0}},
                                             {1.0, {127.5, 0, 0}}};

const fv_colormap fv_colormap_seismic = {
    .name = "seismic", .summary = "bwr with dark ends", .diverging = true, ANCHORS(seismic)};

static const fv_colormap_anchor coldnhot[] = {{0.0, {0, 255, 255}},       {0.25, {0, 0, 255}},
                                              {0.5, {0, 0, 0}},           {2.0 / 3.0, {255, 0, 0}},
                                              {5.0 / 6.0, {255, 255, 0}}, {1.0, {255, 255, 255}}};

const fv_colormap fv_colormap_coldnhot = {.name = "coldnhot",
                                          .summary = "cyan, blue, black, red, yellow, white",
                                          .diverging = true,
                                          ANCHORS(coldnhot)};

static const fv_colormap_anchor viridis[] = {
    {0.0 / 9.0, {0x44, 0x01, 0x54}}, {1.0 / 9.0, {0x48, 0x28, 0x78}},
    {2.0 / 9.0, {0x3e, 0x4a, 0x89}}, {3.0 / 9.0, {0x31, 0x68, 0x8e}},
    {4.0 / 9.0, {0x26, 0x82, 0x8e}}, {5.0 / 9.0, {0x1f, 0x9e, 0x89}},
    {6.0 / 9.0, {0x35, 0xb7, 0x79}}, {7.0 / 9.0, {0x6d, 0xcd, 0x59}},
    {8.0 / 9.0, {0xb4, 0xde, 0x2c}}, {9.0 / 9.0, {0xfd, 0xe7, 0x25}}};

const fv_colormap fv_colormap_viridis = {
    .name = "viridis", .summary = "purple to yellow, evenly brighter", ANCHORS(viridis)};

static const fv_colormap_anchor turbo[] = {
    {0.0 / 9.0, {0x30, 0x12, 0x3b}}, {1.0 / 9.0, {0x46, 0x62, 0xd7}},
    {2.0 / 9.0, {0x36, 0xaa, 0xf9}}, {3.0 / 9.0, {0x1a, 0xe4, 0xb6}},
    {4.0 / 9.0, {0x72, 0xfe, 0x5e}}, {5.0 / 9.0, {0xc7, 0xef, 0x34}},
    {6.0 / 9.0, {0xfa, 0xba, 0x39}}, {7.0 / 9.0, {0xf6, 0x6b, 0x19}},
    {8.0 / 9.0, {0xcb, 0x2a, 0x04}}, {9.0 / 9.0, {0x7a, 0x04, 0x03}}};

const fv_colormap fv_colormap_turbo = {
    .name = "turbo", .summary = "a rainbow without jet's bands", ANCHORS(turbo)};

/* clip(1.5 - |4 v - k|, 0, 1), k = 3, 2, 1.  Written out, as half of its entries lie midway between two
 * bytes and anchors would round some of them to the other side. */
static double jet(double v, int channel) {
    return 255.0 * fmin(fmax(1.5 - fabs(4.0 * v - (double)(3 - channel)), 0.0), 1.0);
}

const fv_colormap fv_colormap_jet = {
    .name = "jet", .summary = "the rainbow of Grad-CAM pictures", .formula = jet};

static const fv_colormap_anchor hot[] = {
    {0.0, {0, 0, 0}}, {1.0 / 3.0, {255, 0, 0}}, {2.0 / 3.0, {255, 255, 0}}, {1.0, {255, 255, 255}}};

const fv_colormap fv_colormap_hot = {
    .name = "hot", .summary = "black, red, yellow, white", ANCHORS(hot)};

static const fv_colormap_anchor gray[] = {{0.0, {0, 0, 0}}, {1.0, {255, 255, 255}}};

const fv_colormap fv_colormap_gray = {.name = "gray", .summary = "black to white", ANCHORS(gray)};

/* ---- what is done with them ---- */

static const fv_colormap *const colormaps[] = {
#define FV_X(name) &fv_colormap_##name,
    FV_COLORMAP_LIST(FV_X)
#undef FV_X
};

#define COLORMAPS ((int)(sizeof colormaps / sizeof *colormaps))

const fv_colormap *fv_colormap_at(int i) { return i < COLORMAPS ? colormaps[i] : NULL; }

fv_status fv_colormap_find(const char *name, const fv_colormap **out) {
    const char *list[COLORMAPS + 1];
    char names[256] = "", hint[FV_SUGGEST_TEXT];
    size_t used = 0;

    for (int i = 0; i < COLORMAPS; i++) {
        list[i] = colormaps[i]->name;
        if (strcmp(list[i], name) != 0) continue;
        *out = colormaps[i];
        return FV_OK;
    }
    list[COLORMAPS] = NULL;
    for (int i = 0; i < COLORMAPS && used < sizeof names; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "",
                                 colormaps[i]->name);
    return FV_FAIL(FV_ERR_CONFIG, "unknown colour map '%.80s'%s (known: %s)", name,
                   fv_suggest_text(name, list, hint), names);
}

static double interpolated(const fv_colormap *m, double v, int channel) {
    int k = 0;
    while (k + 2 < m->n_anchors && m->anchors[k + 1].at <= v) k++;
    const fv_colormap_anchor *a = &m->anchors[k], *b = a + 1;
    const double slope = (b->rgb[channel] - a->rgb[channel]) / (b->at - a->at);
    return a->rgb[channel] + slope * (v - a->at);
}

void fv_colormap_fill(const fv_colormap *m, fv_colormap_table *out) {
    for (int i = 0; i < FV_COLORMAP_ENTRIES; i++)
        for (int c = 0; c < 3; c++) {
            const double v = (double)i / 255.0;
            const double byte = m->formula ? m->formula(v, c) : interpolated(m, v, c);
            out->rgb[i][c] = (uint8_t)floor(byte + 0.5);
        }
}

int fv_colormap_index(double v) {
    const double at = floor(255.0 * v + 0.5);
    return at >= 255.0 ? 255 : at > 0.0 ? (int)at : 0;
}
