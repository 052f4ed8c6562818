#include "cli/faithful_output.h"

#include "cli/method_help.h"
#include "cli/print.h"
#include "core/file.h"
#include "core/json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define COLUMNS 4 /* numbers beside each other on a terminal */

/* Methods that know nothing of the model: what others are compared with. */
static const char *const baselines[] = {"centre", "edge", "random"};

/* ---- JSON ---- */

static bool is_baseline(const char *text) {
    for (size_t i = 0; i < sizeof baselines / sizeof *baselines; i++)
        if (strcmp(text, baselines[i]) == 0) return true;
    return false;
}

static fv_status comparisons(const fv_faithful_table *t, fv_arena *arena, fv_value **out) {
    *out = fv_value_new(arena, FV_VALUE_LIST);
    if (!*out) return FV_ERR_NOMEM;
    for (int m = 0; m < t->question->n_methods; m++) {
        fv_value *list;
        if (!is_baseline(t->question->methods[m].text)) continue;
        FV_TRY(fv_faithful_table_compare(t, m, arena, &list));
        for (fv_value *v = list->first, *next; v; v = next) {
            next = v->next;
            v->next = NULL;
            fv_value_add(*out, v);
        }
    }
    return FV_OK;
}

static fv_status make_value(const fv_faithful_output *o, fv_arena *arena, fv_value **out) {
    const fv_settings *s = o->settings;
    fv_value *map = fv_value_new(arena, FV_VALUE_MAP), *methods, *compared;

    if (!map) return FV_ERR_NOMEM;
    FV_TRY(fv_faithful_table_methods(o->table, arena, &methods));
    FV_TRY(comparisons(o->table, arena, &compared));
    fv_value_set(arena, map, "checkpoint", fv_value_string(arena, o->checkpoint));
    fv_value_set(arena, map, "model", fv_value_string(arena, o->table->question->model->name));
    fv_value_set(arena, map, "data", fv_value_string(arena, s->data_dir));
    fv_value_set(arena, map, "split", fv_value_string(arena, s->split));
    fv_value_set(arena, map, "count", fv_value_int(arena, o->table->n_images));
    fv_value_set(arena, map, "methods", methods);
    fv_value_set(arena, map, "comparisons", compared);
    if (o->randomisation)
        fv_value_set(arena, map, "randomisation",
                     fv_randomisation_table_value(o->randomisation, arena));
    *out = map;
    return map->incomplete ? FV_ERR_NOMEM : FV_OK;
}

/* ---- tables ---- */

static double number(const fv_value *v) {
    return v && v->kind != FV_VALUE_NULL ? v->real : (double)NAN;
}

static void print_cell(const fv_value *method, const char *name) {
    const fv_value *interval = fv_value_find(fv_value_find(method, "intervals"), name);
    char text[64];

    snprintf(text, sizeof text, "%.4g [%.3g, %.3g]", number(fv_value_find(method, name)),
             number(interval->first), number(interval->first->next));
    fv_print("  %-26s", text);
}

static void print_methods(const fv_faithful *q, const fv_value *methods) {
    const int n = fv_faithful_count(q);

    for (int first = 0; first < n; first += COLUMNS) {
        const int last = first + COLUMNS < n ? first + COLUMNS : n;
        fv_print("%-28s", "method");
        for (int k = first; k < last; k++) {
            const fv_metric_value *value = fv_faithful_value(q, k);
            char title[64];
            snprintf(title, sizeof title, "%s %s", value->name,
                     value->higher_is_better ? "+" : "-");
            fv_print("  %-26s", title);
        }
        fv_print("\n");
        for (const fv_value *m = methods->first; m; m = m->next) {
            fv_print("%-28s", fv_value_find(m, "method")->text);
            for (int k = first; k < last; k++) print_cell(m, fv_faithful_value(q, k)->name);
            fv_print("\n");
        }
        fv_print("\n");
    }
}

static void print_randomisation(const fv_value *list) {
    fv_print("%-28s  %-16s  %9s  %13s  %9s\n", "method", "random from", "spearman", "spearman |.|",
             "ssim");
    for (const fv_value *v = list->first; v; v = v->next)
        fv_print("%-28s  %-16s  %9.3f  %13.3f  %9.3f\n", fv_value_find(v, "method")->text,
                 fv_value_find(v, "stage")->text, number(fv_value_find(v, "spearman")),
                 number(fv_value_find(v, "spearman_abs")), number(fv_value_find(v, "ssim")));
}

static void print_text(const fv_faithful_output *o, const fv_value *value) {
    fv_print("%lld images; + higher is better, - lower; mean [95 %% interval]\n\n",
             (long long)o->table->n_images);
    print_methods(o->table->question, fv_value_find(value, "methods"));
    if (o->randomisation) print_randomisation(fv_value_find(value, "randomisation"));
}

/* ---- files ---- */

static fv_status save_csv(const fv_faithful_output *o, const char *path) {
    const fv_faithful *q = o->table->question;
    fv_text t = {0};
    fv_status status = FV_OK;

    fv_text_append(&t, "method,value,mean,low,high,se,count,undefined\n");
    for (int m = 0; m < q->n_methods && status == FV_OK; m++)
        for (int k = 0; k < fv_faithful_count(q) && status == FV_OK; k++) {
            fv_summary s;
            status = fv_faithful_table_summary(o->table, m, k, &s);
            if (status != FV_OK) break;
            fv_text_printf(&t, "%s,%s,%.9g,%.9g,%.9g,%.9g,%lld,%lld\n", q->methods[m].text,
                           fv_faithful_value(q, k)->name, s.mean, s.interval.low, s.interval.high,
                           s.se, (long long)s.count, (long long)s.undefined);
        }
    if (status == FV_OK && t.failed) status = FV_ERR_NOMEM;
    if (status == FV_OK) status = fv_file_write(path, t.data, t.bytes);
    fv_text_free(&t);
    return status;
}

static fv_status save(const fv_faithful_output *o, const fv_value *value, fv_arena *arena) {
    const char *json = fv_arena_printf(arena, "%s/faithful.json", o->settings->out);
    const char *csv = fv_arena_printf(arena, "%s/faithful.csv", o->settings->out);
    char *text = NULL;

    if (!json || !csv) return FV_ERR_NOMEM;
    FV_TRY(fv_json_write(value, FV_JSON_INDENT, arena, &text));
    FV_TRY(fv_file_write(json, text, strlen(text)));
    return save_csv(o, csv);
}

fv_status fv_faithful_output_write(const fv_faithful_output *o) {
    fv_arena arena = {0};
    fv_value *value = NULL;

    fv_status status = make_value(o, &arena, &value);
    if (status == FV_OK && o->settings->out[0]) status = save(o, value, &arena);
    if (status == FV_OK && o->settings->json)
        status = fv_print_json(value);
    else if (status == FV_OK)
        print_text(o, value);
    fv_arena_destroy(&arena);
    return status;
}

/* ---- help ---- */

void fv_faithful_help(fv_text *t) {
    const fv_metric *m;

    fv_method_help(t);
    fv_text_append(t, "\nMetrics and their numbers (--set metric_args.NAME=X):\n");
    for (int i = 0; (m = fv_metric_at(i)); i++) {
        fv_text_printf(t, "  %-22s  %s%s\n", m->name, m->summary,
                       m->on_request ? "; only when asked for" : "");
        for (const fv_metric_option *o = m->options; o && o->name; o++)
            fv_text_printf(t, "      %s=%g  %s\n", o->name, o->value, o->summary);
    }
}
