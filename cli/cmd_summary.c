/* cmd_summary.c - fovea summary: a model's layers with output shapes, parameters and costs. */
#include "cli/checkpoint_args.h"
#include "cli/command.h"
#include "cli/print.h"
#include "core/file.h"
#include "models/layer_table.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SHAPE_TEXT 96

/* A name of the list is a model, what looks like a path or is one a checkpoint. */
static bool is_path(const char *word) {
    const char *suffix = strstr(word, ".safetensors");

    if (fv_model_family(word)) return false;
    return strchr(word, '/') || (suffix && !suffix[12]) || fv_file_exists(word) ||
           fv_folder_exists(word);
}

static fv_status open_model(const fv_args *args, fv_loaded *out) {
    const fv_settings *s = &args->settings;
    const char *word = args->n_positional > 0 ? args->positional[0] : s->model;

    if (!word[0])
        return FV_FAIL(FV_ERR_CONFIG, "summary needs a model's name or a checkpoint's path");
    if (is_path(word)) return fv_checkpoint_args_open(s, word, false, out);
    const fv_model_config config = {.name = word,
                                    .num_classes = s->num_classes,
                                    .img_size = s->img_size,
                                    .kwargs = s->model_kwargs,
                                    .attention = s->attention,
                                    .pool = s->pool,
                                    .pos = s->pos};
    return fv_model_describe(&config, &out->model);
}

static fv_value *shape_value(fv_arena *arena, const fv_shape *shape) {
    fv_value *list = fv_value_new(arena, FV_VALUE_LIST);

    for (int i = 0; i < shape->rank; i++) fv_value_add(list, fv_value_int(arena, shape->dim[i]));
    return list;
}

static fv_value *layers_value(fv_arena *arena, const fv_layer_table *table) {
    fv_value *list = fv_value_new(arena, FV_VALUE_LIST);

    for (int64_t i = 0; i < table->count; i++) {
        const fv_layer_row *row = &table->row[i];
        fv_value *map = fv_value_new(arena, FV_VALUE_MAP);
        fv_value_set(arena, map, "name", fv_value_string(arena, row->name));
        fv_value_set(arena, map, "op", fv_value_string(arena, row->op));
        fv_value_set(arena, map, "output_shape", shape_value(arena, &row->output));
        fv_value_set(arena, map, "params", fv_value_int(arena, row->params));
        fv_value_set(arena, map, "macs", fv_value_int(arena, (int64_t)row->macs));
        fv_value_add(list, map);
    }
    return list;
}

static fv_status print_value(const fv_model *model, const fv_model_cost *cost,
                             const fv_layer_table *table, fv_arena *arena) {
    fv_value *map = fv_value_new(arena, FV_VALUE_MAP);
    const fv_shape input = fv_shape_of(3, (int64_t)3, model->input.height, model->input.width);

    fv_value_set(arena, map, "name", fv_value_string(arena, model->name));
    fv_value_set(arena, map, "family", fv_value_string(arena, model->family->name));
    fv_value_set(arena, map, "input_size", shape_value(arena, &input));
    fv_value_set(arena, map, "num_classes", fv_value_int(arena, model->num_classes));
    fv_value_set(arena, map, "params", fv_value_int(arena, fv_params_count(&model->params)));
    fv_value_set(arena, map, "gmacs", fv_value_real(arena, cost->macs / 1e9));
    fv_value_set(arena, map, "activations", fv_value_int(arena, (int64_t)cost->activations));
    fv_value_set(arena, map, "layers", layers_value(arena, table));
    return fv_print_json(map);
}

static const char *shape_text(const fv_shape *shape, char text[SHAPE_TEXT]) {
    size_t used = 0;

    text[0] = '\0';
    for (int i = 0; i < shape->rank && used < SHAPE_TEXT; i++)
        used += (size_t)snprintf(text + used, SHAPE_TEXT - used, "%s%" PRId64, i ? "x" : "",
                                 shape->dim[i]);
    return text;
}

static void print_text(const fv_model *model, const fv_model_cost *cost,
                       const fv_layer_table *table) {
    char text[SHAPE_TEXT];

    fv_print("%s (%s), %" PRId64 " x %" PRId64 " px, %" PRId64 " classes\n\n", model->name,
             model->family->name, model->input.height, model->input.width, model->num_classes);
    fv_print("%-36s %-16s %-18s %12s %12s\n", "layer", "op", "output", "params", "MMACs");
    for (int64_t i = 0; i < table->count; i++) {
        const fv_layer_row *row = &table->row[i];
        const char *shape = shape_text(&row->output, text);
        if (row->params > 0 || row->macs > 0.0)
            fv_print("%-36s %-16s %-18s %12" PRId64 " %12.3f\n", row->name, row->op, shape,
                     row->params, row->macs / 1e6);
        else
            fv_print("%-36s %-16s %s\n", row->name, row->op, shape);
    }
    fv_print("\n%" PRId64 " parameters, %.3f GMACs, %.3f M activations\n",
             fv_params_count(&model->params), cost->macs / 1e9, cost->activations / 1e6);
}

static fv_status run(const fv_args *args) {
    fv_loaded loaded = {0};
    fv_model_cost cost;
    fv_layer_table table;
    fv_arena arena = {0};

    fv_status status = open_model(args, &loaded);
    if (status == FV_OK) status = fv_model_cost_of(loaded.model, &cost);
    if (status == FV_OK) status = fv_layer_table_make(loaded.model, &arena, &table);
    if (status == FV_OK && args->settings.json)
        status = print_value(loaded.model, &cost, &table, &arena);
    else if (status == FV_OK)
        print_text(loaded.model, &cost, &table);
    fv_checkpoint_args_close(&loaded);
    fv_arena_destroy(&arena);
    return status;
}

const fv_command fv_command_summary = {
    .name = "summary",
    .summary = "table a model's layers, parameters and cost",
    .usage = "MODEL|CKPT [options]",
    .details =
        "Costs are those of one image: multiply-accumulates of convolutions, linear layers and\n"
        "attention products; activations are the values that convolutions and linear layers\n"
        "write.  Shapes have the one image in front.",
    .example = "fovea summary vit_tiny_patch16_224",
    .options = FV_CMD_SUMMARY,
    .file_options = FV_CMD_TRAIN,
    .max_args = 1,
    .run = run,
};
