#!/usr/bin/env python3
"""Writes images_generated.h: small image files and Pillow's numbers for them.

Made with Pillow 9.4.0 on libjpeg-turbo 2.1.5:  python3 images_generated.py > images_generated.h
"""
import io
import struct
import sys

from PIL import Image

from image_files import bmp, bmp_runs, gif, pack_bits, png, pnm, psd, tga


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
    yield "png_grey16", png(w, h, 16, 0, lambda x, y: [v(x, y) + (y > 4) * 200]), None  # cut at 255
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
    yield from (("bmp_" + name, data, None) for name, data in bmps(w, h))
    yield from (("gif_" + name, data, None) for name, data in gifs(w, h))
    yield from (("pnm_" + name, data, None) for name, data in pnms(w, h))
    yield from (("psd_" + name, data, None) for name, data in psds(w, h))
    yield from (("tga_" + name, data, None) for name, data in tgas(w, h))


def samples(w, h, n=1, step=0):
    """Bytes [h, w, n]; with a step in long runs."""
    fill = lambda x, y, c: (x // 5 * step + y + c) if step else (x * 19 + y * 7 + c * 83)
    return bytes(fill(x, y, c) & 255 for y in range(h) for x in range(w) for c in range(n))


def colours(n):
    return [((i * 37 + 9) & 255, (i * 91 + 5) & 255, (i * 151) & 255) for i in range(n)]


def indices(w, h, n):
    return bytes((x + x * y) % n for y in range(h) for x in range(w))


def packed_rows(w, h, bits):
    index = indices(w, h, 1 << bits)
    return b"".join(pack_bits(index[y * w:y * w + w], bits) for y in range(h))


def bmps(w, h):
    yield "1", bmp(w, h, 1, packed_rows(w, h, 1), colours(2))
    yield "4_os2", bmp(w, h, 4, packed_rows(w, h, 4), colours(16), 12)
    yield "8_few", bmp(w, h, 8, indices(w, h, 20), colours(20), 40, True)
    yield "16", bmp(w, h, 16, samples(w, h, 2))
    yield "16_masks", bmp(w, h, 16, samples(w, h, 2), (), 40, False, (0xF800, 0x7E0, 0x1F))
    yield "24", bmp(w, h, 24, samples(w, h, 3))
    yield "32_masks", bmp(w, h, 32, samples(w, h, 4), (), 108, False, (0xFF, 0xFF00, 0xFF0000, 0xFF000000))
    runs = bmp_runs(w, h, bytes(v % 16 for v in samples(w, h, 1, 3)), False, False)
    yield "runs8", bmp(w, h, 8, runs, colours(16), runs=8)
    runs = bmp_runs(w, h, indices(w, h, 5), True, False)
    yield "runs4", bmp(w, h, 4, runs, colours(16), runs=4)


def gifs(w, h):
    table = bytes(v for c in colours(16) for v in c)
    yield "interlaced", gif(w, h, (0, 0, w, h), indices(w, h, 16), table, interlace=True)
    yield "clear", gif(w, h, (0, 0, w, h), indices(w, h, 16), table, clear=3, back=5, plain=True)
    yield "part", gif(w, h, (2, 3, 7, 5), indices(7, 5, 8), table, table[24:], back=5)
    yield "part_clear", gif(w, h, (2, 3, 7, 5), indices(7, 5, 8), table, clear=4)
    yield "no_table", gif(w, h, (0, 0, w, h), indices(w, h, 16), None)
    yield "beyond", gif(4, 4, (2, 3, w, h), indices(w, h, 16), table)


def pnms(w, h):
    yield "1", pnm(1, w, h, list(indices(w, h, 2)), comment=b"# a comment\n")
    yield "2", pnm(2, w, h, list(indices(w, h, 16)), 15)
    yield "3", pnm(3, w, h, list(samples(w, h, 3)))
    yield "4", pnm(4, w, h, list(indices(w, h, 2)))
    yield "5", pnm(5, w, h, list(samples(w, h)))
    yield "5_wide", pnm(5, w, h, [3 * v for v in samples(w, h)], 65535)
    yield "6", pnm(6, w, h, list(samples(w, h, 3)), comment=b"# a comment\n")
    yield "6_1023", pnm(6, w, h, [4 * v for v in samples(w, h, 3)], 1023)


def psds(w, h):
    planes = [samples(w, h, 3)[c::3] for c in range(3)]
    runs = [samples(w, h, 3, 3)[c::3] for c in range(3)]
    yield "rgb", psd(w, h, 3, planes)
    yield "alpha", psd(w, h, 3, planes + [samples(w, h)])
    yield "packed_alpha", psd(w, h, 3, runs + [samples(w, h)], True)
    yield "grey", psd(w, h, 1, planes[:1])
    yield "indexed", psd(w, h, 2, planes[:1], False, bytes(i * 7 & 255 for i in range(768)))


def tgas(w, h):
    table = bytes(v for c in colours(100) for v in c)
    index = indices(w, h, 90)
    yield "grey", tga(w, h, 3, 8, samples(w, h))
    yield "rgb_up", tga(w, h, 2, 24, samples(w, h, 3), corner=0, note=b"a note")
    yield "rgb_left", tga(w, h, 2, 24, samples(w, h, 3), corner=0x30)
    yield "rgb16", tga(w, h, 2, 16, samples(w, h, 2))
    yield "alpha_packed", tga(w, h, 2, 32, samples(w, h, 4, 9), packed=True)
    yield "map", tga(w, h, 1, 8, bytes(v + 10 for v in index), table, 24, 10)
    yield "map_packed", tga(w, h, 1, 8, samples(w, h, 1, 2).translate(bytes(i % 90 for i in range(256))), table, 24,
                            packed=True, corner=0)


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
