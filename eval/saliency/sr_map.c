/* sr_map.c - the scales, their mean, and the foci. */
#include "eval/saliency/sr_map.h"

#include "core/alloc.h"
#include "core/kernels/kernels.h"
#include "eval/saliency/sr_stages.h"

#include <math.h>
#include <string.h>

#define MIN_SCALE 0.2 /* of candidates */

/* Half up; factors such as 0.3 * 0.5 fall short of their decimal by less than the allowance. */
static int64_t round_half_up(double v) { return (int64_t)floor(v + 0.5 + 1e-9); }

static int64_t at_least(int64_t v, int64_t least) { return v < least ? least : v; }

/* ---- options ---- */

static fv_status complete(const fv_sr_options *given, fv_sr_options *o) {
    static const double scales[] = {1.0, 0.8, 0.5, 0.3};

    *o = given ? *given : (fv_sr_options){0};
    if (o->patch == 0) o->patch = 7;
    if (o->k == 0) o->k = 64;
    if (o->c == 0.0) o->c = 3.0;
    if (o->tau == 0.0) o->tau = 0.8;
    if (o->work_side == 0) o->work_side = 250;
    if (o->stride == 0) o->stride = 1;
    if (o->n_scales == 0) {
        memcpy(o->scale, scales, sizeof scales);
        o->n_scales = sizeof scales / sizeof *scales;
    }
    if (o->patch < 3 || o->patch > 31 || o->patch % 2 == 0)
        return FV_FAIL(FV_ERR_CONFIG, "salient relevance: patch %lld is not an odd number in 3..31",
                       (long long)o->patch);
    if (o->k < 1 || o->k > 4096)
        return FV_FAIL(FV_ERR_CONFIG, "salient relevance: k %lld is not in 1..4096",
                       (long long)o->k);
    if (!(o->c > 0.0 && o->c <= 1e6))
        return FV_FAIL(FV_ERR_CONFIG, "salient relevance: c %g is not in 0..1e6", o->c);
    if (!(o->tau > 0.0 && o->tau < 1.0))
        return FV_FAIL(FV_ERR_CONFIG, "salient relevance: tau %g is not in 0..1", o->tau);
    if (o->work_side < -1)
        return FV_FAIL(FV_ERR_CONFIG, "salient relevance: work_side %lld", (long long)o->work_side);
    if (o->stride < 1 || o->stride > 8)
        return FV_FAIL(FV_ERR_CONFIG, "salient relevance: stride %lld is not in 1..8",
                       (long long)o->stride);
    if (o->n_scales < 0 || o->n_scales > FV_SR_MAX_SCALES)
        return FV_FAIL(FV_ERR_CONFIG, "salient relevance: %d scales, not 1..%d", o->n_scales,
                       FV_SR_MAX_SCALES);
    for (int i = 0; i < o->n_scales; i++)
        if (!(o->scale[i] >= MIN_SCALE && o->scale[i] <= 1.0))
            return FV_FAIL(FV_ERR_CONFIG, "salient relevance: scale %g is not in %g..1",
                           o->scale[i], MIN_SCALE);
    return FV_OK;
}

/* ---- one scale ---- */

static fv_status add_candidates(const fv_sr_image *f, const fv_sr_image *scaled, double scale,
                                const fv_sr_options *o, const fv_sr_frame *frame,
                                fv_sr_patches *out) {
    FV_TRY(fv_sr_patches_add(out, scaled, o->patch, frame));
    for (double r = scale / 2.0; r >= scale / 4.0 && r >= MIN_SCALE - 1e-12; r /= 2.0) {
        fv_sr_image smaller;
        FV_TRY(fv_sr_resize(f, at_least(round_half_up(r * (double)f->H), 1),
                            at_least(round_half_up(r * (double)f->W), 1), &smaller));
        const fv_status status = fv_sr_patches_add(out, &smaller, o->patch, frame);
        fv_sr_image_release(&smaller);
        if (status != FV_OK) return status;
    }
    return FV_OK;
}

/* S of a scaled image: [h,w] in out. */
static fv_status search_scale(const fv_sr_image *scaled, const fv_sr_patches *candidates,
                              const fv_sr_options *o, const fv_sr_frame *frame, float *out) {
    const int64_t h = (scaled->H + o->stride - 1) / o->stride;
    const int64_t w = (scaled->W + o->stride - 1) / o->stride;
    const fv_sr_search_spec spec = {
        .u = o->patch, .k = o->k, .stride = o->stride, .c = o->c, .frame = *frame};
    const double unit = o->rms ? sqrt((double)candidates->D) : 1.0;
    fv_sr_image mean = {0};

    FV_TRY(fv_sr_image_create(h, w, 1, &mean));
    const fv_status status = fv_sr_search(scaled, candidates, &spec, mean.data);
    if (status == FV_OK) {
        for (int64_t i = 0; i < h * w; i++)
            mean.data[i] = (float)-expm1(-(double)mean.data[i] / unit);
        fv_sr_fill(mean.data, o->stride, scaled->H, scaled->W, out);
    }
    fv_sr_image_release(&mean);
    return status;
}

