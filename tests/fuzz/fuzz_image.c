#include "data/exif.h"
#include "data/image.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

#define PIXELS_MOST ((int64_t)1 << 20) /* larger pictures only cost time */

void fuzz_image(const uint8_t *bytes, size_t n_bytes) {
    fv_image_header header;
    fv_image *image = NULL, *again = NULL;

    const int orientation = fv_exif_orientation(bytes, n_bytes);
    FUZZ_REQUIRE(orientation >= 1 && orientation <= 8);
    const fv_status probed = fv_image_probe(bytes, n_bytes, &header);
    if (probed == FV_OK) {
        FUZZ_REQUIRE(header.format && header.height > 0 && header.width > 0);
        if (header.height > PIXELS_MOST / header.width) return;
    }
    const fv_status status = fv_image_decode(bytes, n_bytes, &image);
    if (status != FV_OK) {
        fuzz_require_failure(status, FV_ERR_FORMAT, FV_ERR_UNSUPPORTED);
        FUZZ_REQUIRE(!image);
        return;
    }
    /* Decoding is a function of the bytes: no pixel is left as it was in memory. */
    FUZZ_REQUIRE(probed == FV_OK && image->height == header.height && image->width == header.width);
    FUZZ_REQUIRE(fv_image_decode(bytes, n_bytes, &again) == FV_OK);
    FUZZ_REQUIRE(memcmp(image->pixels, again->pixels, (size_t)(image->height * image->width * 3)) ==
                 0);
    FUZZ_REQUIRE(fv_image_orient(image, orientation, again) == FV_OK);
    fv_image_destroy(image);
    fv_image_destroy(again);
}
