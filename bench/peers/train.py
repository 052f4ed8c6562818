#!/usr/bin/env python3
"""The speed targets of training on this machine, as Markdown: fovea beside PyTorch and timm.

    python bench/peers/train.py --fovea build/fovea --data-dir DIR --biformer DIR > targets.md

needs torch and timm, in this Python or in that of --python; without them fovea is measured alone.  Both sides take
turns, each turn a process of its own on the same number of threads; PyTorch runs in every mode (eager,
torch.compile; bf16: under autocast), and its best one counts.  Printed are medians over the rounds and, in
parentheses, their spread or the target.  A step is forward, backward and AdamW.

--data-dir is an image folder or Tiny-ImageNet (otherwise synthetic images are made), --biformer a checkout of
github.com/rayleizhu/BiFormer.  Nothing else should run meanwhile.  --only train,startup prints some of the
sections; --quick shows in a few minutes that everything works, but its numbers say little.
"""

import argparse
import os
import pathlib
import platform
import shutil
import sys
import tempfile

import sections
from torch_side import MODES
from turns import Machine, Table

CONFIG = pathlib.Path(__file__).parents[2] / "configs" / "tiny_imagenet_vit.yaml"


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fovea", default="build/fovea")
    parser.add_argument("--python", default=sys.executable, help="the one that has torch and timm")
    parser.add_argument("--modes", nargs="*", default=MODES, choices=MODES, help="of PyTorch; none: fovea alone")
    parser.add_argument("--data-dir", metavar="DIR", help="images to train on")
    parser.add_argument("--biformer", metavar="DIR", help="checkout of its authors' repository")
    parser.add_argument("--config", default=str(CONFIG), help="of the 64 px ViT")
    parser.add_argument("--only", default=",".join(sections.ALL), help="sections, separated by commas")
    parser.add_argument("--rows", nargs="+", default=list(sections.ROWS), metavar="MODEL:BATCH", help="of the section train")
    parser.add_argument("--precision", choices=["f32", "bf16"], help="all that the CPU has products in unless given")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a round of few steps")
    options = parser.parse_args()
    options.fovea = shutil.which(options.fovea) or parser.error(f"no {options.fovea}: build it, or name it by --fovea")
    options.only = options.only.split(",")
    for name in set(options.only) - set(sections.ALL):
        parser.error(f"no section {name}: there are {', '.join(sections.ALL)}")
    options.span = (10, 60)  # updates of the short and of the long run of fovea train
    if options.quick:
        options.rounds, options.warmup, options.steps, options.span = 1, 1, 1, (1, 3)
    return options


def describe(machine):
    info, peer, options = machine.info, machine.versions, machine.options
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = [f"fovea {info['version']} ({info['compiler']})", info["backend"]]
    if peer:
        versions += [f"torch {peer['torch']}", f"timm {peer['timm']}", f"Python {peer['python']}"]
    else:
        versions.append("no PyTorch")
    print("# Speed targets\n")
    print(f"- machine: {info['cpu']}, {info['isa']}, {info['threads_available']} cores, {memory:.0f} GiB, "
          f"{platform.system()} {platform.machine()}, load {os.getloadavg()[0]:.1f} at the start")
    print(f"- versions: {', '.join(versions)}")
    print(f"- measured: {options.threads} threads, {options.rounds} rounds of {options.steps} steps behind "
          f"{options.warmup}, {' and '.join(machine.precisions)}")
    if not info["bf16_dot_products"]:
        print("- bf16: this CPU has no products in it; measured with --precision bf16 only, without targets")


def main():
    options = parse()
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(options, folder)
        describe(machine)
        for name in options.only:
            sections.ALL[name](machine)
    print(f"\n{Table.met} targets met, {Table.missed} missed, {Table.unknown} not measured")


if __name__ == "__main__":
    main()
