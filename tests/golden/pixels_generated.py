"""Writes pixels_generated.h: what Pillow makes of test_pattern pictures (tests/support/picture.h).

    python3 tests/golden/pixels_generated.py > tests/golden/pixels_generated.h      (Pillow 13.0.0)
"""
import numpy as np
from PIL import Image, ImageEnhance, ImageOps

SIZES = [(24, 24), (17, 40), (33, 9)]
FILL = (124, 116, 104)
KINDS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def pattern(h, w):
    i = np.arange(h * w * 3, dtype=np.uint64)
    y, x, c = i // 3 // w, i // 3 % w, i % 3
    noise = ((i * 2654435761) & 0xFFFFFFFF) >> 24
    v = (x * 5 + y * 3 + c * 40 + noise // 4) & 0xFF
    return Image.fromarray(v.astype(np.uint8).reshape(h, w, 3), "RGB")


def fnv(image):
    h = 0xCBF29CE484222325
    for b in image.tobytes():
        h = ((h ^ b) * 0x100000001B3) & (2**64 - 1)
    return h


def dim(image):
    """A picture whose channels do not fill 0..255."""
    return image.point(lambda v: 40 + v // 3)


def solarize_add(image, add):
    return image.point([min(255, i + add) if i < 128 else i for i in range(256)] * 3)


def cases():
    for h, w in SIZES:
        p = pattern(h, w)
        yield "invert", h, w, 0, ImageOps.invert(p)
        for bits in (0, 1, 3, 8):
            yield "posterize", h, w, bits, p if bits == 8 else p.point(
                [i & ~(2 ** (8 - bits) - 1) for i in range(256)] * 3)
        for t in (0, 26, 128, 256):
            yield "solarize", h, w, t, ImageOps.solarize(p, t)
        for add in (0, 60, 110):
            yield "solarize_add", h, w, add, solarize_add(p, add)
        yield "autocontrast", h, w, 0, ImageOps.autocontrast(dim(p))
        yield "equalize", h, w, 0, ImageOps.equalize(p)
        yield "equalize_dim", h, w, 0, ImageOps.equalize(dim(p))
        for f in (0.0, 0.1, 0.55, 1.0, 1.37, 1.9, 2.6):
            yield "color", h, w, f, ImageEnhance.Color(p).enhance(f)
            yield "contrast", h, w, f, ImageEnhance.Contrast(p).enhance(f)
            yield "brightness", h, w, f, ImageEnhance.Brightness(p).enhance(f)
            yield "sharpness", h, w, f, ImageEnhance.Sharpness(p).enhance(f)
        yield "color", h, w, 0.0, p.convert("L").convert("RGB")  # greyscale
        for kind, resample in KINDS.items():
            for d in (-30.0, -7.3, 0.0, 12.5, 27.0):
                yield "rotate_" + kind, h, w, d, p.rotate(d, resample, fillcolor=FILL)
            for f in (-0.3, 0.0, 0.27):
                yield "shear_x_" + kind, h, w, f, p.transform(
                    p.size, Image.Transform.AFFINE, (1, f, 0, 0, 1, 0), resample, fillcolor=FILL)
                yield "shear_y_" + kind, h, w, f, p.transform(
                    p.size, Image.Transform.AFFINE, (1, 0, 0, f, 1, 0), resample, fillcolor=FILL)
            for f in (-0.45, 0.0, 0.313):
                yield "translate_x_" + kind, h, w, f, p.transform(
                    p.size, Image.Transform.AFFINE, (1, 0, f * w, 0, 1, 0), resample, fillcolor=FILL)
                yield "translate_y_" + kind, h, w, f, p.transform(
                    p.size, Image.Transform.AFFINE, (1, 0, 0, 0, 1, f * h), resample, fillcolor=FILL)


print("/* pixels_generated.h - written by pixels_generated.py: hashes of Pillow's results. */")
print("#ifndef FV_TESTS_PIXELS_GENERATED_H\n#define FV_TESTS_PIXELS_GENERATED_H\n")
print("#include <stdint.h>\n")
print("static const struct {\n    const char *op;\n    int64_t height, width;\n    double level;")
print("    uint64_t hash;\n} generated_pixels[] = {")
for name, h, w, level, image in cases():
    print(f'    {{"{name}", {h}, {w}, {level!r}, 0x{fnv(image):016x}u}},')
print("};\n\n#endif")
