#include "data/data_info.h"

#include "core/alloc.h"
#include "data/sample.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fv_data_info_free(fv_data_info *info) {
    fv_free(info->class_counts);
    *info = (fv_data_info){0};
}

static int compare_i64(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static fv_side_stats side_stats(int64_t *values, int64_t n) {
    if (n == 0) return (fv_side_stats){0};
    qsort(values, (size_t)n, sizeof *values, compare_i64);
    return (fv_side_stats){values[0], values[(n - 1) / 2], values[n - 1]};
}

static void count_samples(const fv_dataset *ds, fv_data_info *info) {
    info->n_classes = ds->n_classes;
    info->n_samples = ds->n_samples;
    for (int64_t i = 0; i < ds->n_samples; i++) {
        const fv_sample *sample = &ds->samples[i];
        info->class_counts[sample->label]++;
        info->n_bytes += sample->n_bytes;
        info->n_with_boxes += sample->n_boxes > 0;
        info->n_with_masks += sample->mask != NULL;
        info->n_with_markers += sample->marker != NULL;
    }
}

/* heights and widths hold n_probed values each. */
static fv_status probe_all(const fv_dataset *ds, const fv_data_info_options *options,
                           int64_t *heights, int64_t *widths, fv_data_info *info) {
    fv_buffer file = {0};
    fv_image image = {0};
    fv_status status = FV_OK;
    int64_t n = 0;

    for (int64_t i = 0; i < info->n_probed; i++) {
        const int64_t at = i * ds->n_samples / info->n_probed;
        fv_image_header header = {0};
        status = fv_sample_probe(&ds->samples[at], options->decode, &file, &image, &header);
        if (status == FV_ERR_NOMEM) break;
        if (status != FV_OK) {
            if (info->n_bad++ == 0) {
                info->first_bad = at;
                snprintf(info->bad, sizeof info->bad, "%s", fv_error_message());
            }
            if (options->on_bad) options->on_bad(options->user, fv_error_message());
            status = FV_OK;
            continue;
        }
        info->n_jpeg += strcmp(header.format, "jpeg") == 0;
        info->n_png += strcmp(header.format, "png") == 0;
        heights[n] = header.height;
        widths[n++] = header.width;
    }
    info->height = side_stats(heights, n);
    info->width = side_stats(widths, n);
    fv_buffer_free(&file);
    fv_image_release(&image);
    return status;
}

fv_status fv_data_info_compute(const fv_dataset *ds, const fv_data_info_options *options,
                               fv_data_info *out) {
    static const fv_data_info_options defaults = {0};
    if (!options) options = &defaults;
    const int64_t max = options->max_files > 0 ? options->max_files : ds->n_samples;
    int64_t *heights = NULL, *widths = NULL;
    fv_status status = FV_ERR_NOMEM;

    *out = (fv_data_info){.first_bad = -1, .n_probed = max < ds->n_samples ? max : ds->n_samples};
    out->class_counts = fv_calloc((size_t)ds->n_classes, sizeof *out->class_counts);
    heights = fv_alloc((size_t)out->n_probed, sizeof *heights);
    widths = fv_alloc((size_t)out->n_probed, sizeof *widths);
    if (!out->class_counts || !heights || !widths) goto cleanup;
    count_samples(ds, out);
    status = probe_all(ds, options, heights, widths, out);
cleanup:
    fv_free(heights);
    fv_free(widths);
    if (status != FV_OK) fv_data_info_free(out);
    return status;
}
