#include "data/decode_stb.h"

#include "core/alloc.h"

#include <string.h>

/* Only what decode_{bmp,psd,tga}.c use; memory is ours, and bad input never aborts. */
#define STBI_ONLY_BMP
#define STBI_ONLY_PSD
#define STBI_ONLY_TGA
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#define STBI_MALLOC(n)     fv_alloc(n, 1)
#define STBI_REALLOC(p, n) fv_realloc(p, n, 1)
#define STBI_FREE(p)       fv_free(p)
#define STBI_ASSERT(x)     ((void)sizeof(x))
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
/* It declares the functions of the formats that are left out too; noticed at the end of the file. */
#pragma GCC diagnostic ignored "-Wunused-function"
#include <stb/stb_image.h>

typedef struct reader {
    const fv_stb_file *file;
    size_t position; /* in the head and the body behind it */
    bool truncated;  /* something behind the end was asked for */
} reader;

static size_t left(const reader *r) { return r->file->n_head + r->file->n_body - r->position; }

static int on_read(void *user, char *out, int n) {
    reader *r = user;
    const fv_stb_file *f = r->file;
    int done = 0;

    if (left(r) == 0)
        r->truncated = true; /* stb_image fills its buffer only when it needs a byte */
    while (done < n && left(r) > 0) {
        const bool in_head = r->position < f->n_head;
        const uint8_t *from = in_head ? f->head + r->position : f->body + (r->position - f->n_head);
        const size_t here = in_head ? f->n_head - r->position : left(r);
        const size_t wanted = (size_t)(n - done);
        const size_t count = here < wanted ? here : wanted;
        memcpy(out + done, from, count);
        r->position += count;
        done += (int)count;
    }
    return done;
}

/* A skip that leaves the file loses nothing unless something is read behind it: the padding of a last
 * row may be missing. */
static void on_skip(void *user, int n) {
    reader *r = user;

    if (n > 0) r->position += (size_t)n < left(r) ? (size_t)n : left(r);
}

static int on_end(void *user) { return left(user) == 0; }

static fv_status load(const fv_stb_file *file, uint8_t **pixels) {
    static const stbi_io_callbacks callbacks = {.read = on_read, .skip = on_skip, .eof = on_end};
    reader r = {.file = file};
    int width = 0, height = 0, found = 0;

    *pixels = stbi_load_from_callbacks(&callbacks, &r, &width, &height, &found, 3);
    if (!*pixels) {
        const char *reason = stbi_failure_reason();
        if (reason && strcmp(reason, "outofmem") == 0)
            return FV_FAIL(FV_ERR_NOMEM, "%s: out of memory", file->format);
        if (!r.truncated)
            return FV_FAIL(FV_ERR_FORMAT, "%s: %s", file->format, reason ? reason : "corrupt file");
    }
    if (*pixels && !r.truncated && height == file->height && width == file->width) return FV_OK;
    fv_free(*pixels);
    *pixels = NULL;
    return FV_FAIL(FV_ERR_FORMAT, "%s: %s", file->format,
                   r.truncated ? "file is truncated" : "another size than its header's");
}

fv_status fv_stb_decode(const fv_stb_file *file, fv_image *image) {
    uint8_t *pixels = NULL;

    FV_TRY(fv_image_reshape(image, file->height, file->width));
    FV_TRY(load(file, &pixels));
    memcpy(image->pixels, pixels, (size_t)(file->height * file->width * 3));
    fv_free(pixels);
    return FV_OK;
}
