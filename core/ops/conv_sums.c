/* The parameter gradients of a convolution (conv_sweep.h).  Within a chunk, runs of a fixed number of
 * images are computed apart and added in index order. */
#include "core/ops/conv_sweep.h"
#include "core/ops/param_sum.h"

#include <string.h>

#define RUN_PIXELS  4096               /* of y: images of a run, unless one has more */
#define BLOCK       64                 /* output channels of a task, at most */
#define SLOT_FLOATS ((int64_t)4 << 20) /* kept for all chunks, at most */

static fv_span block_of(const fv_conv_sums *s, int64_t i) {
    return fv_tile_span(s->desc.O, s->block, i);
}

static int64_t chunk_images(const fv_conv_sums *s, int64_t chunk) {
    return fv_tile_span(s->samples, s->chunk, chunk).count;
}

static int64_t pixels(const fv_conv_sums *s) {
    return fv_conv_rows(&s->desc) * fv_conv_columns(&s->desc);
}

/* Elements of a weight gradient tile, and floats that a chunk's sums of it need beside the result. */
static int64_t tile_numel(const fv_conv_sums *s) { return s->block * s->fan_in; }

static int64_t sum_scratch(const fv_conv_sums *s) {
    const int64_t copy = s->n_blocks > 1 ? s->images * pixels(s) * s->block : 0;
    const int64_t weights = s->slots.weight ? tile_numel(s) + copy : 0;
    const int64_t bias = s->slots.bias ? 2 * s->block : 0;
    return weights > bias ? weights : bias;
}

static fv_status find_plans(fv_conv_sums *s) {
    const int64_t runs[3] = {s->images, s->chunk % s->images,
                             chunk_images(s, s->slots.n_chunks - 1) % s->images};
    const int64_t blocks[2] = {s->block, block_of(s, s->n_blocks - 1).count};

    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 2; j++) {
            fv_conv run = s->desc;
            run.n = runs[i];
            run.O = blocks[j];
            if (run.n == 0 || (i == 0 && s->samples < run.n)) continue;
            FV_TRY(fv_backend()->conv_find(&run, &s->plan[i][j]));
        }
    return FV_OK;
}

static const fv_conv_plan *plan_of(const fv_conv_sums *s, int64_t images, int64_t channels) {
    const int i = images == s->images ? 0 : images == s->chunk % s->images ? 1 : 2;
    return s->plan[i][channels != s->block];
}

static int64_t runs_of(const fv_conv_sums *s, int64_t chunk) {
    return fv_tile_count(chunk_images(s, chunk), s->images);
}

/* A slot for each chunk, and for each of its runs where that is not enough for the threads. */
static fv_status open_slots(fv_tape *tape, fv_conv_sums *s) {
    fv_chunk_slots *slots = &s->slots;

    slots->n_weight = slots->weight ? s->desc.O * s->fan_in : 0;
    slots->n_bias = slots->bias ? s->desc.O : 0;
    slots->parts = slots->last_parts = 1;
    const int64_t most = SLOT_FLOATS / (slots->n_weight + slots->n_bias);
    const bool few = s->n_blocks * s->slots.n_chunks < fv_parallel_width();
    if (few && s->slots.n_chunks * runs_of(s, 0) <= most) {
        slots->parts = runs_of(s, 0);
        slots->last_parts = runs_of(s, s->slots.n_chunks - 1);
    }
    const int64_t n = fv_chunk_slots_count(slots);
    return n > 1 && n <= most ? fv_chunk_slots_open(tape, slots) : FV_OK;
}

fv_status fv_conv_sums_begin(fv_tape *tape, const fv_conv *desc, const void *x, const void *dz,
                             const fv_tree *weight, const fv_tree *bias, atomic_int *failed,
                             fv_conv_sums *sums) {
    const int64_t chunk = fv_tape_step(tape)->chunk_samples;
    fv_conv_sums *s = sums;

    *s = (fv_conv_sums){.desc = *desc,
                        .samples = desc->n,
                        .chunk = chunk > 0 ? chunk : desc->n,
                        .images = 1,
                        .block = desc->O,
                        .fan_in = desc->C / desc->groups * desc->kh * desc->kw,
                        .x = x,
                        .dz = dz,
                        .slots = {.weight = weight, .bias = bias},
                        .failed = failed};
    s->desc.out = FV_F32;
    s->slots.n_chunks = fv_tile_count(s->samples, s->chunk);
    while (2 * s->images <= s->chunk && 2 * s->images * pixels(s) <= RUN_PIXELS) s->images *= 2;
    if (desc->groups == 1) s->block = fv_column_tile(desc->O, BLOCK);
    s->n_blocks = fv_tile_count(desc->O, s->block);
    FV_TRY(open_slots(tape, s));
    s->n_tasks = s->n_blocks * (s->slots.data ? fv_chunk_slots_count(&s->slots) : 1);
    int64_t scratch = sum_scratch(s);
    if (!s->slots.data && weight) scratch += fv_tree_scratch(weight, tile_numel(s));
    if (!s->slots.data && bias) scratch += fv_tree_scratch(bias, s->block);
    s->scratch_bytes = (size_t)scratch * sizeof(float);
    return weight ? find_plans(s) : FV_OK;
}

/* ---- one chunk of one block ---- */

