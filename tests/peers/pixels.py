#!/usr/bin/env python3
"""Counts the bytes in which fovea's pixels differ from Pillow's: 200 generated images of every kind.

    python3 tests/peers/pixels.py --pixels build/fovea-pixels [--save FOLDER]

needs Pillow and numpy (Debian: python3-pil python3-numpy), the target fovea-pixels and, for JPEGs that
Pillow does not write, cjpeg (libjpeg-turbo-progs).  The reference is Pillow 9.4; some later versions resize by
another rounding, 1 level apart, while decoded pixels stay the same.  Each image is
decoded, then resized, cropped and normalised as timm's evaluation transform does, with four settings in turn:
what Pillow gives after convert("RGB") and resize is compared byte by byte.  JPEGs with an orientation are
compared a second time, turned, with ImageOps.exif_transpose.  With --save the files stay there, for
corrupt.py.
"""
import argparse
import io
import math
import os
import random
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image, ImageOps

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden"))
import image_files as write  # noqa: E402

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
RECENT = int(Image.__version__.split(".")[0]) >= 12  # 9.4 fails on colour maps of 16 and 32 bits, and misreads jumps
SETTINGS = [(64, 0.875, "bicubic"), (96, 0.9, "bilinear"), (224, 0.95, "bicubic"), (32, 1.0, "bilinear")]


