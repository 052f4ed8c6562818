/* cmd_data.c - fovea data synth|info|verify|export: makes, describes and checks data sets. */
#include "cli/command.h"
#include "cli/data_export.h"
#include "cli/print.h"
#include "core/suggest.h"
#include "data/data_info.h"
#include "data/dataset_settings.h"
#include "data/synth.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define INFO_FILES 2000 /* headers that `info` reads per split */
#define TEXT_ROWS  20   /* classes that it prints */

static const char *const splits[] = {"train", "validation"};
#define SPLITS ((int)(sizeof splits / sizeof *splits))

/* ---- synth ---- */

static fv_status synth(const fv_args *args) {
    const fv_settings *s = &args->settings;
    const fv_synth_config config = {.n_classes = (int)s->classes,
                                    .size_px = s->size,
                                    .n_train = s->train,
                                    .n_val = s->val,
                                    .seed = (uint64_t)s->seed,
                                    .has_shortcut = s->shortcut >= 0,
                                    .shortcut = (int)s->shortcut};
    fv_arena arena = {0};
    bool written = false;

    if (!s->out[0]) return FV_FAIL(FV_ERR_CONFIG, "data synth: --out says where to write the set");
    FV_TRY(fv_synth_write(s->out, &config, s->force, &written));
    if (!s->json) {
        fv_print("%s: %" PRId64 " training and %" PRId64 " validation images of %" PRId64
                 " pixels, %" PRId64 " classes%s%s%s\n",
                 s->out, s->train, s->val, s->size, s->classes,
                 config.has_shortcut ? ", a marker on each " : "",
                 config.has_shortcut ? fv_synth_class_name(config.shortcut) : "",
                 written ? "" : " (was there already)");
        return FV_OK;
    }
    fv_value *map = fv_value_new(&arena, FV_VALUE_MAP);
    fv_value_set(&arena, map, "out", fv_value_string(&arena, s->out));
    fv_value_set(&arena, map, "train", fv_value_int(&arena, s->train));
    fv_value_set(&arena, map, "validation", fv_value_int(&arena, s->val));
    fv_value_set(&arena, map, "classes", fv_value_int(&arena, s->classes));
    fv_value_set(&arena, map, "size", fv_value_int(&arena, s->size));
    fv_value_set(&arena, map, "seed", fv_value_int(&arena, s->seed));
    fv_value_set(
        &arena, map, "shortcut",
        fv_value_string(&arena, config.has_shortcut ? fv_synth_class_name(config.shortcut) : NULL));
    fv_value_set(&arena, map, "written", fv_value_bool(&arena, written));
    const fv_status status = fv_print_json(map);
    fv_arena_destroy(&arena);
    return status;
}

/* ---- info, verify ---- */

/* A data set's splits; those that are not there are NULL. */
typedef struct opened {
    fv_dataset *dataset[SPLITS];
    fv_data_info info[SPLITS];
    fv_value *bad[SPLITS]; /* messages of bad images; NULL: not asked for */
    fv_arena arena;
} opened;

typedef struct bad_list {
    fv_value *list;
    fv_arena *arena;
} bad_list;

static void add_bad(void *user, const char *message) {
    const bad_list *bad = user;
    fv_value_add(bad->list, fv_value_string(bad->arena, message));
}

static void close_all(opened *o) {
    for (int i = 0; i < SPLITS; i++) {
        fv_data_info_free(&o->info[i]);
        fv_dataset_destroy(o->dataset[i]);
    }
    fv_arena_destroy(&o->arena);
}

