#!/usr/bin/env python3
"""Speed and memory of training steps: fovea beside PyTorch and timm.

    python bench/peers/train.py --fovea build/fovea [--precision bf16] [--rows vit_tiny_patch16_224:32 ...]

needs torch and timm (torchvision is replaced by empty classes when it is not installed).  A step is forward,
backward and AdamW on one noise batch in memory, on the same number of threads.  Both sides take turns, each
turn a process of its own; PyTorch runs in every mode (eager, torch.compile; bf16: under autocast), and its best
one counts.  Printed are medians over the rounds; mfu is fovea's share of the GEMM peak of its own runs, memory
the largest resident size of a process, for PyTorch in its fastest mode.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

from stubs import stub_missing

ROWS = ["vit_tiny_patch16_224:32", "vit_small_patch16_224:32", "davit_tiny:8", "halonet26t:8"]
MODES = ["eager", "compile"]


def torch_turn(name, batch, mode, precision, threads, warmup, steps):
    """Trains in this process and prints the result as JSON."""
    stub_missing("torchvision")
    import timm
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = timm.create_model(name, pretrained=False).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.05)
    forward = torch.compile(model) if mode == "compile" else model
    loss = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
    size = model.default_cfg["input_size"] if "input_size" in model.default_cfg else (3, 224, 224)
    images = torch.rand(batch, *size) * 4 - 2
    labels = torch.arange(batch) % 1000
    seconds = []
    for i in range(warmup + steps):
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            value = loss(forward(images), labels)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        if i >= warmup:
            seconds.append(time.perf_counter() - start)
    print(json.dumps({
        "images_per_second": batch / statistics.median(seconds),
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "versions": f"torch {torch.__version__}, timm {timm.__version__}",
    }))


def run(command):
    """The JSON that a command prints, or None with its last words on stderr."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        print(f"{' '.join(command)}: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return None
    return json.loads(done.stdout[done.stdout.index("{"):])


def measure(args, name, batch):
    """Rounds of turns; fovea's results, and those of each mode of PyTorch that works."""
    common = [f"--threads={args.threads}", f"--warmup={args.warmup}", f"--steps={args.steps}",
              f"--precision={args.precision}"]
    results = {"fovea": []} | {mode: [] for mode in MODES}
    for _ in range(args.rounds):
        results["fovea"].append(run([args.fovea, "bench", "train", f"--model={name}", f"--batch-size={batch}",
                                     "--json", *common]))
        for mode in MODES:
            results[mode].append(run([sys.executable, __file__, f"--torch={name}:{batch}", f"--mode={mode}", *common]))
    return {side: [r for r in turns if r] for side, turns in results.items()}


def median(turns, key):
    return statistics.median(r[key] for r in turns) if turns else 0.0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fovea", default="build/fovea")
    parser.add_argument("--rows", nargs="+", default=ROWS, metavar="MODEL:BATCH")
    parser.add_argument("--precision", default="f32", choices=["f32", "bf16"])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--torch", metavar="MODEL:BATCH", help=argparse.SUPPRESS)
    parser.add_argument("--mode", choices=MODES, help=argparse.SUPPRESS)
    args = parser.parse_args()

    if args.torch:
        name, batch = args.torch.split(":")
        torch_turn(name, int(batch), args.mode, args.precision, args.threads, args.warmup, args.steps)
        return
    print("| model | batch | fovea img/s (spread) | mfu | PyTorch img/s | its mode | ratio | memory MB | PyTorch | ratio |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    versions = ""
    for row in args.rows:
        name, batch = row.split(":")
        turns = measure(args, name, batch)
        own = [r["images_per_second"] for r in turns["fovea"]]
        best = max(MODES, key=lambda mode: median(turns[mode], "images_per_second"))
        if not own or not turns[best]:
            continue
        versions = turns[best][0]["versions"]
        speed, peer = median(turns["fovea"], "images_per_second"), median(turns[best], "images_per_second")
        memory, theirs = median(turns["fovea"], "peak_rss_mb"), median(turns[best], "peak_rss_mb")
        print(f"| {name} | {batch} | {speed:.1f} ({min(own):.1f}..{max(own):.1f}) | {median(turns['fovea'], 'mfu'):.2f} "
              f"| {peer:.1f} | {best} | {speed / peer:.2f} | {memory:.0f} | {theirs:.0f} | {memory / theirs:.2f} |", flush=True)
    print(f"\n{versions}, {args.precision}, {args.threads} threads, {args.rounds} rounds of {args.steps} steps")


if __name__ == "__main__":
    main()
