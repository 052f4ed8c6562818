#include "models/layer_tree.h"

#include <string.h>

static fv_layer_node *append(fv_layer_node *parent, fv_arena *arena, const char *path, int depth,
                             const fv_layer_row *row) {
    fv_layer_node *node = fv_arena_calloc(arena, 1, sizeof *node);

    if (!node) return NULL;
    *node = (fv_layer_node){.path = path, .depth = depth, .row = row};
    if (parent->last)
        parent->last->next = node;
    else
        parent->first = node;
    parent->last = node;
    return node;
}

/* The module of parent that the first n bytes of path name; made when needed. */
static fv_layer_node *enter(fv_layer_node *parent, fv_arena *arena, const char *path, size_t n) {
    for (fv_layer_node *child = parent->first; child; child = child->next)
        if (!child->row && strncmp(child->path, path, n) == 0 && !child->path[n]) return child;
    const char *name = fv_arena_printf(arena, "%.*s", (int)n, path);
    return name ? append(parent, arena, name, parent->depth + 1, NULL) : NULL;
}

static void add(fv_layer_node *node, const fv_layer_row *row) {
    node->output = row->output;
    node->params += row->params;
    node->macs += row->macs;
    node->kept_bytes += row->kept_bytes;
}

static fv_status add_row(fv_layer_node *root, fv_arena *arena, const fv_layer_row *row) {
    const char *path = row->name;
    fv_layer_node *node = root;

    add(root, row);
    for (size_t n = 0; path[n];) {
        n += strcspn(path + n, ".");
        node = enter(node, arena, path, n);
        if (!node) return FV_ERR_NOMEM;
        add(node, row);
        if (path[n]) n++;
    }
    node = append(node, arena, path, node->depth + 1, row);
    if (node) add(node, row);
    return node ? FV_OK : FV_ERR_NOMEM;
}

fv_status fv_layer_tree_make(const fv_layer_table *table, fv_arena *arena, fv_layer_node **out) {
    fv_layer_node *root = fv_arena_calloc(arena, 1, sizeof *root);

    *out = root;
    if (!root) return FV_ERR_NOMEM;
    root->path = "";
    for (int64_t i = 0; i < table->count; i++) FV_TRY(add_row(root, arena, &table->row[i]));
    return FV_OK;
}

const fv_layer_row *fv_layer_node_only(const fv_layer_node *module) {
    return module->first && module->first == module->last ? module->first->row : NULL;
}
