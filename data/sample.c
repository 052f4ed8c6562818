#include "data/sample.h"

#include "core/alloc.h"

const char *fv_sample_title(const fv_sample *sample) {
    return sample->offset ? sample->name : sample->path;
}

fv_status fv_sample_context(fv_status status, const fv_sample *sample) {
    if (sample->offset) fv_error_context(status, "%s", sample->name);
    return fv_error_context(status, "%s", sample->path);
}

/* The reading itself names the path. */
static fv_status read_bytes(const fv_sample *s, fv_buffer *file) {
    if (!s->offset) return fv_buffer_read(file, s->path, FV_IMAGE_MAX_BYTES);
    if ((uint64_t)s->n_bytes > FV_IMAGE_MAX_BYTES)
        return FV_FAIL(FV_ERR_FORMAT, "%s: %s: %lld bytes, more than the limit of %zu", s->path,
                       s->name, (long long)s->n_bytes, FV_IMAGE_MAX_BYTES);
    return fv_buffer_read_part(file, s->path, s->offset, (size_t)s->n_bytes);
}

/* [3, height, width] -> [height, width, 3] */
static fv_status interleave(const fv_planes *p, const fv_buffer *file, fv_image *image) {
    const int64_t n = p->height * p->width;

    if ((int64_t)file->size != 3 * n)
        return FV_FAIL(FV_ERR_FORMAT, "%zu bytes, not three planes of %lld x %lld", file->size,
                       (long long)p->height, (long long)p->width);
    FV_TRY(fv_image_reshape(image, p->height, p->width));
    for (int64_t i = 0; i < n; i++)
        for (int64_t c = 0; c < 3; c++) image->pixels[3 * i + c] = file->bytes[c * n + i];
    return FV_OK;
}

fv_status fv_sample_decode(const fv_sample *s, const fv_preprocess *pre, fv_buffer *file,
                           fv_image *turned, fv_image *image) {
    FV_TRY(read_bytes(s, file));
    const fv_status status =
        s->planes ? interleave(s->planes, file, image)
                  : fv_preprocess_decode(pre, file->bytes, file->size, turned, image);
    return status == FV_OK ? FV_OK : fv_sample_context(status, s);
}

fv_status fv_sample_load(const fv_sample *s, const fv_preprocess *pre, fv_image **out) {
    fv_buffer file = {0};
    fv_image turned = {0};

    *out = NULL;
    fv_image *image = fv_calloc(1, sizeof *image);
    if (!image) return FV_ERR_NOMEM;
    const fv_status status = fv_sample_decode(s, pre, &file, &turned, image);
    fv_buffer_free(&file);
    fv_image_release(&turned);
    if (status == FV_OK)
        *out = image;
    else
        fv_image_destroy(image);
    return status;
}

fv_status fv_sample_probe(const fv_sample *s, bool decode, fv_buffer *file, fv_image *image,
                          fv_image_header *out) {
    fv_status status = FV_OK;

    FV_TRY(read_bytes(s, file));
    if (s->planes)
        *out = (fv_image_header){"planes", s->planes->height, s->planes->width};
    else
        status = fv_image_probe(file->bytes, file->size, out);
    if (status == FV_OK && decode)
        status = s->planes ? interleave(s->planes, file, image)
                           : fv_image_decode_into(file->bytes, file->size, image);
    return status == FV_OK ? FV_OK : fv_sample_context(status, s);
}
