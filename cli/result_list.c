#include "cli/result_list.h"

#include "cli/print.h"
#include "core/json.h"

void fv_result_list_begin(fv_result_list *list, bool json) {
    *list = (fv_result_list){.json = json};
    if (json) fv_print("[");
}

fv_status fv_result_list_add(fv_result_list *list, const fv_value *entry) {
    fv_arena arena = {0};
    char *text = NULL;

    const fv_status status =
        list->json ? fv_json_write(entry, FV_JSON_COMPACT, &arena, &text) : FV_OK;
    if (text) fv_print("%s\n%s", list->count ? "," : "", text);
    fv_arena_destroy(&arena);
    if (status == FV_OK) list->count++;
    return status;
}

void fv_result_list_end(fv_result_list *list) {
    if (list->json) fv_print("%s]\n", list->count ? "\n" : "");
}