def scene(rng, height, width, channels=3):
    """Smooth colours, edges and some noise, as uint8 [height, width, channels]."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    out = np.empty((height, width, channels))
    for c in range(channels):
        fy, fx, phase = rng.uniform(0.01, 0.3), rng.uniform(0.01, 0.3), rng.uniform(0, 6)
        out[..., c] = 128 + 90 * np.sin(fy * y + fx * x + phase)
    for _ in range(4):
        cy, cx, r = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(3, 0.4 * min(height, width) + 4)
        out[(y - cy) ** 2 + (x - cx) ** 2 < r * r] = [rng.randrange(256) for _ in range(channels)]
    noise = np.random.default_rng(rng.randrange(1 << 30)).normal(0, 8, out.shape)
    return np.clip(out + noise, 0, 255).astype(np.uint8)


def posterise(pixels, levels):
    return (pixels[..., 0].astype(np.int64) * levels // 256).astype(np.uint8)


def colours(rng, n):
    return [tuple(rng.randrange(256) for _ in range(3)) for _ in range(n)]


def flat(table):
    return bytes(v for entry in table for v in entry)


def jpegs(rng, size):
    """name, bytes for JPEGs: colour spaces, subsampling, progressive, restarts, EXIF."""
    def save(image, **options):
        out = io.BytesIO()
        image.save(out, "JPEG", **options)
        return out.getvalue()

    for k in range(3):
        for sampling in (0, 1, 2):
            for progressive in (False, True):
                h, w = size()
                rgb = Image.fromarray(scene(rng, h, w))
                yield f"rgb_{sampling}_{'p' if progressive else 'b'}", save(
                    rgb, quality=rng.choice([30, 75, 90, 100]), subsampling=sampling, progressive=progressive)
        h, w = size()
        yield "grey", save(Image.fromarray(scene(rng, h, w, 1)[..., 0]), quality=85, progressive=bool(k % 2))
        h, w = size()
        cmyk = Image.fromarray(scene(rng, h, w, 4), "CMYK")
        yield "cmyk", save(cmyk, quality=90, progressive=bool(k % 2))
    for orientation in range(1, 9):
        h, w = size()
        exif = Image.Exif()
        exif[0x0112] = orientation
        exif[0x010F] = "maker"
        yield f"exif_{orientation}", save(Image.fromarray(scene(rng, h, w)), quality=88, exif=exif.tobytes())
    yield from odd_jpegs(rng, size)


def odd_jpegs(rng, size):
    """Samplings that Pillow does not write (4:1:1, 4:4:0, 4:1:0), YCCK and RGB: with cjpeg of libjpeg-turbo."""
    def cjpeg(pixels, *options):
        ppm = b"P6\n%d %d\n255\n" % (pixels.shape[1], pixels.shape[0]) + pixels.tobytes()
        return subprocess.run(["cjpeg", *options], input=ppm, stdout=subprocess.PIPE, check=True).stdout

    if subprocess.run(["sh", "-c", "command -v cjpeg"], stdout=subprocess.DEVNULL).returncode:
        print("cjpeg (libjpeg-turbo-progs) is not there: no JPEGs of unusual sampling", file=sys.stderr)
        return
    for name, options in {
        "411": ["-sample", "4x1,1x1,1x1"], "440": ["-sample", "1x2,1x1,1x1"], "410": ["-sample", "4x2,1x1,1x1"],
        "411_p": ["-progressive", "-sample", "4x1,1x1,1x1"], "440_p": ["-progressive", "-sample", "1x2,1x1,1x1"],
        "rgb_space": ["-rgb"], "restart": ["-restart", "3B"], "coarse": ["-quality", "40"],
        "optimised": ["-optimize"], "grey_440": ["-grayscale", "-sample", "2x2"],
        "chroma_larger": ["-sample", "1x1,2x2,2x2"], "mixed": ["-sample", "2x2,2x1,1x2"],
    }.items():
        h, w = size()
        yield name, cjpeg(scene(rng, h, w), *options)


def pngs(rng, size):
    for interlace in (0, 1):
        for kind, depths in ((0, (1, 2, 4, 8, 16)), (2, (8, 16)), (3, (1, 2, 4, 8)), (4, (8, 16)), (6, (8, 16))):
            for depth in depths:
                h, w = size()
                h, w = h // 2 + 1, w // 2 + 1  # written in plain Python
                pixels = scene(rng, h, w, 4).tolist()
                shift, n = max(8 - depth, 0), {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[kind]
                if depth == 16:
                    sample = lambda x, y: [v << 8 | v ^ x & 255 for v in pixels[y][x][:n]]
                else:
                    sample = lambda x, y: [v >> shift for v in pixels[y][x][:n]]
                extra = [(b"gAMA", (45455).to_bytes(4, "big"))] if rng.random() < 0.3 else []
                if kind == 3:
                    extra.append((b"PLTE", flat(colours(rng, 1 << depth))))
                    if interlace:
                        extra.append((b"tRNS", bytes(rng.randrange(256) for _ in range(1 << depth))))
                if kind in (0, 2) and rng.random() < 0.4:
                    extra.append((b"tRNS", bytes([0, 1]) * (1 if kind == 0 else 3)))
                yield f"{kind}_{depth}_{interlace}", write.png(w, h, depth, kind, sample, extra, interlace, (0, 1))
    h, w = 40, 53  # dark enough not to be cut at 255
    pixels = scene(rng, h, w, 1)[..., 0].tolist()
    yield "0_16_dark", write.png(w, h, 16, 0, lambda x, y: [pixels[y][x] + (x == y) * 9])
    for mode in ("RGB", "RGBA", "L", "LA", "P", "1", "I;16"):
        h, w = size()
        image = Image.fromarray(scene(rng, h, w))
        if mode == "I;16":
            image = Image.fromarray(scene(rng, h, w, 1)[..., 0].astype(np.uint16) * 2)
        else:
            image = image.convert(mode)
        out = io.BytesIO()
        image.save(out, "PNG")
        yield f"pillow_{mode}", out.getvalue()


def bmps(rng, size):
    def packed(values, bits):
        return b"".join(write.pack_bits(row.tolist(), bits) for row in values)

    for bits, header, top_down in ((1, 40, 0), (4, 40, 0), (8, 40, 0), (1, 12, 0), (4, 12, 0), (8, 12, 0), (8, 108, 0),
                                   (4, 124, 1), (8, 64, 0), (1, 40, 1)):
        h, w = size()
        table = colours(rng, 1 << bits)
        yield f"{bits}_{header}", write.bmp(w, h, bits, packed(posterise(scene(rng, h, w), 1 << bits), bits), table,
                                            header, bool(top_down))
    h, w = size()
    yield "8_few_colours", write.bmp(w, h, 8, posterise(scene(rng, h, w), 20).tobytes(), colours(rng, 20))
    for header, top_down in ((40, 0), (12, 0), (40, 1), (124, 0)):
        h, w = size()
        yield f"24_{header}", write.bmp(w, h, 24, scene(rng, h, w)[..., ::-1].tobytes(), (), header, bool(top_down))
    for header, masks in ((40, None), (40, (0xFF0000, 0xFF00, 0xFF)), (108, (0xFF0000, 0xFF00, 0xFF, 0xFF000000)),
                          (108, (0xFF, 0xFF00, 0xFF0000, 0xFF000000)), (124, (0xFF000000, 0xFF0000, 0xFF00, 0xFF)),
                          (124, (0xFF000000, 0xFF0000, 0xFF00, 0))):
        h, w = size()
        yield f"32_{header}", write.bmp(w, h, 32, scene(rng, h, w, 4).tobytes(), (), header, False, masks)
    for header, masks in ((40, None), (40, (0x7C00, 0x3E0, 0x1F)), (40, (0xF800, 0x7E0, 0x1F)),
                          (108, (0xF800, 0x7E0, 0x1F, 0)), (124, (0x7C00, 0x3E0, 0x1F, 0x8000))):
        h, w = size()
        yield f"16_{header}", write.bmp(w, h, 16, scene(rng, h, w, 2).tobytes(), (), header, False, masks)
    for four in (False, True):
        for _ in range(2):
            h, w = size()
            index = posterise(scene(rng, h, w), 16 if four else 200) // 3 * 3
            yield f"runs_{4 if four else 8}", write.bmp(
                w, h, 4 if four else 8, write.bmp_runs(w, h, index.tobytes(), four, jump=RECENT),
                colours(rng, 16 if four else 256), runs=4 if four else 8)


def gifs(rng, size):
    for k in range(8):
        h, w = size()
        bits = rng.choice([1, 2, 4, 7, 8])
        fh, fw = (h, w) if k % 2 == 0 else (max(1, h // 2), max(1, w // 3))
        index = posterise(scene(rng, fh, fw), 1 << bits).tobytes()
        frame = (0 if k % 2 == 0 else (w - fw) // 2, 0 if k % 2 == 0 else h - fh, fw, fh)
        table = flat(colours(rng, 1 << bits))
        local = flat(colours(rng, 1 << bits)) if k in (2, 3, 6) else None
        clear = rng.randrange(1 << bits) if k in (1, 2, 4, 5) else None
        yield f"{k}_{bits}", write.gif(w, h, frame, index, table if k != 6 else None, local, clear, k in (0, 5, 7), 1,
                                       plain=k == 4)
    h, w = size()
    yield "no_table", write.gif(w, h, (0, 0, w, h), posterise(scene(rng, h, w), 256).tobytes(), None)
    for keep in (False, True):  # noise fills the table of codes
        h, w = 150, 140
        yield f"full_{keep}", write.gif(w, h, (0, 0, w, h), bytes(rng.randrange(200) for _ in range(h * w)),
                                        flat(colours(rng, 256)), keep=keep)
    yield "beyond", write.gif(20, 20, (7, 9, w, h), posterise(scene(rng, h, w), 4).tobytes(), flat(colours(rng, 4)))
    for mode in ("P", "L", "1"):
        h, w = size()
        image, out = Image.fromarray(scene(rng, h, w)).convert(mode), io.BytesIO()
        if mode == "P":
            image.save(out, "GIF", save_all=True, append_images=[image.rotate(90), image.rotate(180)], transparency=3)
        else:
            image.save(out, "GIF")
        yield f"pillow_{mode}", out.getvalue()


def pnms(rng, size):
    for kind, most in ((1, 1), (2, 255), (3, 255), (4, 1), (5, 255), (6, 255), (2, 15), (3, 1000), (5, 100), (6, 31),
                       (5, 65535), (5, 300), (6, 65535), (6, 1023), (2, 4095), (4, 1)):
        h, w = size()
        pixels = scene(rng, h, w, 3 if kind in (3, 6) else 1).astype(np.int64)
        samples = (pixels * (most + 1) // 256).reshape(-1)
        if most in (65535, 300, 4095) and kind in (2, 5):
            samples = samples // (most // 400 + 1)  # some below 255
        yield f"{kind}_{most}", write.pnm(kind, w, h, samples.tolist(), most, b"# made up\n" if most % 2 else b"")


def tgas(rng, size):
    for packed in (False, True):
        for kind, bits in ((3, 8), (3, 16), (2, 16), (2, 24), (2, 32), (1, 8), (1, 8), (1, 8)):
            for corner in (0x20, 0x00) if bits in (8, 24) else (0x20,):
                if packed and kind == 3 and bits == 16:
                    continue  # Pillow has no such decoder
                h, w = size()
                pixels = scene(rng, h, w, max(1, bits // 8))
                if packed:
                    pixels = pixels // 32 * 32
                map_bits, table, first = 0, b"", 0
                if kind == 1:
                    map_bits, first = rng.choice([(24, 0), (24, 10)] + ([(16, 0), (32, 0)] if RECENT else []))
                    pixels = posterise(pixels, 100) + first
                    table = bytes(rng.randrange(256) for _ in range(100 * map_bits // 8))
                yield f"{kind}_{bits}_{packed}", write.tga(w, h, kind, bits, pixels.tobytes(), table, map_bits, first,
                                                          packed, corner, b"a note" if corner else b"")
    for corner in (0x10, 0x30):
        h, w = size()
        yield f"right_{corner}", write.tga(w, h, 2, 24, scene(rng, h, w).tobytes(), corner=corner)


def psds(rng, size):
    for packed in (False, True):
        for mode, n in ((3, 3), (3, 4), (3, 5), (1, 1), (1, 2), (2, 1), (8, 1)):
            if packed and n in (2, 5):
                continue  # Pillow takes the lengths of rows of further channels for pixels
            h, w = size()
            pixels = scene(rng, h, w, n)
            if packed:
                pixels = pixels // 32 * 32
            table = bytes(rng.randrange(256) for _ in range(768)) if mode == 2 else b""
            planes = [pixels[..., c].tobytes() for c in range(n)]
            yield f"{mode}_{n}_{packed}", write.psd(w, h, mode, planes, packed, table)


def generate(rng, count):
    """name, bytes of `count` images: all kinds, then JPEGs and PNGs again in other sizes."""
    size = lambda: (rng.randrange(30, 190), rng.randrange(30, 190))
    suffix = {jpegs: "jpg", pngs: "png", bmps: "bmp", gifs: "gif", pnms: "ppm", tgas: "tga", psds: "psd"}
    made = []
    while len(made) < count:
        for kind, end in suffix.items():
            made += [(f"{end}_{name}.{end}", data) for name, data in kind(rng, size)]
        suffix = {jpegs: "jpg", pngs: "png"}
    return made[:count]


def evaluate(image, side, crop_pct, interpolation):
    """timm's evaluation transform of a PIL image: the cropped RGB8 and the normalised float32."""
    how = {"bicubic": Image.BICUBIC, "bilinear": Image.BILINEAR}[interpolation]
    size, (w, h) = math.floor(side / crop_pct), image.size
    short, long = min(w, h), max(w, h)
    new = (size, int(size * long / short))
    new = new if w <= h else new[::-1]
    if new != (w, h):
        image = image.resize(new, how)
    top, left = int(round((image.size[1] - side) / 2.0)), int(round((image.size[0] - side) / 2.0))
    cropped = np.asarray(image.crop((left, top, left + side, top + side)))
    return cropped, (cropped.astype(np.float32) / np.float32(255) - MEAN) / STD


