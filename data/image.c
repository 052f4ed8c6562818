#include "data/image.h"

#include "core/alloc.h"
#include "core/file.h"
#include "data/decoder_list.h"

#include <string.h>
#include <strings.h>

#define FV_X(name) &fv_decoder_##name,
static const fv_decoder *const decoders[] = {FV_DECODER_LIST(FV_X)};
#undef FV_X

#define FV_X(name) " " #name
static const char read_formats[] = FV_DECODER_LIST(FV_X);
#undef FV_X

fv_status fv_image_check_size(int64_t height, int64_t width) {
    if (height < 1 || width < 1)
        return FV_FAIL(FV_ERR_SHAPE, "image of %lld x %lld pixels", (long long)width,
                       (long long)height);
    if (height > FV_IMAGE_MAX_PIXELS / width)
        return FV_FAIL(FV_ERR_UNSUPPORTED, "image of %lld x %lld pixels: the limit is %lld in all",
                       (long long)width, (long long)height, (long long)FV_IMAGE_MAX_PIXELS);
    return FV_OK;
}

fv_status fv_image_reshape(fv_image *image, int64_t height, int64_t width) {
    FV_TRY(fv_image_check_size(height, width));
    const size_t n_bytes = (size_t)(height * width) * 3;
    if (n_bytes > image->capacity) {
        uint8_t *pixels = fv_alloc(n_bytes, 1);
        if (!pixels) return FV_ERR_NOMEM;
        fv_free(image->pixels);
        image->pixels = pixels;
        image->capacity = n_bytes;
    }
    image->height = height;
    image->width = width;
    return FV_OK;
}

void fv_image_release(fv_image *image) {
    fv_free(image->pixels);
    *image = (fv_image){0};
}

fv_status fv_image_create(int64_t height, int64_t width, fv_image **out) {
    fv_image *image = fv_calloc(1, sizeof *image);

    *out = NULL;
    if (!image) return FV_ERR_NOMEM;
    const fv_status status = fv_image_reshape(image, height, width);
    if (status != FV_OK) {
        fv_image_destroy(image);
        return status;
    }
    *out = image;
    return FV_OK;
}

void fv_image_destroy(fv_image *image) {
    if (!image) return;
    fv_image_release(image);
    fv_free(image);
}

bool fv_image_has_suffix(const char *name) {
    /* What is collected but not read (WebP, TIFF) ends in an error that names the file. */
    static const char *const suffixes[] = {".jpg", ".jpeg", ".jpe",  ".jfif", ".png", ".bmp",
                                           ".dib", ".gif",  ".ppm",  ".pgm",  ".pbm", ".pnm",
                                           ".psd", ".tga",  ".webp", ".tif",  ".tiff"};
    const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name;
    const char *dot = strrchr(base, '.');

    for (size_t i = 0; dot && dot != base && i < sizeof suffixes / sizeof *suffixes; i++)
        if (strcasecmp(dot, suffixes[i]) == 0) return true;
    return false;
}

/* Formats that are known by their first bytes but not read: the message can say so. */
static const char *unread_format(const uint8_t *b, size_t n) {
    static const struct {
        const char *name;
        size_t at, length;
        const char *bytes;
    } known[] = {
        {"WebP", 8, 4, "WEBP"},        {"TIFF", 0, 4, "II*\0"},    {"TIFF", 0, 4, "MM\0*"},
        {"AVIF", 4, 8, "ftypavif"},    {"HEIF", 4, 7, "ftyphei"},  {"HEIF", 4, 8, "ftypmif1"},
        {"JPEG 2000", 4, 4, "jP  "},   {"icon", 0, 4, "\0\0\1\0"}, {"PAM", 0, 3, "P7\n"},
        {"JPEG XL", 0, 2, "\xFF\x0A"},
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (n >= known[i].at + known[i].length &&
            memcmp(b + known[i].at, known[i].bytes, known[i].length) == 0)
            return known[i].name;
    return NULL;
}

static fv_status find_decoder(const uint8_t *bytes, size_t n_bytes, const fv_decoder **out) {
    if (n_bytes == 0) return FV_FAIL(FV_ERR_FORMAT, "empty file, not an image");
    for (size_t i = 0; i < sizeof decoders / sizeof *decoders; i++) {
        if (decoders[i]->sniff(bytes, n_bytes)) {
            *out = decoders[i];
            return FV_OK;
        }
    }
    const char *unread = unread_format(bytes, n_bytes);
    if (unread)
        return FV_FAIL(FV_ERR_UNSUPPORTED, "%s image; formats that are read:%s", unread,
                       read_formats);
    return FV_FAIL(FV_ERR_FORMAT,
                   "no image of a known format (%zu bytes, the first is 0x%02x); read are:%s",
                   n_bytes, bytes[0], read_formats);
}

fv_status fv_image_decode_into(const uint8_t *bytes, size_t n_bytes, fv_image *image) {
    const fv_decoder *decoder = NULL;
    FV_TRY(find_decoder(bytes, n_bytes, &decoder));
    return decoder->decode(bytes, n_bytes, image);
}

fv_status fv_image_decode(const uint8_t *bytes, size_t n_bytes, fv_image **out) {
    fv_image *image = fv_calloc(1, sizeof *image);

    *out = NULL;
    if (!image) return FV_ERR_NOMEM;
    const fv_status status = fv_image_decode_into(bytes, n_bytes, image);
    if (status != FV_OK) {
        fv_image_destroy(image);
        return status;
    }
    *out = image;
    return FV_OK;
}

fv_status fv_image_load(const char *path, fv_image **out) {
    uint8_t *bytes = NULL;
    size_t n_bytes = 0;

    *out = NULL;
    fv_status status = fv_file_read(path, FV_IMAGE_MAX_BYTES, &bytes, &n_bytes);
    if (status != FV_OK) goto cleanup;
    status = fv_image_decode(bytes, n_bytes, out);
    if (status != FV_OK) status = fv_error_context(status, "%s", path);
cleanup:
    fv_free(bytes);
    return status;
}

fv_status fv_image_probe(const uint8_t *bytes, size_t n_bytes, fv_image_header *out) {
    const fv_decoder *decoder = NULL;

    *out = (fv_image_header){0};
    FV_TRY(find_decoder(bytes, n_bytes, &decoder));
    FV_TRY(decoder->size(bytes, n_bytes, &out->height, &out->width));
    out->format = decoder->name;
    return FV_OK;
}

fv_status fv_image_encode_png(const fv_image *image, uint8_t **bytes, size_t *n_bytes) {
    return fv_png_encode(image->pixels, image->height, image->width, 3, bytes, n_bytes);
}

fv_status fv_image_encode_png_grey(const uint8_t *grey, int64_t height, int64_t width,
                                   uint8_t **bytes, size_t *n_bytes) {
    return fv_png_encode(grey, height, width, 1, bytes, n_bytes);
}

fv_status fv_image_encode_jpeg(const fv_image *image, int quality, uint8_t **bytes,
                               size_t *n_bytes) {
    return fv_jpeg_encode(image, quality, bytes, n_bytes);
}

fv_status fv_image_save_png(const fv_image *image, const char *path) {
    uint8_t *bytes = NULL;
    size_t n_bytes = 0;

    fv_status status = fv_image_encode_png(image, &bytes, &n_bytes);
    if (status != FV_OK) {
        status = fv_error_context(status, "%s", path);
        goto cleanup;
    }
    status = fv_file_write(path, bytes, n_bytes);
cleanup:
    fv_free(bytes);
    return status;
}
