/* cmd_summary.c - fovea summary: a model's modules with output shapes, parameters, cost and memory. */
#include "cli/checkpoint_args.h"
#include "cli/command.h"
#include "cli/print.h"
#include "core/file.h"
#include "models/layer_tree.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SHAPE_TEXT 96
#define NAME_WIDTH 42
#define N_CELLS    6
#define MIB        (1024.0 * 1024.0)

typedef struct summary {
    fv_loaded loaded;
    fv_model_cost cost;
    fv_layer_table table;
    fv_layer_node *tree;
} summary;

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
    if (is_path(word)) return fv_checkpoint_args_open(s, word, (fv_checkpoint_use){0}, out);
    fv_model_config config = fv_model_config_of(s);
    config.name = word;
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
        fv_value_set(arena, map, "kept_bytes", fv_value_int(arena, row->kept_bytes));
        fv_value_add(list, map);
    }
    return list;
}

/* Modules down to a depth (0: all), each before what is in it. */
static void add_modules(fv_arena *arena, const fv_layer_node *node, int64_t depth, fv_value *list) {
    for (const fv_layer_node *m = node->first; m; m = m->next) {
        if (m->row || (depth && m->depth > depth)) continue;
        fv_value *map = fv_value_new(arena, FV_VALUE_MAP);
        fv_value_set(arena, map, "path", fv_value_string(arena, m->path));
        fv_value_set(arena, map, "depth", fv_value_int(arena, m->depth));
        fv_value_set(arena, map, "output_shape", shape_value(arena, &m->output));
        fv_value_set(arena, map, "params", fv_value_int(arena, m->params));
        fv_value_set(arena, map, "macs", fv_value_int(arena, (int64_t)m->macs));
        fv_value_set(arena, map, "kept_bytes", fv_value_int(arena, m->kept_bytes));
        fv_value_add(list, map);
        add_modules(arena, m, depth, list);
    }
}

static fv_status print_value(const summary *s, int64_t depth, fv_arena *arena) {
    const fv_model *model = s->loaded.model;
    fv_value *map = fv_value_new(arena, FV_VALUE_MAP),
             *modules = fv_value_new(arena, FV_VALUE_LIST);
    const fv_shape input = fv_shape_of(3, (int64_t)3, model->input.height, model->input.width);

    add_modules(arena, s->tree, depth, modules);
    fv_value_set(arena, map, "name", fv_value_string(arena, model->name));
    fv_value_set(arena, map, "family", fv_value_string(arena, model->family->name));
    fv_value_set(arena, map, "input_size", shape_value(arena, &input));
    fv_value_set(arena, map, "num_classes", fv_value_int(arena, model->num_classes));
    fv_value_set(arena, map, "params", fv_value_int(arena, fv_params_count(&model->params)));
    fv_value_set(arena, map, "gmacs", fv_value_real(arena, s->cost.macs / 1e9));
    fv_value_set(arena, map, "activations", fv_value_int(arena, (int64_t)s->cost.activations));
    fv_value_set(arena, map, "kept_bytes", fv_value_int(arena, s->tree->kept_bytes));
    fv_value_set(arena, map, "modules", modules);
    fv_value_set(arena, map, "layers", layers_value(arena, &s->table));
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

/* A line without the blanks of empty cells at its end. */
static void print_cells(int indent, const char *const cell[N_CELLS]) {
    static const int width[N_CELLS] = {0, -18, -16, 12, 11, 10};
    char line[512] = "";
    int n = 0;

    for (int i = 0; i < N_CELLS && n < (int)sizeof line - 128; i++) {
        const int w = i ? width[i] : 2 * indent - NAME_WIDTH;
        n += snprintf(line + n, sizeof line - (size_t)n, "%*s%*.100s", i ? 1 : 2 * indent, "", w,
                      cell[i]);
    }
    while (n > 0 && line[n - 1] == ' ') line[--n] = '\0';
    fv_print("%s\n", line);
}

/* op NULL: a module, of which there is more below. */
static void print_node(const fv_layer_node *node, const char *name, const char *op) {
    char shape[SHAPE_TEXT], params[32] = "", macs[32] = "", kept[32] = "";

    if (node->params > 0) snprintf(params, sizeof params, "%" PRId64, node->params);
    if (node->macs > 0.0) snprintf(macs, sizeof macs, "%.3f", node->macs / 1e6);
    if (node->kept_bytes > 0)
        snprintf(kept, sizeof kept, "%.1f", (double)node->kept_bytes / 1024.0);
    print_cells(node->depth - 1,
                (const char *const[N_CELLS]){name, op ? op : "", shape_text(&node->output, shape),
                                             params, macs, kept});
}

/* Everything in a module down to a depth (0: all).  A module of one op is one line, a module's own ops
 * are called "-"; those that neither cost nor keep anything are left out. */
static void print_inside(const fv_layer_node *module, int64_t depth) {
    for (const fv_layer_node *node = module->first; node; node = node->next) {
        const fv_layer_row *only = fv_layer_node_only(node);
        if (node->row) {
            if (!depth && (node->params || node->macs > 0.0 || node->kept_bytes))
                print_node(node, "-", node->row->op);
            continue;
        }
        if (depth && node->depth > depth) continue;
        print_node(node, node->path, only ? only->op : NULL);
        if (!only) print_inside(node, depth);
    }
}

static void print_text(const summary *s, int64_t depth) {
    const fv_model *model = s->loaded.model;
    const int64_t params = fv_params_count(&model->params);

    fv_print("%s (%s), %" PRId64 " x %" PRId64 " px, %" PRId64 " classes\n\n", model->name,
             model->family->name, model->input.height, model->input.width, model->num_classes);
    print_cells(
        0, (const char *const[N_CELLS]){"module", "op", "output", "params", "MMACs", "kept KiB"});
    print_inside(s->tree, depth);
    fv_print("\n%" PRId64
             " parameters (%.2f MiB), %.3f GMACs, %.3f M activations, %.2f MiB kept for "
             "backward per image\n",
             params, (double)params * 4.0 / MIB, s->cost.macs / 1e9, s->cost.activations / 1e6,
             (double)s->tree->kept_bytes / MIB);
}

static fv_status run(const fv_args *args) {
    summary s = {0};
    fv_arena arena = {0};

    fv_status status = open_model(args, &s.loaded);
    if (status == FV_OK) status = fv_model_cost_of(s.loaded.model, &s.cost);
    if (status == FV_OK) status = fv_layer_table_make(s.loaded.model, &arena, &s.table);
    if (status == FV_OK) status = fv_layer_tree_make(&s.table, &arena, &s.tree);
    if (status == FV_OK && args->settings.json)
        status = print_value(&s, args->settings.depth, &arena);
    else if (status == FV_OK)
        print_text(&s, args->settings.depth);
    fv_checkpoint_args_close(&s.loaded);
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
        "write; kept is what a training step in f32 holds for backward.  A module's line sums\n"
        "what is in it; --depth 1 shows the outermost ones.  Shapes have the one image in front.",
    .example = "fovea summary vit_tiny_patch16_224 --depth 2",
    .options = FV_CMD_SUMMARY,
    .file_options = FV_CMD_TRAIN,
    .max_args = 1,
    .run = run,
};
