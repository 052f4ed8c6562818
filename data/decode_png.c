/* decode_png.c - PNG through full libpng (its simplified interface applies gamma, Pillow does not).
 *
 * libpng leaves a failed call by longjmp; every setjmp of the project is in this file.  Objects
 * that are freed after a jump live in the structs passed in, never in locals of the jumping
 * function. */
#include "core/alloc.h"
#include "data/decoder_list.h"

#include <png.h>

#include <setjmp.h>
#include <string.h>

typedef struct png_job {
    png_structp png;
    png_infop info;
    const uint8_t *bytes; /* reading */
    size_t n_bytes, position;
    uint8_t *written; /* writing */
    size_t n_written, capacity;
    png_bytep *rows;
    fv_status status; /* a failure of our own callbacks */
    char message[160];
} png_job;

static void on_error(png_structp png, png_const_charp message) {
    png_job *job = png_get_error_ptr(png);
    if (job->message[0] == 0) {
        strncpy(job->message, message, sizeof job->message - 1);
        job->message[sizeof job->message - 1] = 0;
    }
    longjmp(png_jmpbuf(png), 1);
}

static void on_warning(png_structp png, png_const_charp message) {
    (void)png; /* damaged comments and the like: pixels are not concerned */
    (void)message;
}

static void on_read(png_structp png, png_bytep out, size_t n) {
    png_job *job = png_get_io_ptr(png);
    if (n > job->n_bytes - job->position) png_error(png, "file is truncated");
    memcpy(out, job->bytes + job->position, n);
    job->position += n;
}

static void on_write(png_structp png, png_bytep bytes, size_t n) {
    png_job *job = png_get_io_ptr(png);
    if (n > job->capacity - job->n_written) {
        const size_t capacity = 2 * job->capacity + n;
        uint8_t *grown = fv_realloc(job->written, capacity, 1);
        if (!grown) {
            job->status = FV_ERR_NOMEM;
            png_error(png, "out of memory");
        }
        job->written = grown;
        job->capacity = capacity;
    }
    memcpy(job->written + job->n_written, bytes, n);
    job->n_written += n;
}

static void on_flush(png_structp png) { (void)png; }

static bool sniff(const uint8_t *bytes, size_t n_bytes) {
    static const uint8_t signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
    return n_bytes >= 8 && memcmp(bytes, signature, 8) == 0;
}

/* The code of a failed job: our own, else what the message of libpng means. */
static fv_status job_failure(const png_job *job) {
    if (job->status == FV_ERR_NOMEM || strstr(job->message, "emory"))
        return FV_FAIL(FV_ERR_NOMEM, "PNG: out of memory");
    if (job->status != FV_OK) return job->status;
    return FV_FAIL(FV_ERR_FORMAT, "PNG: %s", job->message[0] ? job->message : "corrupt file");
}

static fv_status begin_read(png_job *job) {
    job->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, job, on_error, on_warning);
    if (job->png) job->info = png_create_info_struct(job->png);
    if (!job->info) return FV_FAIL(FV_ERR_NOMEM, "PNG: cannot create a decoder");
    return FV_OK;
}

static fv_status read_header(png_job *job, int64_t *height, int64_t *width) {
    if (setjmp(png_jmpbuf(job->png))) return job_failure(job);
    png_set_read_fn(job->png, job, on_read);
    /* The format's own limit; our limit on pixels speaks more clearly. */
    png_set_user_limits(job->png, 0x7FFFFFFF, 0x7FFFFFFF);
    png_read_info(job->png, job->info);
    *height = png_get_image_height(job->png, job->info);
    *width = png_get_image_width(job->png, job->info);
    return FV_OK;
}

/* Grey of 16 bits is read as it is: Pillow cuts it at 255. */
static bool is_grey_16(const png_job *job) {
    return png_get_color_type(job->png, job->info) == PNG_COLOR_TYPE_GRAY &&
           png_get_bit_depth(job->png, job->info) == 16;
}

