"""The sections of train.py: each measures something and prints a table."""

import hashlib
import os
import statistics
import time

from torch_side import MODES
from turns import Table, at_least, at_most, median, number, ratio, run, run_json, spread

# Model and batch; the share of the GEMM peak to reach.
ROWS = {"vit_tiny_patch16_224:32": {"f32": 0.75, "bf16": 0.68},
        "vit_small_patch16_224:32": {"f32": 0.80, "bf16": 0.75},
        "davit_tiny:8": {"f32": 0.60, "bf16": 0.50},
        "halonet26t:8": {"f32": 0.60, "bf16": 0.50},
        "biformer_tiny:8": {"f32": 0.60, "bf16": 0.50}}
MEMORY_RATIO = 0.6

# configs/tiny_imagenet_vit.yaml in timm's names.
TINY_VIT = {"img_size": 64, "patch_size": 8, "embed_dim": 192, "depth": 6, "num_heads": 3, "drop_path_rate": 0.05}
TINY_BATCH = 128
TINY_RATE = {"bf16": 500}

# Model, batch and precision, f32 where the CPU lacks the other.
OUTSIDE = [("vit_tiny_patch16_224", 32, "bf16"), ("davit_tiny", 8, "f32")]
COUNTS = (8, 16, 32, 64)


def best_mode(results):
    """The fastest mode of PyTorch and its turns; "–" without any."""
    mode = max((m for m in MODES if results.get(m)), key=lambda m: median(results[m]), default="–")
    return mode, results.get(mode, [])


def train(machine):
    """Updates on a batch in memory."""
    table = Table("Training steps",
                  "A noise batch in memory. mfu: the share of the rate of a large matrix product, measured between the "
                  "steps. Memory: the largest resident size of a process, PyTorch's in its fastest mode.",
                  "model", "batch", "precision", "fovea, images/s", "mfu (target)", "PyTorch, images/s", "mode",
                  "fovea / PyTorch", "fovea, MB", "PyTorch, MB", "fovea / PyTorch (target)")
    for precision in machine.precisions:
        for row in machine.options.rows:
            model, batch = row.split(":")
            results = machine.rounds({"fovea": lambda: machine.bench(model, batch, precision),
                                      **machine.peer_turns(model, batch, precision)})
            own, (mode, peer) = results["fovea"], best_mode(results)
            absent = model.startswith("biformer") and not machine.options.biformer
            memory, theirs = median(own, "peak_rss_mb"), median(peer, "peak_rss_mb")
            table.row(f"`{model}`", batch, precision, spread(own),
                      at_least(median(own, "mfu"), machine.target(ROWS.get(row, {}), precision)),
                      "not in timm: --biformer" if absent else spread(peer), mode,
                      number(ratio(median(own), median(peer))), number(memory, 0), number(theirs, 0),
                      at_most(ratio(memory, theirs), MEMORY_RATIO))


def loader(machine):
    """The 64 px ViT with its loader."""
    short, long = machine.options.span
    table = Table("With the loader",
                  f"`{os.path.basename(machine.options.config)}`, batch {TINY_BATCH}: `fovea train` of {long} updates "
                  f"less one of {short}, images read, decoded and augmented. PyTorch trains timm's model of the same "
                  "arguments on a batch in memory.",
                  "images", "precision", "fovea, images/s (target)", "spread", "at the GEMM peak",
                  "PyTorch without a loader, images/s", "mode", "fovea / PyTorch")
    what = [f"--config={machine.options.config}", f"--batch-size={TINY_BATCH}"]
    of_config = {"config": machine.options.config, "data-dir": machine.images()}
    for precision in machine.precisions:
        kwargs = {**TINY_VIT, "num_classes": machine.classes()}
        results = machine.rounds({"fovea": lambda: machine.train_rate(what, TINY_BATCH, precision),
                                  "bench": lambda: machine.bench(None, TINY_BATCH, precision, **of_config),
                                  **machine.peer_turns("vit_tiny_patch16_224", TINY_BATCH, precision, kwargs)})
        own, (mode, peer) = results["fovea"], best_mode(results)
        bench = results["bench"]
        limit = ratio(median(bench, "gemm_peak_gflops"), median(bench, "model_gflops_per_image"))
        table.row("--data-dir" if machine.options.data_dir else "synthetic", precision,
                  at_least(median(own), machine.target(TINY_RATE, precision), 0), spread(own), number(limit, 0),
                  spread(peer), mode, number(ratio(median(own), median(peer))))


