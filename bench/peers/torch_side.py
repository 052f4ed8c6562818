#!/usr/bin/env python3
"""A turn of PyTorch: training steps on one noise batch in memory, printed as a line of JSON.

    python bench/peers/torch_side.py --model davit_tiny --batch 8 --mode compile --precision f32 --threads 2

needs torch and timm; BiFormer is not part of timm, --biformer names a checkout of its authors' repository
(github.com/rayleizhu/BiFormer), which needs einops too.  torchvision and fairscale, which are imported but not
used here, are replaced by empty classes when they are not installed.
"""

import argparse
import importlib
import json
import os
import platform
import resource
import statistics
import sys
import time

from stubs import stub_missing

MODES = ["eager", "compile"]


def biformer(folder, name):
    """A model of the authors' code; timm 0.6, which it was written for, had its layers elsewhere."""
    stub_missing("fairscale")
    sys.modules["timm.models.layers"] = importlib.import_module("timm.layers")
    sys.path.insert(0, os.path.abspath(folder))
    return getattr(importlib.import_module("models.biformer"), name)()


def create(options):
    """The model, and the size of its images."""
    import timm

    if options.model.startswith("biformer"):
        return biformer(options.biformer, options.model), (3, 224, 224)
    kwargs = json.loads(options.kwargs)
    model = timm.create_model(options.model, pretrained=False, **kwargs)
    side = kwargs.get("img_size")
    return model, (3, side, side) if side else model.default_cfg["input_size"]


def train(options):
    """Forward, backward and AdamW, again and again: images per second and the largest resident size."""
    import torch

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    model, size = create(options)
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.05)
    forward = torch.compile(model) if options.mode == "compile" else model
    loss = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
    images = torch.rand(options.batch, *size) * 4 - 2
    labels = torch.arange(options.batch) % model.num_classes
    seconds = []
    warmup, begin = options.warmup, time.perf_counter()
    for i in range(options.warmup + options.steps):
        start = time.perf_counter()
        if start - begin > options.budget:
            if seconds:
                break
            warmup = min(warmup, i)
        with torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bf16"):
            value = loss(forward(images), labels)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        if i >= warmup:
            seconds.append(time.perf_counter() - start)
    return {"images_per_second": options.batch / statistics.median(seconds),
            "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def versions():
    import timm
    import torch

    return {"torch": torch.__version__, "timm": timm.__version__, "python": platform.python_version()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model")
    parser.add_argument("--kwargs", default="{}", help="arguments of the model as JSON")
    parser.add_argument("--biformer", metavar="DIR", help="checkout of the authors' repository")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--mode", choices=MODES, default="eager")
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--budget", type=float, default=60,
                        help="seconds behind which a step that counts is the last")
    parser.add_argument("--versions", action="store_true", help="print these instead")
    options = parser.parse_args()
    stub_missing("torchvision")
    print(json.dumps(versions() if options.versions else train(options)))


if __name__ == "__main__":
    main()