/* f: the work image.  out [f.H,f.W]: S at this scale, resized to the work image. */
static fv_status one_scale(const fv_sr_image *f, double scale, const fv_sr_options *o, float *out) {
    const double side = (double)(f->H > f->W ? f->H : f->W);
    const fv_sr_frame frame = {(double)f->H / side, (double)f->W / side};
    fv_sr_image scaled = {0}, map = {0}, resized = {0};
    fv_sr_patches candidates = {0};

    fv_status status =
        fv_sr_resize(f, at_least(round_half_up(scale * (double)f->H), o->patch),
                     at_least(round_half_up(scale * (double)f->W), o->patch), &scaled);
    if (status == FV_OK) status = add_candidates(f, &scaled, scale, o, &frame, &candidates);
    if (status == FV_OK) status = fv_sr_image_create(scaled.H, scaled.W, 1, &map);
    if (status == FV_OK) status = search_scale(&scaled, &candidates, o, &frame, map.data);
    if (status == FV_OK) status = fv_sr_resize(&map, f->H, f->W, &resized);
    if (status == FV_OK) memcpy(out, resized.data, (size_t)(f->H * f->W) * sizeof *out);
    fv_sr_patches_release(&candidates);
    fv_sr_image_release(&scaled);
    fv_sr_image_release(&map);
    fv_sr_image_release(&resized);
    return status;
}

/* Distances do not change when every pixel moves by the same amount, but their rounding shrinks with
 * the patches: the median of each channel becomes 0. */
static fv_status centre(fv_sr_image *f) {
    const int64_t n = f->H * f->W;
    float *copy = fv_alloc((size_t)n, sizeof *copy);

    if (!copy) return FV_ERR_NOMEM;
    for (int64_t c = 0; c < f->C; c++) {
        for (int64_t i = 0; i < n; i++) copy[i] = f->data[i * f->C + c];
        const float median = fv_sr_kth_smallest(copy, n, (n + 1) / 2);
        for (int64_t i = 0; i < n; i++) f->data[i * f->C + c] -= median;
    }
    fv_free(copy);
    return FV_OK;
}

/* ---- foci ---- */

/* S [h,w] -> its foci, and D: the distance to them over its maximum. */
static fv_status find_foci(const float *S, int64_t h, int64_t w, double tau, uint8_t *attended,
                           float *D) {
    float largest = 0.0f, farthest = 0.0f;

    for (int64_t i = 0; i < h * w; i++) largest = fmaxf(largest, S[i]);
    for (int64_t i = 0; i < h * w; i++) attended[i] = (double)S[i] > tau * (double)largest;
    FV_TRY(fv_sr_distance(attended, h, w, D));
    for (int64_t i = 0; i < h * w; i++) farthest = fmaxf(farthest, D[i]);
    for (int64_t i = 0; i < h * w && farthest > 0.0f; i++) D[i] /= farthest;
    return FV_OK;
}

/* Adds weight * S (1 - D) to sum. */
static fv_status add_weighted(const float *S, const fv_sr_result *r, double tau, double weight,
                              uint8_t *attended, float *D, double *sum) {
    FV_TRY(find_foci(S, r->height, r->width, tau, attended, D));
    for (int64_t i = 0; i < r->height * r->width; i++)
        sum[i] += weight * (double)S[i] * (1.0 - (double)D[i]);
    return FV_OK;
}

/* per_scale and mean are known -> SR of the work image. */
static fv_status weigh(const fv_sr_options *o, fv_sr_result *r, float *sr) {
    const int64_t n = r->height * r->width;
    double *sum = fv_calloc((size_t)n, sizeof *sum);
    fv_status status = sum ? FV_OK : FV_ERR_NOMEM;

    if (o->foci_per_scale) {
        for (int i = 0; i < r->n_scales && status == FV_OK; i++)
            status = add_weighted(r->per_scale + i * n, r, o->tau, 1.0 / r->n_scales, r->attended,
                                  r->distance, sum);
    } else if (status == FV_OK) {
        status = add_weighted(r->mean, r, o->tau, 1.0, r->attended, r->distance, sum);
    }
    for (int64_t i = 0; i < n && status == FV_OK; i++) sr[i] = (float)sum[i];
    fv_free(sum);
    return status;
}

/* ---- the whole ---- */

