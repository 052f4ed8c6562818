#include "cli/method_help.h"

#include "eval/saliency/method.h"

static void write_method(fv_text *t, const fv_saliency_method *m) {
    fv_text_printf(t, "  %-22s  %s\n", m->name, m->summary);
    for (const char *const *v = m->variants; v && *v; v++)
        fv_text_printf(t, "%s%s%s", v == m->variants ? "      variants: " : ", ", *v,
                       v == m->variants ? " (default)" : "");
    if (m->variants) fv_text_append(t, "\n");
    if (m->takes_layer) fv_text_append(t, "      layer=NAME[+NAME...]\n");
    for (const fv_saliency_param *p = m->params; p && p->name; p++)
        fv_text_printf(t, "      %s=%g  %s\n", p->name, p->initial, p->help);
}

void fv_method_help(fv_text *text) {
    fv_text_append(text, "Methods, as NAME[:VARIANT][:PARAMETER=VALUE]..., several with commas:\n");
    for (int i = 0; fv_saliency_at(i); i++) write_method(text, fv_saliency_at(i));
}