/* A set may have one split only; a split that is there and cannot be read is an error. */
static fv_status open_all(const fv_args *args, const fv_data_info_options *options, opened *o) {
    int found = 0;

    for (int i = 0; i < SPLITS; i++) {
        const fv_status status =
            fv_dataset_open_settings(&args->settings, args->positional[1], splits[i],
                                     i ? FV_SPLIT_WHOLE : FV_SPLIT_CHOSEN, &o->dataset[i]);
        if (status == FV_OK)
            found++;
        else if (status != FV_ERR_NOT_FOUND || (i + 1 == SPLITS && found == 0))
            return status;
        if (status != FV_OK) continue;
        fv_data_info_options with_list = *options;
        bad_list bad = {.arena = &o->arena};
        if (options->decode) {
            bad.list = o->bad[i] = fv_value_new(&o->arena, FV_VALUE_LIST);
            with_list.on_bad = add_bad;
            with_list.user = &bad;
        }
        FV_TRY(fv_data_info_compute(o->dataset[i], &with_list, &o->info[i]));
    }
    return FV_OK;
}

static const fv_dataset *any_of(const opened *o) {
    return o->dataset[0] ? o->dataset[0] : o->dataset[1];
}

static fv_value *side_value(fv_arena *arena, const fv_side_stats *side) {
    fv_value *map = fv_value_new(arena, FV_VALUE_MAP);
    fv_value_set(arena, map, "min", fv_value_int(arena, side->min));
    fv_value_set(arena, map, "median", fv_value_int(arena, side->median));
    fv_value_set(arena, map, "max", fv_value_int(arena, side->max));
    return map;
}

static fv_value *split_value(fv_arena *arena, const fv_dataset *ds, const fv_data_info *info) {
    fv_value *map = fv_value_new(arena, FV_VALUE_MAP);
    fv_value *per_class = fv_value_new(arena, FV_VALUE_MAP);
    char hash[32];

    for (int64_t c = 0; c < ds->n_classes; c++)
        fv_value_set(arena, per_class, ds->class_names[c],
                     fv_value_int(arena, info->class_counts[c]));
    snprintf(hash, sizeof hash, "%016" PRIx64, ds->hash);
    fv_value_set(arena, map, "count", fv_value_int(arena, info->n_samples));
    fv_value_set(arena, map, "bytes", fv_value_int(arena, info->n_bytes));
    fv_value_set(arena, map, "per_class", per_class);
    fv_value_set(arena, map, "with_boxes", fv_value_int(arena, info->n_with_boxes));
    fv_value_set(arena, map, "with_masks", fv_value_int(arena, info->n_with_masks));
    fv_value_set(arena, map, "with_markers", fv_value_int(arena, info->n_with_markers));
    fv_value_set(arena, map, "checked", fv_value_int(arena, info->n_probed));
    fv_value_set(arena, map, "jpeg", fv_value_int(arena, info->n_jpeg));
    fv_value_set(arena, map, "png", fv_value_int(arena, info->n_png));
    fv_value_set(arena, map, "bad", fv_value_int(arena, info->n_bad));
    fv_value_set(arena, map, "first_bad", fv_value_string(arena, info->n_bad ? info->bad : NULL));
    fv_value_set(arena, map, "height", side_value(arena, &info->height));
    fv_value_set(arena, map, "width", side_value(arena, &info->width));
    fv_value_set(arena, map, "hash", fv_value_string(arena, hash));
    return map;
}

static fv_status print_value(const opened *o) {
    const fv_dataset *ds = any_of(o);
    fv_arena arena = {0};

    fv_value *map = fv_value_new(&arena, FV_VALUE_MAP);
    fv_value *names = fv_value_new(&arena, FV_VALUE_LIST);
    fv_value *parts = fv_value_new(&arena, FV_VALUE_MAP);
    for (int64_t c = 0; c < ds->n_classes; c++)
        fv_value_add(names, fv_value_string(&arena, ds->class_names[c]));
    fv_value_set(&arena, map, "path", fv_value_string(&arena, ds->root));
    fv_value_set(&arena, map, "layout", fv_value_string(&arena, ds->layout));
    fv_value_set(&arena, map, "classes", fv_value_int(&arena, ds->n_classes));
    for (int i = 0; i < SPLITS; i++) {
        fv_value_set(&arena, map, splits[i],
                     fv_value_int(&arena, o->dataset[i] ? o->info[i].n_samples : 0));
        if (!o->dataset[i]) continue;
        fv_value *part = split_value(&arena, o->dataset[i], &o->info[i]);
        if (o->bad[i]) fv_value_set(&arena, part, "bad_files", fv_value_copy(&arena, o->bad[i]));
        fv_value_set(&arena, parts, splits[i], part);
    }
    fv_value_set(&arena, map, "class_names", names);
    fv_value_set(&arena, map, "splits", parts);
    const fv_status status = fv_print_json(map);
    fv_arena_destroy(&arena);
    return status;
}