/* Asks for 8-bit RGB whatever else the file holds. */
static void request_rgb8(const png_job *job) {
    const int type = png_get_color_type(job->png, job->info);

    png_set_interlace_handling(job->png);
    if (is_grey_16(job)) {
        png_read_update_info(job->png, job->info);
        return;
    }
    if (png_get_bit_depth(job->png, job->info) == 16) png_set_strip_16(job->png);
    if (type == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(job->png);
    if (!(type & PNG_COLOR_MASK_COLOR)) {
        png_set_expand_gray_1_2_4_to_8(job->png);
        png_set_gray_to_rgb(job->png);
    }
    png_set_strip_alpha(job->png);
    png_read_update_info(job->png, job->info);
}

/* Two bytes a pixel become three in place, from the right. */
static void cut_grey_16(uint8_t *row, int64_t width) {
    for (int64_t x = width - 1; x >= 0; x--)
        memset(row + 3 * x, row[2 * x] ? 255 : row[2 * x + 1], 3);
}

static fv_status read_pixels(png_job *job, const fv_image *image) {
    if (setjmp(png_jmpbuf(job->png))) return job_failure(job);
    request_rgb8(job);
    const bool grey_16 = is_grey_16(job);
    if (png_get_rowbytes(job->png, job->info) != (size_t)image->width * (grey_16 ? 2 : 3))
        return FV_FAIL(FV_ERR_UNSUPPORTED, "PNG: colour type %d",
                       png_get_color_type(job->png, job->info));
    png_read_image(job->png, job->rows);
    png_read_end(job->png, NULL); /* a missing end is a truncated file */
    if (grey_16)
        for (int64_t y = 0; y < image->height; y++) cut_grey_16(job->rows[y], image->width);
    return FV_OK;
}

static fv_status size(const uint8_t *bytes, size_t n_bytes, int64_t *height, int64_t *width) {
    png_job job = {.bytes = bytes, .n_bytes = n_bytes};

    fv_status status = begin_read(&job);
    if (status == FV_OK) status = read_header(&job, height, width);
    png_destroy_read_struct(&job.png, &job.info, NULL);
    return status;
}

static fv_status decode(const uint8_t *bytes, size_t n_bytes, fv_image *image) {
    png_job job = {.bytes = bytes, .n_bytes = n_bytes};
    int64_t height = 0, width = 0;

    fv_status status = begin_read(&job);
    if (status != FV_OK) goto cleanup;
    status = read_header(&job, &height, &width);
    if (status != FV_OK) goto cleanup;
    status = fv_image_reshape(image, height, width);
    if (status != FV_OK) goto cleanup;
    job.rows = fv_alloc((size_t)height, sizeof *job.rows);
    if (!job.rows) {
        status = FV_ERR_NOMEM;
        goto cleanup;
    }
    for (int64_t y = 0; y < height; y++) job.rows[y] = image->pixels + y * width * 3;
    status = read_pixels(&job, image);
cleanup:
    fv_free(job.rows);
    png_destroy_read_struct(&job.png, &job.info, NULL);
    return status;
}

static fv_status write_pixels(png_job *job, const uint8_t *pixels, int64_t height, int64_t width,
                              int channels) {
    if (setjmp(png_jmpbuf(job->png))) return job_failure(job);
    png_set_write_fn(job->png, job, on_write, on_flush);
    png_set_compression_level(job->png, 6);
    png_set_IHDR(job->png, job->info, (png_uint_32)width, (png_uint_32)height, 8,
                 channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(job->png, job->info); /* no time and no text chunks: same pixels, same bytes */
    for (int64_t y = 0; y < height; y++) png_write_row(job->png, pixels + y * width * channels);
    png_write_end(job->png, NULL);
    return FV_OK;
}

fv_status fv_png_encode(const uint8_t *pixels, int64_t height, int64_t width, int channels,
                        uint8_t **bytes, size_t *n_bytes) {
    png_job job = {0};
    fv_status status = FV_OK;

    *bytes = NULL;
    *n_bytes = 0;
    if (height < 1 || width < 1 || height > FV_IMAGE_MAX_PIXELS / width || width > 1000000 ||
        height > 1000000) /* libpng's own limit a side */
        return FV_FAIL(FV_ERR_SHAPE, "PNG of %lld x %lld pixels", (long long)width,
                       (long long)height);
    job.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &job, on_error, on_warning);
    if (job.png) job.info = png_create_info_struct(job.png);
    if (!job.info) {
        status = FV_FAIL(FV_ERR_NOMEM, "PNG: cannot create an encoder");
        goto cleanup;
    }
    status = write_pixels(&job, pixels, height, width, channels);
    if (status != FV_OK) goto cleanup;
    *bytes = job.written;
    *n_bytes = job.n_written;
    job.written = NULL;
cleanup:
    fv_free(job.written);
    png_destroy_write_struct(&job.png, &job.info);
    return status;
}

const fv_decoder fv_decoder_png = {.name = "png", .sniff = sniff, .size = size, .decode = decode};
