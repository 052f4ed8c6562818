/* decode_jpeg.c - JPEG through the TurboJPEG API, which returns codes instead of jumping.
 *
 * The defaults of the library (accurate integer DCT, smooth chroma upsampling) are those of Pillow,
 * so pixels agree bit for bit. */
#include "core/alloc.h"
#include "data/decoder_list.h"

#include <turbojpeg.h>

#include <string.h>

static bool sniff(const uint8_t *bytes, size_t n_bytes) {
    return n_bytes >= 3 && bytes[0] == 0xFF && bytes[1] == 0xD8 && bytes[2] == 0xFF;
}

static fv_status read_header(tjhandle handle, const uint8_t *bytes, size_t n_bytes, int64_t *height,
                             int64_t *width, int *colours) {
    int w = 0, h = 0, subsampling = 0;

    /* The library also reports unusual chroma sampling here, which it decodes all the same: a size
     * and known colours are enough. */
    *colours = -1;
    const int failed =
        tjDecompressHeader3(handle, bytes, (unsigned long)n_bytes, &w, &h, &subsampling, colours);
    if (w < 1 || h < 1 || *colours < 0)
        return FV_FAIL(FV_ERR_FORMAT, "JPEG: %s",
                       failed ? tjGetErrorStr2(handle) : "the file holds no picture");
    *height = h;
    *width = w;
    return FV_OK;
}

static fv_status size(const uint8_t *bytes, size_t n_bytes, int64_t *height, int64_t *width) {
    tjhandle handle = tjInitDecompress();
    int colours = 0;

    if (!handle) return FV_FAIL(FV_ERR_NOMEM, "JPEG: cannot create a decoder");
    const fv_status status = read_header(handle, bytes, n_bytes, height, width, &colours);
    tjDestroy(handle);
    return status;
}

/* Position of the last marker FF code, or -1. */
static int64_t last_marker(const uint8_t *bytes, size_t n_bytes, uint8_t code) {
    for (size_t i = n_bytes; i >= 2; i--)
        if (bytes[i - 2] == 0xFF && bytes[i - 1] == code) return (int64_t)(i - 2);
    return -1;
}

/* Warnings about oddities that leave every pixel intact are let through, as Pillow does; those
 * about missing or damaged picture data are not.  The library reports the first warning only, so
 * after a harmless one the end marker must still be there, behind the last scan. */
static bool harmless(const char *warning, const uint8_t *bytes, size_t n_bytes) {
    const bool known = strstr(warning, "extraneous bytes") || strstr(warning, "JFIF revision") ||
                       strstr(warning, "Adobe");
    return known && last_marker(bytes, n_bytes, 0xD9) > last_marker(bytes, n_bytes, 0xDA);
}

/* Start-of-scan markers; FF never stands alone in compressed data, so only embedded pictures are
 * counted beside them. */
static fv_status check_scans(const uint8_t *bytes, size_t n_bytes, int64_t height, int64_t width) {
    int64_t scans = 0;

    for (const uint8_t *p = bytes, *end = bytes + n_bytes;
         (p = memchr(p, 0xFF, (size_t)(end - p))) && p + 1 < end; p++)
        scans += p[1] == 0xDA;
    if (scans <= FV_IMAGE_MAX_SCANS && scans <= FV_IMAGE_MAX_SCANNED / (height * width))
        return FV_OK;
    return FV_FAIL(FV_ERR_UNSUPPORTED, "JPEG: %lld scans of %lld x %lld pixels", (long long)scans,
                   (long long)width, (long long)height);
}

static fv_status decompress(tjhandle handle, const uint8_t *bytes, size_t n_bytes, int pixel_format,
                            const fv_image *image, uint8_t *pixels) {
    /* The flag is the library's own count of scans. */
    if (tjDecompress2(handle, bytes, (unsigned long)n_bytes, pixels, (int)image->width, 0,
                      (int)image->height, pixel_format, TJFLAG_LIMITSCANS) == 0)
        return FV_OK;
    const char *text = tjGetErrorStr2(handle);
    if (tjGetErrorCode(handle) == TJERR_WARNING && harmless(text, bytes, n_bytes)) return FV_OK;
    return FV_FAIL(FV_ERR_FORMAT, "JPEG: %s", text);
}

