/* Every registered model against the sizes its publishers state: parameters exactly, multiply-accumulates
 * to half a percent, names and shapes line by line where a list is in tests/golden/params. */
#include "models/model.h"
#include "tests/support/model_run.h"

#include "core/file.h"

#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

/* gmacs 0: nobody states it.  ResNets and DaViT-large: counted over timm's modules, the others as stated. */
static const struct {
    const char *name;
    int64_t params;
    double gmacs;
} published[] = {
    {"vit_tiny_patch16_224", 5717416, 1.254},
    {"vit_small_patch16_224", 22050664, 4.599},
    {"vit_base_patch16_224", 86567656, 17.564},
    {"deit_tiny_patch16_224", 5717416, 1.254},
    {"deit_tiny_distilled_patch16_224", 5910800, 1.261},
    {"deit_small_patch16_224", 22050664, 4.599},
    {"deit_base_patch16_224", 86567656, 17.564},
    {"halonet_h1", 8100056, 2.988},
    {"halonet26t", 12480288, 3.173},
    {"halonet50ts", 22733280, 5.270},
    {"sehalonet33ts", 13691712, 3.530},
    {"eca_halonext26ts", 10756885, 2.420},
    {"biformer_tiny", 13142760, 2.216},
    {"biformer_small", 25536232, 4.464},
    {"biformer_base", 56804968, 9.759},
    {"biformer_stl", 28372552, 4.574},
    {"davit_tiny", 28360168, 4.522},
    {"davit_small", 49745896, 8.773},
    {"davit_base", 87954408, 15.474},
    {"davit_large", 196811752, 34.540},
    {"resnet26t", 16011872, 3.330},
    {"resnet50", 25557032, 4.089},
    {"mini_vit", 108106, 0},
    {"mini_deit_distilled", 67844, 0},
    {"mini_halonet_h1", 221218, 0},
    {"mini_halonet_ts", 658918, 0},
    {"mini_davit", 2301450, 0},
    {"mini_davit_even", 1074858, 0},
    {"mini_biformer", 1289354, 0},
    {"mini_biformer_pad", 1460554, 0},
    {"mini_biformer_stl", 1240074, 0},
};

#define PUBLISHED (sizeof published / sizeof *published)

static model_run run;

static void enter(void) { model_run_open(&run); }
static void leave(void) { model_run_close(&run); }

TestSuite(models_published, .init = enter, .fini = leave);

Test(models_published, sizes_are_the_published_ones) {
    for (size_t i = 0; i < PUBLISHED; i++) {
        fv_model *model = NULL;
        fv_model_cost cost;
        cr_assert_eq(fv_model_describe(&(fv_model_config){.name = published[i].name}, &model),
                     FV_OK, "%s", fv_error_message());
        cr_expect_eq(fv_params_count(&model->params), published[i].params, "%s: %lld",
                     published[i].name, (long long)fv_params_count(&model->params));
        cr_assert_eq(fv_model_cost_of(model, &cost), FV_OK, "%s", fv_error_message());
        cr_expect(published[i].gmacs <= 0.0 ||
                      fabs(cost.macs / 1e9 - published[i].gmacs) <= 0.005 * published[i].gmacs,
                  "%s: %g GMACs, not %g", published[i].name, cost.macs / 1e9, published[i].gmacs);
        fv_model_destroy(model);
    }
}

Test(models_published, every_model_is_in_the_table_above) {
    const char *name;

    for (int i = 0; (name = fv_model_name(i)); i++) {
        size_t k = 0;
        while (k < PUBLISHED && strcmp(published[k].name, name) != 0) k++;
        cr_expect_lt(k, PUBLISHED, "%s has no expected size here", name);
    }
}

Test(models_published, names_and_shapes_are_the_published_ones) {
    const char *name;
    int lists = 0;

    for (int i = 0; (name = fv_model_name(i)); i++) {
        char path[512];
        snprintf(path, sizeof path, FOVEA_SOURCE_DIR "/tests/golden/params/%s.txt", name);
        if (!fv_file_exists(path)) continue;
        const char *differs = model_run_compare_list(&run, name, name);
        cr_expect_null(differs, "%s: %s", name, differs);
        lists++;
    }
    cr_assert_geq(lists, 20);
}
