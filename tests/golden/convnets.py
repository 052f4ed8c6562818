#!/usr/bin/env python3
"""Writes model_<name>.safetensors for the networks that only timm has numbers for.

Made with timm 1.0.31 on PyTorch 2.13.0, in float64:  python3 convnets.py FOLDER
Parameters and images come from the generator of tests/support/generator.h; running statistics are
those of other images, with variances of at least 0.1.
"""
import json
import sys

import numpy as np
import timm
import torch
from safetensors.numpy import save_file

MODELS = [("resnet26t", 64), ("resnet50", 64), ("sehalonet33ts", 256), ("eca_halonext26ts", 256)]
CLASSES = 10
LABELS = [3, 7]
BYOB = ["stem", "stages.0", "stages.1", "stages.2", "stages.3"]
RESNET = ["stem", "layer1", "layer2", "layer3", "layer4"]


def uniform(name, n):
    h = 0xCBF29CE484222325
    for b in name.encode():
        h = ((h ^ b) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    with np.errstate(over="ignore"):
        z = np.uint64(h) + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float64) * 2.0**-23 - 1.0


def value(name, shape):
    last = name.rsplit(".", 1)[-1]
    u = uniform(name, int(np.prod(shape)) if shape else 1).reshape(shape)
    if last == "num_batches_tracked":
        return np.zeros(shape)
    if last == "running_mean":
        return 0.1 * u
    if last == "running_var":
        return 1 + 0.1 * u
    if len(shape) >= 2:
        u = u * np.sqrt(3 / np.prod(shape[1:]))
        if len(shape) == 4 and shape[1] == 1:
            u = u * 0.4
        return u * 2.0 if name.endswith(".self_attn.q.weight") else u
    return 1 + 0.1 * u if len(shape) == 1 and last == "weight" else 0.02 * u


def images(name, n, side):
    coarse = -(-side // 16)
    fine = uniform(name, n * 3 * side * side).reshape(n, 3, side, side)
    blocks = uniform(name + ".coarse", n * 3 * coarse * coarse).reshape(n, 3, coarse, coarse)
    blocks = blocks.repeat(16, 2).repeat(16, 3)[:, :, :side, :side]
    return torch.from_numpy((0.6 * fine + 1.0 * blocks).astype(np.float32).astype(np.float64))


def f32(x):
    return np.asarray(x, dtype=np.float32)


def settle(model, side):
    """Running statistics of one batch of other images."""
    norms = [m for m in model.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    for m in norms:
        m.momentum = 1.0
    model.train()
    with torch.no_grad():
        model(images("settle", 4, side))
    for m in norms:
        m.running_var.clamp_(min=0.1)
        m.running_mean.copy_(m.running_mean.float().double())
        m.running_var.copy_(m.running_var.float().double())
    model.eval()


def run(name, side, folder):
    model = timm.create_model(name, num_classes=CLASSES)
    state = {k: torch.from_numpy(f32(value(k, tuple(v.shape)))) for k, v in model.state_dict().items()}
    model.load_state_dict(state)
    model = model.double()
    settle(model, side)
    out, kept = {"labels": np.array(LABELS, dtype=np.int32)}, {}
    for k, v in model.named_buffers():
        if not k.endswith("num_batches_tracked"):
            out["buffer." + k] = f32(v)
    plain = name.startswith("resnet")
    features = RESNET if plain else BYOB
    for k, f in enumerate(features):
        module = model.get_submodule("maxpool" if plain and f == "stem" else f)
        module.register_forward_hook(lambda m, i, o, k=k: kept.__setitem__(k, o.detach()))
    classifier = model.get_classifier()
    classifier.register_forward_hook(lambda m, i, o: kept.__setitem__("pre", i[0].detach()))
    x = images("input", len(LABELS), side).requires_grad_()
    logits = model(x)
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(LABELS))
    loss.backward()
    out["logits"], out["loss"] = f32(logits.detach()), f32(loss.detach())
    out["pre_logits"] = f32(kept["pre"])
    for k in range(len(features)):
        y = kept[k].flatten().numpy()
        out[f"feature.{k}.shape"] = np.array(kept[k].shape, dtype=np.int32)
        out[f"feature.{k}.mean"], out[f"feature.{k}.std"] = f32(y.mean()), f32(y.std())
        out[f"feature.{k}.sample"] = f32(y[:: max(1, y.size // 64)][:64])
    for k, v in [("input", x), *model.named_parameters()]:
        g = v.grad.flatten().numpy()
        out["grad_norm." + k] = f32(np.sqrt((g * g).sum()))
        out["grad_sample." + k] = f32(g[:: max(1, g.size // 8)][:8])
    save_file({k: np.ascontiguousarray(v) for k, v in out.items()}, f"{folder}/model_{name}.safetensors", {
        "model": name, "salt": "", "num_classes": str(CLASSES), "mode": "eval",
        "input_shape": json.dumps(list(x.shape)), "features": json.dumps(features),
        "parameters": str(sum(p.numel() for p in model.parameters())),
        "made_by": f"convnets.py, timm {timm.__version__}, torch {torch.__version__}"})


for model_name, size in MODELS:
    run(model_name, size, sys.argv[1])
