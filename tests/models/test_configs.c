/* Every file in configs/: its options exist, and its model builds. */
#include "core/option.h"
#include "core/settings.h"
#include "layers/mixer.h"
#include "models/model.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#define FOLDER FOVEA_SOURCE_DIR "/configs"

/* Parameters with 20 classes, as timm counts them (biformer: its authors' code). */
static const struct {
    const char *file;
    int64_t params;
} sizes[] = {{"tiny_imagenet_vit.yaml", 2723156},
             {"tiny_imagenet_davit.yaml", 3107348},
             {"tiny_imagenet_halonet.yaml", 1955892},
             {"tiny_imagenet_biformer.yaml", 1631892}};

static void check_size(const char *file, const fv_model *model) {
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (strcmp(sizes[i].file, file) == 0)
            cr_expect_eq(fv_params_count(&model->params), sizes[i].params, "%s: %lld", file,
                         (long long)fv_params_count(&model->params));
}

static void check(const char *file) {
    fv_settings s;
    char path[4096];
    fv_model *model = NULL;

    fv_settings_init(&s);
    snprintf(path, sizeof path, FOLDER "/%s", file);
    cr_assert_eq(fv_settings_load(&s, path, FV_CMD_TRAIN), FV_OK, "%s", fv_error_message());
    cr_expect(s.model[0], "%s names no model", file);
    const fv_model_config config = {.name = s.model,
                                    .num_classes = 20,
                                    .img_size = s.img_size,
                                    .drop_path = s.drop_path,
                                    .kwargs = s.model_kwargs,
                                    .attention = s.attention,
                                    .pool = s.pool,
                                    .pos = s.pos};
    cr_expect_eq(fv_model_describe(&config, &model), FV_OK, "%s: %s", file, fv_error_message());
    if (model) check_size(file, model);
    fv_model_destroy(model);
    fv_settings_destroy(&s);
}

Test(models_configs, load_and_build) {
    DIR *dir = opendir(FOLDER);
    int n = 0;

    cr_assert_not_null(dir);
    for (const struct dirent *e; (e = readdir(dir));) {
        const char *dot = strrchr(e->d_name, '.');
        if (!dot || strcmp(dot, ".yaml") != 0) continue;
        check(e->d_name);
        n++;
    }
    closedir(dir);
    cr_assert_geq(n, 9);
}

/* The points of the comparisons: with the settings that the files' comments give, and with each mixer's
 * own. */
static void build_point(const char *file, const char *const options[][2]) {
    fv_settings s;
    char path[4096];
    fv_model *model = NULL;

    fv_settings_init(&s);
    snprintf(path, sizeof path, FOLDER "/%s", file);
    cr_assert_eq(fv_settings_load(&s, path, FV_CMD_TRAIN), FV_OK, "%s", fv_error_message());
    for (int i = 0; i < 3 && options[i][0]; i++)
        cr_assert_eq(fv_settings_set(&s, options[i][0], options[i][1], options[i][0], FV_CMD_TRAIN),
                     FV_OK);
    const fv_model_config config = {.name = s.model,
                                    .img_size = s.img_size,
                                    .kwargs = s.model_kwargs,
                                    .attention = s.attention};
    cr_expect_eq(fv_model_describe(&config, &model), FV_OK, "%s, %s: %s", file, options[0][1],
                 fv_error_message());
    fv_model_destroy(model);
    fv_settings_destroy(&s);
}

Test(models_configs, every_mixer_stands_in_every_comparison) {
    static const char *const points[][3][2] = {
        {{"attention.kind", "mhsa"}},
        {{"attention.kind", "halo"}, {"attention.halo.block", "4"}, {"attention.halo.halo", "1"}},
        {{"attention.kind", "window"}, {"attention.window.size", "4"}},
        {{"attention.kind", "channel"}},
        {{"attention.kind", "bra"}, {"attention.bra.regions", "4"}, {"attention.bra.topk", "4"}}};
    static const char *const files[] = {"ablation_mixers_vit.yaml", "ablation_mixers_davit.yaml"};
    const fv_mixer *mixer;

    for (int f = 0; f < 2; f++) {
        for (size_t i = 0; i < sizeof points / sizeof *points; i++)
            build_point(files[f], points[i]);
        for (int i = 0; (mixer = fv_mixer_at(i)); i++)
            build_point(files[f], (const char *const[3][2]){{"attention.kind", mixer->kind}});
    }
}
