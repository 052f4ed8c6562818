#!/usr/bin/env python3
"""Makes 1000 corrupted images of the files of pixels.py --save, and runs `fovea data verify` over them.

    python3 tests/peers/corrupt.py --images FOLDER --fovea build-dev/fovea [--out FOLDER]

With a build under AddressSanitizer and UndefinedBehaviorSanitizer (preset dev) this shows that no damage leads
to more than an ordinary error: exit 2 if the program was stopped or a sanitizer spoke.  A third of the
files is cut short, a third has up to 20 flipped bits, a third up to 8 bytes of the first 64 replaced.
"""
import argparse
import os
import random
import subprocess
import sys
import tempfile
import time


def corrupt(rng, data, how):
    data = bytearray(data)
    if how == 0:
        return data[:rng.randrange(len(data))]
    if how == 1:
        for _ in range(rng.randrange(1, 21)):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    else:
        for _ in range(rng.randrange(1, 9)):
            data[rng.randrange(min(64, len(data)))] = rng.choice([0, 1, 127, 128, 255, rng.randrange(256)])
    return data


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", required=True)
    parser.add_argument("--fovea", required=True)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", help="keep the corrupted files there")
    args = parser.parse_args()
    rng = random.Random(args.seed)
    names = sorted(os.listdir(args.images))
    with tempfile.TemporaryDirectory() as scratch:
        root = args.out or scratch
        folder = os.path.join(root, "corrupt")
        os.makedirs(folder, exist_ok=True)
        for i in range(args.count):
            name = names[i % len(names)]
            with open(os.path.join(args.images, name), "rb") as f:
                data = corrupt(rng, f.read(), i % 3)
            with open(os.path.join(folder, f"{i:04d}_{name}"), "wb") as f:
                f.write(data)
        begin = time.time()
        done = subprocess.run([args.fovea, "data", "verify", root], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, env={**os.environ, "ASAN_OPTIONS": "exitcode=99"}, errors="replace")
        seconds = time.time() - begin
    text = done.stdout + done.stderr
    clean = done.returncode in (0, 1) and "Sanitizer" not in text and "runtime error" not in text
    print("\n".join(text.splitlines()[-6:] if clean else text.splitlines()))
    verdict = "clean" if clean else "NOT CLEAN"
    print(f"{args.count} corrupted images in {seconds:.1f} s, exit {done.returncode}: {verdict}")
    return 0 if clean else 2


if __name__ == "__main__":
    sys.exit(main())
