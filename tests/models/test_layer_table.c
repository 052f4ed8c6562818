/* The table of layers and its tree: costs and memory by hand. */
#include "models/layer_tree.h"

#include "core/alloc.h"
#include "core/tape_internal.h"
#include "tests/support/model_run.h"

#include <criterion/criterion.h>

#include <string.h>

static fv_model *model;
static fv_arena arena;
static model_run run;

static void leave(void) {
    fv_alloc_fail_at(0);
    fv_model_destroy(model);
    fv_arena_destroy(&arena);
    model_run_close(&run);
}

TestSuite(models_layer_table, .fini = leave);

static fv_layer_table make(const char *name) {
    fv_layer_table table;
    cr_assert_eq(fv_model_describe(&(fv_model_config){.name = name}, &model), FV_OK, "%s",
                 fv_error_message());
    cr_assert_eq(fv_layer_table_make(model, &arena, &table), FV_OK, "%s", fv_error_message());
    return table;
}

static const fv_layer_row *row(const fv_layer_table *table, const char *name, const char *op) {
    for (int64_t i = 0; i < table->count; i++)
        if (strcmp(table->row[i].name, name) == 0 && strcmp(table->row[i].op, op) == 0)
            return &table->row[i];
    cr_assert(false, "no %s %s", name, op);
    return NULL;
}

/* mini_vit: T = 65 tokens, D = 64, 4 heads, MLP 256. */
Test(models_layer_table, rows_are_what_a_hand_counts) {
    const fv_layer_table table = make("mini_vit");
    const fv_layer_row *qkv = row(&table, "blocks.0.attn.qkv", "linear");
    const fv_layer_row *attention = row(&table, "blocks.0.attn", "attention");
    const fv_layer_row *fc1 = row(&table, "blocks.1.mlp.fc1", "linear_gelu");

    cr_assert_eq(qkv->params, 64 * 192 + 192);
    cr_assert_eq(qkv->macs, 65.0 * 64 * 192);
    cr_assert_eq(qkv->kept_bytes, 4 * 65 * 192, "attention reads it");
    cr_assert_eq(attention->params, 0);
    cr_assert_eq(attention->macs, 2.0 * 65 * 65 * 64);
    cr_assert_eq(attention->kept_bytes, 4 * 65 * 64 + 4 * 65 * 4, "its output and log-sums");
    cr_assert_eq(fc1->kept_bytes, 4 * 65 * 256, "before GELU");
    cr_assert_eq(fc1->output.dim[2], 256);
    cr_assert_eq(row(&table, "blocks.1.mlp.fc2", "linear")->kept_bytes, 0, "nobody reads it");
}

Test(models_layer_table, memory_of_a_whole_network) {
    const fv_layer_table table = make("mini_vit");
    const int64_t stream = 4 * 65 * 64, norm = 2 * 4 * 65, residual = stream + 4;
    const int64_t block =
        norm + 3 * stream + (stream + 4 * 65 * 4) + residual + norm + 4 * stream + residual;
    const int64_t head = 4 * 64 + 2 * 4;
    int64_t kept = 0;

    for (int64_t i = 0; i < table.count; i++) kept += table.row[i].kept_bytes;
    /* the last block's sum is not read by a backward: one token is copied out of it */
    cr_assert_eq(kept, stream + 2 * block - stream + head);
}

static void check_sums(const fv_layer_node *node) {
    fv_layer_node sum = {0};

    if (node->row) return;
    cr_assert_not_null(node->first);
    for (const fv_layer_node *n = node->first; n; n = n->next) {
        sum.params += n->params;
        sum.macs += n->macs;
        sum.kept_bytes += n->kept_bytes;
        cr_assert_eq(n->depth, node->depth + 1);
        if (!n->row) cr_assert_eq(strncmp(n->path, node->path, strlen(node->path)), 0);
        check_sums(n);
    }
    cr_assert_eq(sum.params, node->params);
    cr_assert_eq(sum.kept_bytes, node->kept_bytes);
    cr_assert_float_eq(sum.macs, node->macs, 0.5);
}

Test(models_layer_table, a_tree_adds_up_for_every_small_model) {
    const char *name;

    for (int i = 0; (name = fv_model_match("mini_*", &i));) {
        const fv_layer_table table = make(name);
        fv_layer_node *tree = NULL;
        fv_model_cost cost;
        cr_assert_eq(fv_layer_tree_make(&table, &arena, &tree), FV_OK);
        cr_assert_eq(fv_model_cost_of(model, &cost), FV_OK);
        check_sums(tree);
        cr_assert_eq(tree->params, fv_params_count(&model->params), "%s", name);
        cr_assert_float_eq(tree->macs, cost.macs, 0.5);
        cr_assert_gt(tree->kept_bytes, 0);
        fv_model_destroy(model);
        model = NULL;
    }
}

Test(models_layer_table, every_failed_allocation_is_an_error) {
    fv_status status = FV_ERR_NOMEM;
    uint64_t n = 1;

    cr_assert_eq(fv_model_describe(&(fv_model_config){.name = "mini_vit"}, &model), FV_OK);
    for (; status != FV_OK && n < 1000; n++) {
        fv_layer_table table;
        fv_layer_node *tree;
        fv_arena_destroy(&arena);
        fv_alloc_fail_at(n);
        status = fv_layer_table_make(model, &arena, &table);
        if (status == FV_OK) status = fv_layer_tree_make(&table, &arena, &tree);
        fv_alloc_fail_at(0);
        cr_assert(status == FV_OK || status == FV_ERR_NOMEM, "%d: %s", (int)n, fv_error_message());
    }
    cr_assert_gt(n, 3);
}

/* What a step really plans for is what the table says, and what an op of the backward pass has under
 * way: gradients, scratch and a value that it had restored; little where there are many blocks. */
Test(models_layer_table, memory_is_what_the_tape_plans) {
    static const char *const cases[][2] = {{"mini_vit", "depth: 8"},
                                           {"mini_halonet_ts", "{}"},
                                           {"mini_davit", "{}"},
                                           {"mini_biformer", "depth: [3, 3, 1, 1]"}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *name = cases[i][0];
        fv_layer_table table;
        double kept = 0.0;
        model_run_open(&run);
        const fv_value *kwargs = model_run_yaml(&run, name, cases[i][1]);
        model_run_create(&run, &(fv_model_config){.name = name, .kwargs = kwargs});
        for (uint32_t k = 0; k < 2; k++) /* recorded, then planned */
            model_run_pass(&run, &(fv_step){.mode = FV_TRAIN, .index = k, .samples = 4}, 4);
        cr_assert(fv_memplan_replaying(run.tape->plan), "%s", name);
        cr_assert_eq(fv_layer_table_make(run.model, &arena, &table), FV_OK);
        for (int64_t r = 0; r < table.count; r++) kept += 4.0 * (double)table.row[r].kept_bytes;
        const double ratio = (double)fv_memplan_bytes(run.tape->plan) / kept;
        cr_expect(ratio >= 0.99 && ratio < 1.25, "%s: %g", name, ratio);
        model_run_close(&run);
    }
}