/* The block's channels of dy, dense. */
static const void *gather(const fv_conv_sums *s, int64_t image, int64_t images, fv_span o,
                          void *copy) {
    const size_t size = fv_dtype_bytes(s->desc.in);
    const char *from = (const char *)s->dz + (size_t)(image * pixels(s) * s->desc.O) * size;
    char *to = copy;

    if (s->n_blocks == 1) return from;
    from += (size_t)o.first * size;
    for (int64_t p = 0; p < images * pixels(s); p++) {
        memcpy(to, from, (size_t)o.count * size);
        from += (size_t)s->desc.O * size;
        to += (size_t)o.count * size;
    }
    return copy;
}

static fv_span run_images(const fv_conv_sums *s, int64_t chunk, int64_t run) {
    const fv_span part = fv_tile_span(chunk_images(s, chunk), s->images, run);
    return (fv_span){chunk * s->chunk + part.first, part.count};
}

/* out [o.count, fan_in] of a run of the chunk's images */
static void sum_run(const fv_conv_sums *s, int64_t chunk, int64_t run, fv_span o, float *out,
                    float *copy) {
    const size_t x_bytes = (size_t)fv_conv_numel_x(&s->desc) * fv_dtype_bytes(s->desc.in);
    const fv_span images = run_images(s, chunk, run);
    const char *x = (const char *)s->x + (size_t)images.first * x_bytes;
    const void *dy = gather(s, images.first, images.count, o, copy);

    if (fv_backend()->conv_run(plan_of(s, images.count, o.count), x, dy, NULL, out) != FV_OK)
        atomic_store(s->failed, 1);
}

/* block: scratch for o.count floats */
static void sum_run_bias(const fv_conv_sums *s, int64_t chunk, int64_t run, fv_span o, float *out,
                         float *block) {
    const int64_t n = pixels(s);
    const fv_span images = run_images(s, chunk, run);
    const fv_row_sum rows = {.rows = s->dz, .dtype = s->desc.in, .ld = s->desc.O};
    fv_param_chunk_sum(&rows, images.first * n, (images.first + images.count) * n, o.first, o.count,
                       out, block);
}

static void sum_weights(const fv_conv_sums *s, int64_t chunk, fv_span o, float *out,
                        float *scratch) {
    float *next = scratch, *copy = scratch + tile_numel(s);

    for (int64_t run = 0; run < runs_of(s, chunk); run++) {
        sum_run(s, chunk, run, o, run ? next : out, copy);
        if (run) fv_kernel()->axpy(o.count * s->fan_in, 1.0f, next, out);
    }
}

static void sum_bias(const fv_conv_sums *s, int64_t chunk, fv_span o, float *out, float *scratch) {
    float *next = scratch + o.count;

    for (int64_t run = 0; run < runs_of(s, chunk); run++) {
        sum_run_bias(s, chunk, run, o, run ? next : out, scratch);
        if (run) fv_kernel()->axpy(o.count, 1.0f, next, out);
    }
}

/* ---- tasks ---- */

static void fill_slot(const fv_conv_sums *s, int64_t slot, fv_span o, float *scratch) {
    const int64_t parts = s->slots.parts, chunk = slot / parts, run = slot % parts;
    float *weight = fv_chunk_slots_weight(&s->slots, slot) + o.first * s->fan_in;
    float *bias = fv_chunk_slots_bias(&s->slots, slot) + o.first;

    if (s->slots.weight && parts > 1)
        sum_run(s, chunk, run, o, weight, scratch + tile_numel(s));
    else if (s->slots.weight)
        sum_weights(s, chunk, o, weight, scratch);
    if (s->slots.bias && parts > 1)
        sum_run_bias(s, chunk, run, o, bias, scratch);
    else if (s->slots.bias)
        sum_bias(s, chunk, o, bias, scratch);
}

static void sum_chunks(const fv_conv_sums *s, fv_span o, float *scratch) {
    float *stack = scratch + sum_scratch(s);
    fv_tree_tile weight, bias;

    if (s->slots.weight) {
        fv_tree_begin(&weight, s->slots.weight, o.first * s->fan_in, 1, o.count * s->fan_in,
                      o.count * s->fan_in, stack);
        stack += fv_tree_scratch(s->slots.weight, tile_numel(s));
    }
    if (s->slots.bias) fv_tree_begin(&bias, s->slots.bias, o.first, 1, o.count, o.count, stack);
    for (int64_t chunk = 0; chunk < s->slots.n_chunks; chunk++) {
        if (s->slots.weight) {
            sum_weights(s, chunk, o, fv_tree_next(&weight), scratch);
            fv_tree_push(&weight);
        }
        if (s->slots.bias) {
            sum_bias(s, chunk, o, fv_tree_next(&bias), scratch);
            fv_tree_push(&bias);
        }
    }
    if (s->slots.weight) fv_tree_end(&weight);
    if (s->slots.bias) fv_tree_end(&bias);
}

void fv_conv_sums_task(const fv_conv_sums *s, int64_t task) {
    const fv_span o = block_of(s, task % s->n_blocks);
    float *scratch = fv_scratch(s->scratch_bytes);

    if (s->slots.data)
        fill_slot(s, task / s->n_blocks, o, scratch);
    else
        sum_chunks(s, o, scratch);
}

fv_status fv_conv_sums_end(const fv_conv_sums *s) { return fv_chunk_slots_close(&s->slots); }
