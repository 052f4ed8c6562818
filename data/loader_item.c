#include "data/loader_item.h"

#include "data/sample.h"

#include <stdio.h>

void fv_loader_memory_free(fv_loader_memory *memory) {
    fv_workspace_free(&memory->workspace);
    fv_buffer_free(&memory->file);
    fv_image_release(&memory->decoded);
    fv_image_release(&memory->turned);
}

/* An epoch's number and the copy of a sample in it, as one entry of a key. */
static uint32_t step_of(uint32_t epoch, uint8_t copy) { return epoch ^ (uint32_t)copy << 24; }

static fv_status transform(const fv_loader_config *c, uint32_t step, int64_t index,
                           fv_loader_memory *m, float *pixels) {
    const fv_rng_key key = {
        .seed = c->seed, .purpose = FV_RNG_AUGMENT, .step = step, .sample = (uint32_t)index};

    if (!c->augment)
        return fv_transform_eval_with(c->preprocess, &m->decoded, &m->workspace, pixels);
    return fv_transform_train_with(c->preprocess, c->augment, key, &m->decoded, &m->workspace,
                                   pixels);
}

static fv_status load(const fv_loader_config *c, uint32_t step, int64_t index, fv_loader_memory *m,
                      float *pixels) {
    const fv_sample *sample = &c->dataset->samples[index];

    FV_TRY(fv_sample_decode(sample, c->preprocess, &m->file, &m->turned, &m->decoded));
    const fv_status status = transform(c, step, index, m, pixels);
    return status == FV_OK ? FV_OK : fv_sample_context(status, sample);
}

/* Failures that are the image's own. */
static bool is_bad_image(fv_status status) {
    return status == FV_ERR_FORMAT || status == FV_ERR_UNSUPPORTED || status == FV_ERR_SHAPE ||
           status == FV_ERR_NOT_FOUND || status == FV_ERR_IO;
}

static void keep_message(fv_loader_outcome *out) {
    snprintf(out->message, sizeof out->message, "%s", fv_error_message());
}

void fv_loader_item(const fv_loader_config *config, const fv_loader_epoch *epoch, int64_t position,
                    fv_loader_memory *memory, float *pixels, fv_loader_outcome *out) {
    const int64_t most = config->max_bad < epoch->n_order ? config->max_bad + 1 : epoch->n_order;
    const int64_t attempts = config->augment ? most : 1;
    const uint8_t copy = epoch->repeat ? epoch->repeat[position] : 0;
    fv_status bad = FV_OK;

    *out = (fv_loader_outcome){.left_out = true};
    for (int64_t i = 0; i < attempts; i++) {
        const int64_t index = epoch->order[(position + i) % epoch->n_order];
        const fv_status status = load(config, step_of(epoch->epoch, copy), index, memory, pixels);
        if (status == FV_OK) {
            out->index = index;
            out->left_out = false;
            return;
        }
        if (!is_bad_image(status)) {
            out->fatal = status;
            keep_message(out);
            return;
        }
        if (bad == FV_OK) {
            bad = status;
            keep_message(out);
        }
        if (copy == 0) out->bad = bad;
    }
    if (config->augment) out->fatal = bad;
}