def outside(machine):
    """fovea bench train against the wall time of fovea train."""
    short, long = machine.options.span
    table = Table("Checked from outside",
                  f"`fovea train` of {long} updates less one of {short} by the wall clock, its loader included, and "
                  f"`fovea bench train` of {long - short} in turns.",
                  "model", "batch", "precision", "bench train, images/s", "train, images/s", "difference in % (target)")
    for model, batch, wanted in OUTSIDE:
        precision = wanted if wanted in machine.precisions else machine.precisions[-1]
        classes = machine.classes()
        results = machine.rounds(
            {"bench": lambda: machine.bench(model, batch, precision, **{"num-classes": classes, "steps": long - short}),
             "train": lambda: machine.train_rate([f"--model={model}", f"--batch-size={batch}"], batch, precision)})
        bench, train_ = results["bench"], results["train"]
        apart = ratio(median(train_), median(bench))
        table.row(f"`{model}`", batch, precision, spread(bench), spread(train_),
                  at_most(apart and 100 * abs(apart - 1), 5, 1))


def weights(machine, precision, threads):
    """SHA-256 of the weights after three updates, None when the run failed."""
    what = [f"--config={machine.options.config}", f"--batch-size={TINY_BATCH}"]
    seconds, out = machine.train(what, 3, precision, threads)
    if seconds is None:
        return None
    return hashlib.sha256((out / "last" / "model.safetensors").read_bytes()).hexdigest()


def threads(machine):
    """One thread and two: speed and bits."""
    table = Table("From one thread to two",
                  "`fovea bench train` in turns, and the weights that three updates of `fovea train` give (the 64 px "
                  "ViT, SHA-256).",
                  "model", "batch", "precision", "1 thread, images/s", "2 threads, images/s", "ratio (target)",
                  "equal bits")
    if machine.info["threads_available"] < 2:
        table.row("this machine has one core", *[""] * 6)
        return
    model, batch = "vit_tiny_patch16_224", 32
    for precision in machine.precisions:
        results = machine.rounds({n: lambda n=n: machine.bench(model, batch, precision, n) for n in (1, 2)})
        hashes = {weights(machine, precision, n) for n in (1, 2)}
        equal = None not in hashes and len(hashes) == 1
        Table.met += equal
        Table.missed += not equal
        table.row(f"`{model}`", batch, precision, spread(results[1]), spread(results[2]),
                  at_least(ratio(median(results[2]), median(results[1])), 1.9),
                  f"yes: {hashes.pop()[:16]}" if equal else "**no**")


def cores(machine):
    """Many cores, by calculation."""
    for precision in machine.precisions:
        simulate(machine, "vit_tiny_patch16_224", 64, precision)


def simulate(machine, model, batch, precision):
    words = {"model": model, "batch-size": batch, "threads": 1, "simulate-threads": COUNTS[-1], "precision": precision,
             "warmup": machine.options.warmup, "steps": machine.options.steps}
    result = run_json([machine.options.fovea, "bench", "ops", "--json", *(f"--{k}={v}" for k, v in words.items())])
    table = Table("Many cores, by calculation",
                  f"`fovea bench ops --threads 1`, `{model}`, batch {batch}, {precision}: a parallel region "
                  "takes max(work / N, longest task).", "cores", "speed-up of a step", "efficiency")
    if not result:
        return
    for row in result["simulated"]:
        if row["threads"] in COUNTS:
            table.row(row["threads"], number(row["speedup"], 1), number(row["efficiency"]))
    table = Table(f"Ops below 0.8 on {COUNTS[-1]} cores", "The share is of the step on one core.",
                  "op", "pass", "share, %", "efficiency")
    for op in result["ops"]:
        if op["efficiency"] < 0.8 and op["share"] >= 0.0005:
            table.row(op["op"], op["pass"], number(100 * op["share"], 1), number(op["efficiency"]))


def startup(machine):
    """The time of a command that does next to nothing."""
    runs = 5 if machine.options.quick else 20
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        run([machine.options.fovea, "info"])
        seconds.append(time.perf_counter() - start)
    table = Table("Start", f"`fovea info`, {runs} runs by the wall clock.", "median, ms (target)", "spread")
    ms = [1e3 * s for s in seconds]
    table.row(at_most(statistics.median(ms), 50, 1), f"{min(ms):.1f}..{max(ms):.1f}")


def memory(machine):
    """A large model under a limit."""
    table = Table("Under a memory limit", "`fovea bench train --mem-limit 8G`: the largest resident size.",
                  "model", "batch", "precision", "GiB (target)", "images/s")
    model, batch = "vit_base_patch16_224", 32
    if "--mem-limit" not in (run([machine.options.fovea, "bench", "--help"]) or ""):
        table.row(f"`{model}`", batch, "–", "skipped: this fovea has no --mem-limit", "–")
        return
    result = machine.bench(model, batch, "f32", **{"mem-limit": "8G", "warmup": 1, "steps": 1})
    turns = [result] if result else []
    gib = ratio(median(turns, "peak_rss_mb"), 1024)
    table.row(f"`{model}`", batch, "f32", at_most(gib, 8), number(median(turns), 1))


ALL = {function.__name__: function for function in (train, loader, outside, threads, cores, startup, memory)}
