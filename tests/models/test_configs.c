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

/* The points of the comparisons, as the files' comments give them. */
Test(models_configs, every_mixer_stands_in_every_comparison) {
    static const char *const files[] = {"ablation_mixers_vit.yaml", "ablation_mixers_davit.yaml"};
    const fv_mixer *mixer;

    for (int f = 0; f < 2; f++)
        for (int i = 0; (mixer = fv_mixer_at(i)); i++) {
            fv_settings s;
            char path[4096];
            fv_model *model = NULL;
            fv_settings_init(&s);
            snprintf(path, sizeof path, FOLDER "/%s", files[f]);
            cr_assert_eq(fv_settings_load(&s, path, FV_CMD_TRAIN), FV_OK, "%s", fv_error_message());
            cr_assert_eq(fv_settings_set(&s, "attention.kind", mixer->kind, "test", FV_CMD_TRAIN),
                         FV_OK);
            const fv_model_config config = {.name = s.model,
                                            .img_size = s.img_size,
                                            .kwargs = s.model_kwargs,
                                            .attention = s.attention};
            cr_expect_eq(fv_model_describe(&config, &model), FV_OK, "%s, %s: %s", files[f],
                         mixer->kind, fv_error_message());
            fv_model_destroy(model);
            fv_settings_destroy(&s);
        }
}
