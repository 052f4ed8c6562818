/* cmd_convert.c - fovea convert: a checkpoint of whatever source as a folder that others load. */
#include "cli/checkpoint_args.h"
#include "cli/command.h"
#include "cli/print.h"

#include <inttypes.h>

typedef struct report_row {
    const char *kind;
    const fv_name_list *list;
} report_row;

#define ROWS 4
static void report_rows(const fv_param_report *r, report_row row[ROWS]) {
    row[0] = (report_row){"missing", &r->missing};
    row[1] = (report_row){"unexpected", &r->unexpected};
    row[2] = (report_row){"unfit", &r->unfit};
    row[3] = (report_row){"reshaped", &r->reshaped};
}

static fv_value *report_value(const fv_args *args, const fv_loaded *from, const fv_tensor_names *to,
                              fv_arena *arena) {
    const fv_load_report *r = &from->report;
    fv_value *map = fv_value_new(arena, FV_VALUE_MAP);
    report_row row[ROWS];

    report_rows(&r->tensors, row);
    fv_value_set(arena, map, "source", fv_value_string(arena, r->weights));
    fv_value_set(arena, map, "names", fv_value_string(arena, r->whose));
    fv_value_set(arena, map, "prefix", fv_value_string(arena, r->prefix));
    fv_value_set(arena, map, "read", fv_value_int(arena, r->tensors.read));
    for (int i = 0; i < ROWS; i++) {
        fv_value *list = fv_value_new(arena, FV_VALUE_LIST);
        for (int64_t k = 0; k < row[i].list->count; k++)
            fv_value_add(list, fv_value_string(arena, row[i].list->name[k]));
        fv_value_set(arena, map, row[i].kind, list);
    }
    if (!from->model) return map;
    fv_value_set(arena, map, "model", fv_value_string(arena, from->model->name));
    fv_value_set(arena, map, "params", fv_value_int(arena, fv_params_count(&from->model->params)));
    fv_value_set(arena, map, "num_classes", fv_value_int(arena, from->model->num_classes));
    fv_value_set(arena, map, "out", fv_value_string(arena, args->settings.out));
    fv_value_set(arena, map, "to", fv_value_string(arena, to->naming->name));
    return map;
}

static void print_text(const fv_args *args, const fv_loaded *from, const fv_tensor_names *to) {
    const fv_load_report *r = &from->report;
    report_row row[ROWS];

    report_rows(&r->tensors, row);
    fv_print("%s: %" PRId64 " tensors by %s%s%s\n", r->weights, r->tensors.read, r->whose,
             r->prefix[0] ? " behind " : "", r->prefix);
    for (int i = 0; i < ROWS; i++) {
        fv_print("%6" PRId64 " %s\n", row[i].list->count, row[i].kind);
        for (int64_t k = 0; k < row[i].list->count; k++)
            fv_print("           %s\n", row[i].list->name[k]);
    }
    if (from->model)
        fv_print("%s: %s, %" PRId64 " parameters, %" PRId64 " classes, by %s\n", args->settings.out,
                 from->model->name, fv_params_count(&from->model->params), from->model->num_classes,
                 to->naming->whose);
}

static fv_status print_report(const fv_args *args, const fv_loaded *from, const fv_tensor_names *to,
                              fv_arena *arena) {
    if (args->settings.json) return fv_print_json(report_value(args, from, to, arena));
    print_text(args, from, to);
    return FV_OK;
}

/* The folder as asked for, from a model that was read. */
static fv_status write(const fv_args *args, const fv_loaded *from, fv_tensor_names *to,
                       fv_arena *arena) {
    FV_TRY(fv_tensor_names_called(from->model, args->settings.to, arena, to));
    return fv_model_save_named(from->model, from->meta.label_names, to, args->settings.out);
}

static fv_status run(const fv_args *args) {
    fv_loaded from = {0};
    fv_tensor_names to = {0};
    fv_arena arena = {0};

    if (!args->settings.out[0]) return FV_FAIL(FV_ERR_CONFIG, "convert needs --out FOLDER");
    fv_status status = fv_checkpoint_args_open(&args->settings, args->positional[0],
                                               (fv_checkpoint_use){0}, &from);
    const bool told = status == FV_ERR_SHAPE && from.report.whose; /* which tensors do not fit */
    if (status == FV_OK) status = write(args, &from, &to, &arena);
    if (status == FV_OK || told) {
        const fv_status printed = print_report(args, &from, &to, &arena);
        if (status == FV_OK) status = printed;
    }
    fv_checkpoint_args_close(&from);
    fv_arena_destroy(&arena);
    return status;
}

const fv_command fv_command_convert = {
    .name = "convert",
    .summary = "turn a checkpoint into a folder that timm loads",
    .usage = "CKPT --out FOLDER [--model NAME] [--to NAMES] [options]",
    .details =
        "CKPT is a checkpoint of ours, a timm or transformers folder, or a safetensors file with\n"
        "timm's, the DaViT or BiFormer authors' or transformers' names, whatever stands in front\n"
        "of them. The report lists the tensors that are missing, unexpected, unfit and reshaped;\n"
        "any but the last is an error. FOLDER gets model.safetensors and config.json.",
    .example = "fovea convert davit_tiny.safetensors --model davit_tiny --out davit_tiny",
    .options = FV_CMD_CONVERT,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