static void print_side(const char *name, const fv_side_stats *side) {
    if (side->min == side->max)
        fv_print(", %s %" PRId64, name, side->min);
    else
        fv_print(", %s %" PRId64 "..%" PRId64 " (median %" PRId64 ")", name, side->min, side->max,
                 side->median);
}

static void print_split(const fv_dataset *ds, const fv_data_info *info, const fv_value *bad) {
    const bool large = info->n_bytes >= 1000000;

    fv_print("%s: %" PRId64 " images, %.1f %s", ds->split, info->n_samples,
             (double)info->n_bytes / (large ? 1e6 : 1e3), large ? "MB" : "kB");
    if (info->n_probed > info->n_bad) {
        print_side("height", &info->height);
        print_side("width", &info->width);
    }
    if (info->n_with_boxes > 0) fv_print(", %" PRId64 " with boxes", info->n_with_boxes);
    if (info->n_with_masks > 0) fv_print(", %" PRId64 " with masks", info->n_with_masks);
    if (info->n_with_markers > 0) fv_print(", %" PRId64 " with markers", info->n_with_markers);
    for (const fv_value *v = bad ? bad->first : NULL; v; v = v->next)
        fv_print("\n  bad: %s", v->text);
    if (info->n_bad > 0 && !bad)
        fv_print("\n  bad: %" PRId64 " of %" PRId64 " looked at; first: %s", info->n_bad,
                 info->n_probed, info->bad);
    fv_print("\n");
}

static void print_text(const opened *o) {
    const fv_dataset *ds = any_of(o);
    const int64_t shown = ds->n_classes <= TEXT_ROWS ? ds->n_classes : TEXT_ROWS - 1;

    fv_print("%s: %s layout, %" PRId64 " classes\n", ds->root, ds->layout, ds->n_classes);
    for (int i = 0; i < SPLITS; i++)
        if (o->dataset[i]) print_split(o->dataset[i], &o->info[i], o->bad[i]);
    for (int64_t c = 0; c < shown; c++) {
        fv_print("  %-24s", ds->class_names[c]);
        for (int i = 0; i < SPLITS; i++)
            if (o->dataset[i] && c < o->info[i].n_classes)
                fv_print(" %8" PRId64, o->info[i].class_counts[c]);
        fv_print("\n");
    }
    if (shown < ds->n_classes) fv_print("  and %" PRId64 " classes more\n", ds->n_classes - shown);
}

static fv_status describe(const fv_args *args, const fv_data_info_options *options, opened *o) {
    FV_TRY(open_all(args, options, o));
    if (args->settings.json) return print_value(o);
    print_text(o);
    return FV_OK;
}

static fv_status info(const fv_args *args) {
    opened o = {0};
    const fv_status status = describe(args, &(fv_data_info_options){.max_files = INFO_FILES}, &o);
    close_all(&o);
    return status;
}

static fv_status verify(const fv_args *args) {
    opened o = {0};
    int64_t bad = 0;

    fv_status status = describe(args, &(fv_data_info_options){.decode = true}, &o);
    for (int i = 0; i < SPLITS; i++) bad += o.info[i].n_bad;
    if (status == FV_OK && bad > 0)
        status = FV_FAIL(FV_ERR_FORMAT, "%" PRId64 " bad image%s, first: %s", bad,
                         bad == 1 ? "" : "s", o.info[0].n_bad ? o.info[0].bad : o.info[1].bad);
    close_all(&o);
    return status;
}

/* ---- the command ---- */

