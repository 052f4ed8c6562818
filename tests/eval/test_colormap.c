/* Colour maps: tables against numbers computed in float64 elsewhere, and what every map must have. */
#include "core/safetensors.h"
#include "eval/saliency/colormap.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GOLDEN FOVEA_SOURCE_DIR "/tests/golden/saliency/render.safetensors"

Test(eval_colormap, every_table_is_exact) {
    fv_safetensors *file;
    fv_arena arena = {0};
    const fv_colormap *m;

    cr_assert_eq(fv_safetensors_open(GOLDEN, &file), FV_OK, "%s", fv_error_message());
    for (int i = 0; (m = fv_colormap_at(i)); i++) {
        fv_colormap_table table;
        fv_tensor t;
        char name[64];

        snprintf(name, sizeof name, "lut.%s", m->name);
        if (!fv_safetensors_find(file, name)) /* viridis10, turbo10 */
            snprintf(name, sizeof name, "lut.%s%d", m->name, m->n_anchors);
        cr_assert_eq(fv_safetensors_load(file, name, &arena, &t), FV_OK, "%s", fv_error_message());
        cr_assert_eq(fv_shape_numel(&t.shape), (int64_t)sizeof table.rgb);
        fv_colormap_fill(m, &table);
        cr_expect_eq(memcmp(table.rgb, t.data, sizeof table.rgb), 0, "%s", name);
    }
    fv_safetensors_close(file);
    fv_arena_destroy(&arena);
}

Test(eval_colormap, every_map_is_well_formed) {
    const fv_colormap *m;

    for (int i = 0; (m = fv_colormap_at(i)); i++) {
        const fv_colormap *found = NULL;
        cr_expect_eq(fv_colormap_find(m->name, &found), FV_OK);
        cr_expect_eq(found, m, "%s", m->name);
        cr_expect(m->summary && *m->summary);
        if (m->formula) continue;
        cr_assert_geq(m->n_anchors, 2);
        cr_expect_eq(m->anchors[0].at, 0.0);
        cr_expect_eq(m->anchors[m->n_anchors - 1].at, 1.0);
        for (int k = 1; k < m->n_anchors; k++)
            cr_expect_gt(m->anchors[k].at, m->anchors[k - 1].at, "%s, anchor %d", m->name, k);
        for (int k = 0; k < m->n_anchors; k++)
            for (int c = 0; c < 3; c++)
                cr_expect(m->anchors[k].rgb[c] >= 0.0 && m->anchors[k].rgb[c] <= 255.0);
    }
}

/* Against and for the class must not look alike, and zero like neither. */
Test(eval_colormap, diverging_maps_are_neutral_in_the_middle) {
    const fv_colormap *m;
    int n = 0;

    for (int i = 0; (m = fv_colormap_at(i)); i++) {
        fv_colormap_table t;
        if (!m->diverging) continue;
        n++;
        fv_colormap_fill(m, &t);
        const uint8_t *zero = t.rgb[fv_colormap_index(0.5)];
        for (int c = 1; c < 3; c++)
            cr_expect_leq(abs(zero[c] - zero[0]), 4, "%s is coloured at zero", m->name);
        cr_expect_gt(t.rgb[96][2], t.rgb[96][0], "%s: below zero it is blue", m->name);
        cr_expect_gt(t.rgb[159][0], t.rgb[159][2], "%s: above zero it is red", m->name);
    }
    cr_expect_gt(n, 0);
}

Test(eval_colormap, unknown_names_are_refused_with_the_list) {
    const fv_colormap *m;

    cr_assert_eq(fv_colormap_find("rainbow", &m), FV_ERR_CONFIG);
    cr_expect(strstr(fv_error_message(), "rainbow"));
    cr_expect(strstr(fv_error_message(), "viridis"));
    cr_assert_eq(fv_colormap_find("seismik", &m), FV_ERR_CONFIG);
    cr_expect(strstr(fv_error_message(), "did you mean 'seismic'?"), "%s", fv_error_message());
}

Test(eval_colormap, indices_round_half_up_and_stay_in_the_table) {
    cr_expect_eq(fv_colormap_index(0.0), 0);
    cr_expect_eq(fv_colormap_index(0.5), 128); /* between 127 and 128 */
    cr_expect_eq(fv_colormap_index(1.0), 255);
    cr_expect_eq(fv_colormap_index(0.499 / 255.0), 0);
    cr_expect_eq(fv_colormap_index(0.501 / 255.0), 1);
    cr_expect_eq(fv_colormap_index(-1e300), 0);
    cr_expect_eq(fv_colormap_index(1e300), 255);
    cr_expect_eq(fv_colormap_index((double)NAN), 0);
}