/* round(a * b / 255) as Pillow computes it */
static uint8_t scale_255(unsigned a, unsigned b) {
    const unsigned t = a * b + 128;
    return (uint8_t)((t + (t >> 8)) >> 8);
}

/* Files hold inverted CMYK (Adobe's habit, which Pillow takes for granted): c' = 255 - c, so
 * R = k' - round((255 - c') k' / 255) with k' the stored black channel, and so on. */
static void cmyk_to_rgb(const uint8_t *cmyk, int64_t n, uint8_t *rgb) {
    for (int64_t i = 0; i < n; i++) {
        const uint8_t *p = cmyk + 4 * i;
        for (int c = 0; c < 3; c++) rgb[3 * i + c] = (uint8_t)(p[3] - scale_255(255u - p[c], p[3]));
    }
}

static fv_status decode(const uint8_t *bytes, size_t n_bytes, fv_image *image) {
    tjhandle handle = NULL;
    uint8_t *cmyk = NULL;
    int64_t height = 0, width = 0;
    int colours = 0;
    fv_status status = FV_OK;

    handle = tjInitDecompress();
    if (!handle) return FV_FAIL(FV_ERR_NOMEM, "JPEG: cannot create a decoder");
    status = read_header(handle, bytes, n_bytes, &height, &width, &colours);
    if (status != FV_OK) goto cleanup;
    status = check_scans(bytes, n_bytes, height, width);
    if (status == FV_OK) status = fv_image_reshape(image, height, width);
    if (status != FV_OK) goto cleanup;
    if (colours != TJCS_CMYK && colours != TJCS_YCCK) {
        status = decompress(handle, bytes, n_bytes, TJPF_RGB, image, image->pixels);
        goto cleanup;
    }
    cmyk = fv_alloc((size_t)(height * width), 4);
    if (!cmyk) {
        status = FV_ERR_NOMEM;
        goto cleanup;
    }
    status = decompress(handle, bytes, n_bytes, TJPF_CMYK, image, cmyk);
    if (status == FV_OK) cmyk_to_rgb(cmyk, height * width, image->pixels);
cleanup:
    fv_free(cmyk);
    tjDestroy(handle);
    return status;
}

fv_status fv_jpeg_encode(const fv_image *image, int quality, uint8_t **bytes, size_t *n_bytes) {
    tjhandle handle = NULL;
    fv_status status = FV_OK;

    *bytes = NULL;
    *n_bytes = 0;
    if (quality < 1 || quality > 100)
        return FV_FAIL(FV_ERR_CONFIG, "JPEG quality %d is outside 1..100", quality);
    if (image->width > 65500 || image->height > 65500)
        return FV_FAIL(FV_ERR_UNSUPPORTED, "JPEG: %lld x %lld pixels, at most 65500 a side",
                       (long long)image->width, (long long)image->height);
    handle = tjInitCompress();
    if (!handle) return FV_FAIL(FV_ERR_NOMEM, "JPEG: cannot create an encoder");
    unsigned long n = tjBufSize((int)image->width, (int)image->height, TJSAMP_420);
    *bytes = fv_alloc(n, 1);
    if (!*bytes) {
        status = FV_ERR_NOMEM;
        goto cleanup;
    }
    if (tjCompress2(handle, image->pixels, (int)image->width, 0, (int)image->height, TJPF_RGB,
                    bytes, &n, TJSAMP_420, quality, TJFLAG_NOREALLOC | TJFLAG_ACCURATEDCT) != 0) {
        status = FV_FAIL(FV_ERR_INTERNAL, "JPEG: %s", tjGetErrorStr2(handle));
        fv_free(*bytes);
        *bytes = NULL;
        goto cleanup;
    }
    *n_bytes = n;
cleanup:
    tjDestroy(handle);
    return status;
}

const fv_decoder fv_decoder_jpeg = {.name = "jpeg", .sniff = sniff, .size = size, .decode = decode};
