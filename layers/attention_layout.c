#include "layers/attention_layout.h"

static const char *const names[] = {
#define FV_X(name, text) text,
    FV_ATTENTION_KIND_LIST(FV_X)
#undef FV_X
};

const char *fv_attention_kind_name(fv_attention_kind kind) { return names[kind]; }

void fv_attention_layout_note(fv_tape *tape, const fv_attention_layout *layout) {
    fv_tape_note(tape, FV_ATTENTION_NOTE, layout, sizeof *layout);
}