/* The feature image, no larger than the options allow. */
static fv_status work_image(const float *relevance, int64_t H, int64_t W, const fv_sr_options *o,
                            fv_sr_image *out) {
    const int64_t side = H > W ? H : W;
    fv_sr_image whole = {0};

    FV_TRY(fv_sr_feature(o->feature, relevance, H, W, out));
    if (o->work_side > 0 && side > o->work_side) {
        const double r = (double)o->work_side / (double)side;
        whole = *out;
        const fv_status status = fv_sr_resize(&whole, at_least(round_half_up(r * (double)H), 1),
                                              at_least(round_half_up(r * (double)W), 1), out);
        fv_sr_image_release(&whole);
        if (status != FV_OK) return status;
    }
    if (out->H >= o->patch && out->W >= o->patch) return FV_OK;
    const fv_status status = FV_FAIL(
        FV_ERR_SHAPE, "salient relevance: a map of %lld x %lld is smaller than a patch of %lld",
        (long long)out->H, (long long)out->W, (long long)o->patch);
    fv_sr_image_release(out);
    return status;
}

static fv_status result_create(const fv_sr_image *f, const fv_sr_options *o, fv_sr_result *r) {
    const size_t n = (size_t)(f->H * f->W);

    *r = (fv_sr_result){.height = f->H,
                        .width = f->W,
                        .channels = f->C,
                        .n_scales = o->n_scales,
                        .approximate = o->stride > 1};
    r->feature = fv_alloc(n, (size_t)f->C * sizeof *r->feature);
    r->per_scale = fv_alloc(n, (size_t)o->n_scales * sizeof *r->per_scale);
    r->mean = fv_alloc(n, sizeof *r->mean);
    r->attended = fv_alloc(n, sizeof *r->attended);
    r->distance = fv_alloc(n, sizeof *r->distance);
    if (!r->feature || !r->per_scale || !r->mean || !r->attended || !r->distance)
        return FV_ERR_NOMEM;
    memcpy(r->feature, f->data, n * (size_t)f->C * sizeof *r->feature);
    return FV_OK;
}

static void drop_stages(fv_sr_result *r, bool only_foci) {
    fv_free(r->attended);
    fv_free(r->distance);
    r->attended = NULL;
    r->distance = NULL;
    if (only_foci) return;
    fv_free(r->feature);
    fv_free(r->per_scale);
    fv_free(r->mean);
    r->feature = r->per_scale = r->mean = NULL;
}

void fv_sr_result_release(fv_sr_result *result) {
    drop_stages(result, false);
    *result = (fv_sr_result){0};
}

/* Every stage at the size of the work image; f is centred on the way. */
static fv_status run(const fv_sr_options *o, fv_sr_image *f, fv_sr_result *r, float *sr) {
    const int64_t n = f->H * f->W;

    FV_TRY(centre(f));
    for (int i = 0; i < o->n_scales; i++)
        FV_TRY(one_scale(f, o->scale[i], o, r->per_scale + i * n));
    for (int64_t p = 0; p < n; p++) {
        double sum = 0.0;
        for (int i = 0; i < o->n_scales; i++) sum += (double)r->per_scale[i * n + p];
        r->mean[p] = (float)(sum / o->n_scales);
    }
    return weigh(o, r, sr);
}

fv_status fv_sr_map(const float *relevance, int64_t H, int64_t W, const fv_sr_options *options,
                    fv_sr_result *out, float *sr) {
    fv_sr_image f = {0}, map = {0}, resized = {0};
    fv_sr_options o;

    *out = (fv_sr_result){0};
    FV_TRY(complete(options, &o));
    if (H < 1 || W < 1 || H > INT32_MAX || W > INT32_MAX)
        return FV_FAIL(FV_ERR_SHAPE, "salient relevance: a map of %lld x %lld", (long long)H,
                       (long long)W);
    if (!fv_kernel()->all_finite(3 * H * W, relevance))
        return FV_FAIL(FV_ERR_NONFINITE, "salient relevance: relevance that is not finite");
    fv_status status = work_image(relevance, H, W, &o, &f);
    if (status == FV_OK) status = fv_sr_image_create(f.H, f.W, 1, &map);
    if (status == FV_OK) status = result_create(&f, &o, out);
    if (status == FV_OK) status = run(&o, &f, out, map.data);
    if (status == FV_OK) status = fv_sr_resize(&map, H, W, &resized);
    if (status == FV_OK) {
        memcpy(sr, resized.data, (size_t)(H * W) * sizeof *sr);
        if (!o.stages || o.foci_per_scale) drop_stages(out, o.stages);
    } else {
        fv_sr_result_release(out);
    }
    fv_sr_image_release(&f);
    fv_sr_image_release(&map);
    fv_sr_image_release(&resized);
    return status;
}