static const struct part {
    const char *name, *usage;
    uint32_t options; /* FV_CMD_* bits */
    int n_args;       /* behind its name */
    fv_status (*run)(const fv_args *args);
} parts[] = {
    {"synth", "--out DIR [options]", FV_CMD_SYNTH, 0, synth},
    {"info", "DIR [options]", FV_CMD_DATA, 1, info},
    {"verify", "DIR [options]", FV_CMD_DATA, 1, verify},
    {"export", "-c FILE --data-dir DIR --out FILE [options]", FV_CMD_EXPORT | FV_CMD_TRAIN, 0,
     fv_data_export},
};
#define PARTS (sizeof parts / sizeof *parts)

/* Options that only another part takes would be ignored in silence. */
static fv_status check_options(const fv_settings *settings, const struct part *part) {
    char kebab[FV_OPTION_TEXT];

    for (int i = 0; i < fv_n_options; i++) {
        const fv_option *o = &fv_option_table[i];
        const bool given = *(const bool *)((const char *)settings + o->given);
        const bool every = (o->commands & FV_CMD_EVERY) == FV_CMD_EVERY;
        if (given && !every && !(o->commands & part->options))
            return FV_FAIL(FV_ERR_CONFIG, "--%s is not an option of data %s",
                           fv_option_kebab(o, kebab), part->name);
    }
    return FV_OK;
}

static fv_status run(const fv_args *args) {
    const char *names[PARTS + 1] = {NULL}, *word = args->positional[0];
    char hint[FV_SUGGEST_TEXT];

    for (size_t i = 0; i < PARTS; i++) {
        names[i] = parts[i].name;
        if (strcmp(word, parts[i].name) != 0) continue;
        if (args->n_positional - 1 != parts[i].n_args)
            return FV_FAIL(FV_ERR_CONFIG, "data %s: %s; usage: fovea data %s %s", word,
                           args->n_positional - 1 < parts[i].n_args ? "too few arguments"
                                                                    : "too many arguments",
                           word, parts[i].usage);
        FV_TRY(check_options(&args->settings, &parts[i]));
        return parts[i].run(args);
    }
    return FV_FAIL(FV_ERR_CONFIG, "data: unknown part '%.80s'%s (synth, info, verify or export)",
                   word, fv_suggest_text(word, names, hint));
}

const fv_command fv_command_data = {
    .name = "data",
    .summary = "make, describe and check data sets",
    .usage = "synth|info|verify|export [DIR] [options]",
    .details =
        "synth   write the built-in set of textured shapes with boxes and masks to --out;\n"
        "        --shortcut pastes a marker on one class, to see what explains a model that\n"
        "        learned it\n"
        "info    count the images of a data set by split and class\n"
        "verify  decode every image and list the bad ones; exit status 1 when there is one\n"
        "export  write the batches that a training with these options sees in the first --steps\n"
        "        updates of --epoch to the safetensors file --out: pixels, labels, indices, and a\n"
        "        PNG of the first images beside it\n"
        "\n"
        "A data set is a folder with train/ and validation/ (or val/, test/), a folder per class "
        "in\n"
        "each; Tiny-ImageNet or CIFAR-10 and -100 (binary version) as distributed; or tar shards,\n"
        "train/*.tar or *train*.tar and so on, with class folders or N.jpg and N.cls inside.\n"
        "--class-map  a text file: one class name per line in label order, or a name and its "
        "label\n"
        "             on every line\n"
        "--subset     drawn by --seed; a file names one image per line, CLASS/FILE or FILE",
    .example = "fovea data synth --out shapes --classes 10 --train 2000 --val 500\n"
               "fovea data info shapes\n"
               "fovea data export --data-dir shapes --model mini_vit -b 64 --out batch.safetensors",
    .options = FV_CMD_DATA | FV_CMD_SYNTH | FV_CMD_EXPORT,
    .file_options = FV_CMD_TRAIN,
    .min_args = 1,
    .max_args = 2,
    .run = run,
};