def run_fovea(program, setting, turn, folder, paths):
    side, crop_pct, interpolation = setting
    done = subprocess.run([program, str(side), repr(crop_pct), interpolation, str(int(turn)), folder, *paths],
                          stdout=subprocess.PIPE, check=True, text=True)
    return done.stdout.splitlines()


def differing(folder, k, part, expected):
    with open(os.path.join(folder, f"{k}.{part}"), "rb") as f:
        found = np.frombuffer(f.read(), np.uint8)
    expected = np.frombuffer(np.ascontiguousarray(expected).tobytes(), np.uint8)
    if found.size != expected.size:
        return expected.size
    return int((found != expected).sum())


def compare(program, setting, turn, files, folder, totals):
    lines = run_fovea(program, setting, turn, folder, [path for path, _ in files])
    for k, ((path, data), line) in enumerate(zip(files, lines)):
        name = os.path.basename(path)
        image = Image.open(io.BytesIO(data))
        image = (ImageOps.exif_transpose(image) if turn else image).convert("RGB")
        if line.startswith("error"):
            totals["failed"] += 1
            print(f"{name}: {line}")
            continue
        cropped, values = evaluate(image, *setting)
        for part, expected in (("decoded", np.asarray(image)), ("cropped", cropped), ("input", values)):
            n = differing(folder, k, part, expected)
            totals["bytes"] += expected.nbytes
            totals["differing"] += n
            if n:
                print(f"{name}{' turned' if turn else ''}, {setting}: {n} of {expected.nbytes} bytes of {part} differ")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pixels", required=True, help="the program fovea-pixels")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", help="folder for the images (created)")
    args = parser.parse_args()
    totals = {"bytes": 0, "differing": 0, "failed": 0}
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.save or os.path.join(scratch, "images")
        os.makedirs(folder, exist_ok=True)
        files, kinds = [], {}
        for i, (name, data) in enumerate(generate(random.Random(args.seed), args.count)):
            kinds[name.split("_")[0]] = kinds.get(name.split("_")[0], 0) + 1
            path = os.path.join(folder, f"{i:03d}_{name.replace(';', '')}")
            with open(path, "wb") as f:
                f.write(data)
            files.append((path, data))
        for s, setting in enumerate(SETTINGS):
            compare(args.pixels, setting, False, files[s::len(SETTINGS)], scratch, totals)
        turned = [f for f in files if "exif" in f[0]]
        compare(args.pixels, SETTINGS[0], True, turned, scratch, totals)
    print(f"{len(files)} images ({', '.join(f'{n} {k}' for k, n in kinds.items())}), {len(turned)} again turned; "
          f"Pillow {Image.__version__}")
    print(f"{totals['differing']} of {totals['bytes']} bytes differ, {totals['failed']} images not read")
    return 1 if totals["differing"] or totals["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
