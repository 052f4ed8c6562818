#!/usr/bin/env python3
"""Writes images_generated.h: small image files and Pillow's numbers for them.

Made with Pillow 9.4.0 on libjpeg-turbo 2.1.5:  python3 images_generated.py > images_generated.h
"""
import io
import struct
import sys
import zlib

from PIL import Image


def pattern(height, width):
    """The same formula as test_pattern() in tests/support/picture.c."""
    out = bytearray()
    for y in range(height):
        for x in range(width):
            for c in range(3):
                i = (y * width + x) * 3 + c
                noise = ((i * 2654435761) & 0xFFFFFFFF) >> 24
                out.append((x * 5 + y * 3 + c * 40 + noise // 4) & 255)
    return Image.frombytes("RGB", (width, height), bytes(out))


def fnv(data):
    h = 0xCBF29CE484222325
    for b in data:
        h = ((h ^ b) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return h


def chunk(kind, data):
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def png(width, height, depth, kind, sample, extra=(), interlace=0):
    """sample(x, y) gives the channels' values; every kind of PNG there is, unlike Pillow's writer."""
    raw = bytearray()
    passes = ADAM7 if interlace else [(0, 0, 1, 1)]
    for x0, y0, dx, dy in passes:
        xs, ys = range(x0, width, dx), range(y0, height, dy)
        if not xs or not ys:
            continue
        for y in ys:
            bits, n = 0, 0
            for x in xs:
                for v in sample(x, y):
                    bits, n = (bits << depth) | v, n + depth
            pad = -n % 8
            raw += b"\0" + (bits << pad).to_bytes((n + pad) // 8, "big")
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlace)
    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    for name, data in extra:
        out += chunk(name, data)
    return out + chunk(b"IDAT", zlib.compress(bytes(raw), 9)) + chunk(b"IEND", b"")


def jpeg(image, **options):
    out = io.BytesIO()
    image.save(out, "JPEG", optimize=True, **options)
    return out.getvalue()


def files():
    rgb = pattern(17, 21)
    cmyk = Image.merge("CMYK", [rgb.getchannel(c) for c in (2, 0, 1)] + [pattern(17, 21).convert("L")])
    yield "jpeg_444", jpeg(rgb, quality=80, subsampling=0), None
    yield "jpeg_422", jpeg(rgb, quality=80, subsampling=1), None
    yield "jpeg_420", jpeg(rgb, quality=80, subsampling=2), None
    yield "jpeg_progressive", jpeg(rgb, quality=80, progressive=True), None
    yield "jpeg_grey", jpeg(rgb.convert("L"), quality=80), None
    yield "jpeg_cmyk", jpeg(cmyk, quality=80), None
    w, h = 13, 9
    v = lambda x, y, c=0: (x * 19 + y * 7 + c * 83) & 255
    palette = bytes((i * k) & 255 for i in range(16) for k in (37, 91, 151))
    gamma = [(b"gAMA", struct.pack(">I", 100000))]
    yield "png_grey1", png(w, h, 1, 0, lambda x, y: [(x ^ y) & 1]), None
    yield "png_grey2", png(w, h, 2, 0, lambda x, y: [(x + y) & 3]), None
    yield "png_grey4", png(w, h, 4, 0, lambda x, y: [(x + 3 * y) & 15]), None
    yield "png_grey8", png(w, h, 8, 0, lambda x, y: [v(x, y)], gamma), None
    high = bytes(v(x, y) for y in range(h) for x in range(w) for _ in range(3))
    yield "png_grey16", png(w, h, 16, 0, lambda x, y: [v(x, y) << 8 | 200]), high
    yield "png_rgb8", png(w, h, 8, 2, lambda x, y: [v(x, y, c) for c in range(3)], gamma), None
    yield "png_rgb16", png(w, h, 16, 2, lambda x, y: [v(x, y, c) << 8 | 255 for c in range(3)]), None
    yield "png_palette4", png(w, h, 4, 3, lambda x, y: [(x + y) & 15], [(b"PLTE", palette)]), None
    yield "png_palette8_clear", png(w, h, 8, 3, lambda x, y: [(x * y) & 15],
                                    [(b"PLTE", palette), (b"tRNS", bytes(range(0, 160, 10)))]), None
    yield "png_grey_alpha", png(w, h, 8, 4, lambda x, y: [v(x, y), v(y, x)]), None
    yield "png_rgb_alpha", png(w, h, 8, 6, lambda x, y: [v(x, y, c) for c in range(4)]), None
    yield "png_rgb_clear", png(w, h, 8, 2, lambda x, y: [v(x, y, c) for c in range(3)],
                               [(b"tRNS", struct.pack(">HHH", 0, 83, 166))]), None
    yield "png_interlaced", png(w, h, 8, 2, lambda x, y: [v(x, y, c) for c in range(3)],
                                interlace=1), None


RESIZES = [  # height, width, crop (top, left, height, width) or None, new height, new width
    (37, 53, None, 16, 23), (37, 53, None, 64, 96), (37, 53, None, 37, 20), (37, 53, None, 12, 53),
    (37, 53, None, 37, 53), (37, 53, (5, 9, 20, 31), 24, 24), (37, 53, (0, 40, 37, 13), 9, 40),
    (64, 48, None, 1, 1), (3, 2, None, 17, 19), (200, 301, None, 56, 84), (1, 90, None, 5, 11),
]

EVALS = [  # height, width, input side, crop_pct
    (75, 100, 32, 0.875), (100, 75, 32, 0.9), (64, 64, 64, 1.0), (50, 51, 24, 0.8), (40, 121, 33, 0.95),
]


def centre(image, size):
    half = lambda d: int(round(d / 2.0))
    left, top = half(image.width - size), half(image.height - size)
    return image.crop((left, top, left + size, top + size))


def evaluation(h, w, size, pct, mode):
    s = int(size / pct)
    full = (s, s * h // w) if w <= h else (s * w // h, s)
    return centre(pattern(h, w).resize(full, mode), size)


def main():
    print("/* images_generated.h - written by images_generated.py: image files and Pillow's numbers. */")
    print("#ifndef FV_TESTS_IMAGES_GENERATED_H\n#define FV_TESTS_IMAGES_GENERATED_H\n")
    print("#include <stddef.h>\n#include <stdint.h>\n")
    rows = []
    for name, data, expected in files():
        image = Image.open(io.BytesIO(data))
        pixels = expected or image.convert("RGB").tobytes()
        print(f"static const uint8_t {name}[] = {{")
        for i in range(0, len(data), 24):
            print("    " + ",".join(str(b) for b in data[i:i + 24]) + ",")
        print("};")
        rows.append(f'    {{"{name}", {name}, sizeof {name}, {image.height}, {image.width}, '
                    f"0x{fnv(pixels):016X}u}},")
    print("\n/* A file, the size of its picture, FNV-1a of convert(\"RGB\"). */")
    print("static const struct {\n    const char *name;\n    const uint8_t *bytes;\n    size_t n_bytes;")
    print("    int64_t height, width;\n    uint64_t fnv;\n} generated_files[] = {")
    print("\n".join(rows) + "\n};\n")
    print("/* test_pattern(height, width), cropped (unless crop[2] is 0), resized; FNV-1a by method. */")
    print("static const struct {\n    int64_t height, width, crop[4], new_height, new_width;")
    print("    uint64_t bicubic, bilinear;\n} generated_resizes[] = {")
    for h, w, crop, nh, nw in RESIZES:
        image = pattern(h, w)
        t, l, ch, cw = crop or (0, 0, 0, 0)
        if crop:
            image = image.crop((l, t, l + cw, t + ch))
        hashes = [fnv(image.resize((nw, nh), m).tobytes()) for m in (Image.BICUBIC, Image.BILINEAR)]
        print(f"    {{{h}, {w}, {{{t}, {l}, {ch}, {cw}}}, {nh}, {nw}, 0x{hashes[0]:016X}u, "
              f"0x{hashes[1]:016X}u}},")
    print("};\n")
    print("/* The evaluation pipeline before normalisation. */")
    print("static const struct {\n    int64_t height, width, size;\n    double crop_pct;")
    print("    uint64_t bicubic, bilinear;\n} generated_evals[] = {")
    for h, w, size, pct in EVALS:
        hashes = [fnv(evaluation(h, w, size, pct, m).tobytes()) for m in (Image.BICUBIC, Image.BILINEAR)]
        print(f"    {{{h}, {w}, {size}, {pct}, 0x{hashes[0]:016X}u, 0x{hashes[1]:016X}u}},")
    print("};\n\n#endif")


if __name__ == "__main__":
    sys.exit(main())
