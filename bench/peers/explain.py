#!/usr/bin/env python3
"""Time per image of explanation methods: fovea beside Captum, pytorch-grad-cam, zennit and LXT.

    python bench/peers/explain.py --fovea build/fovea --model vit_small_patch16_224

needs torch, timm, captum, grad-cam, zennit and lxt.  Both sides explain one noise image with a model of
initial weights, in f32, on the same number of threads; they take turns, and medians are printed.  Rows
without a peer have no counterpart in these packages.  torchvision, which some of them
import but none uses here, is replaced by empty classes when it is not installed, and so are the language
models of lxt.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
import warnings

from stubs import StubFinder, stub_missing

BATCH = 8  # images of one pass, for methods of many passes; fovea's default

# Methods and whether they take so long that one run behind one warm-up is enough.
METHODS = {
    "lrp:attnlrp": False,
    "lrp:attnlrp_gamma": False,
    "lrp:epsilon_plus_flat": False,
    "sr": False,
    "gradient": False,
    "gradient_x_input": False,
    "smoothgrad": True,
    "integrated_gradients": True,
    "gradcam": False,
    "hirescam": False,
    "layercam": False,
    "normgrad": False,
    "rollout": False,
    "gradient_rollout": False,
    "attention_gradcam": False,
    "attention_lrp": False,
    "occlusion": True,
    "rise:masks=100": True,
}


class Peers:
    def __init__(self, name, threads):
        sys.meta_path.insert(0, StubFinder("lxt.efficient.models"))
        stub_missing("torchvision")
        import timm
        import torch

        torch.set_num_threads(threads)
        torch.manual_seed(0)
        self.torch = torch
        self.model = timm.create_model(name, pretrained=False).eval()
        self.image = torch.rand(1, 3, 224, 224) * 4 - 2
        self.tokens = hasattr(self.model, "blocks")
        self.versions = {"torch": torch.__version__, "timm": timm.__version__}

    def run(self, method):
        """Explains the image, or returns None: nobody offers the method."""
        function = getattr(self, method.replace(":", "_"), None)
        return function and function()

    # Captum

    def gradient(self):
        from captum.attr import Saliency

        return Saliency(self.model).attribute(self.image.clone(), target=0)

    def gradient_x_input(self):
        from captum.attr import InputXGradient

        return InputXGradient(self.model).attribute(self.image.clone(), target=0)

    def smoothgrad(self):
        from captum.attr import NoiseTunnel, Saliency

        return NoiseTunnel(Saliency(self.model)).attribute(
            self.image.clone(), nt_type="smoothgrad", nt_samples=25, nt_samples_batch_size=BATCH,
            stdevs=0.6, target=0)

    def integrated_gradients(self):
        from captum.attr import IntegratedGradients

        return IntegratedGradients(self.model).attribute(
            self.image.clone(), n_steps=50, internal_batch_size=BATCH, target=0)

    def occlusion(self):
        from captum.attr import Occlusion

        with self.torch.inference_mode():
            return Occlusion(self.model).attribute(
                self.image, sliding_window_shapes=(3, 28, 28), strides=(3, 14, 14),
                perturbations_per_eval=BATCH, target=0)

    # pytorch-grad-cam

    def cam(self, kind):
        import pytorch_grad_cam

        if self.tokens:
            layer = self.model.blocks[-1].norm1
            side = self.model.patch_embed.grid_size[0]
            reshape = lambda t: t[:, -side * side:].reshape(len(t), side, side, -1).permute(0, 3, 1, 2)
        else:
            layer, reshape = self.model.stages[-1], None
        with getattr(pytorch_grad_cam, kind)(
                model=self.model, target_layers=[layer], reshape_transform=reshape) as cam:
            return cam(input_tensor=self.image.clone(), targets=None)

    def gradcam(self):
        return self.cam("GradCAM")

    def hirescam(self):
        return self.cam("HiResCAM")

    def layercam(self):
        return self.cam("LayerCAM")

    # zennit

    def lrp_epsilon_plus_flat(self):
        from zennit.attribution import Gradient
        from zennit.composites import EpsilonPlusFlat

        with Gradient(model=self.model, composite=EpsilonPlusFlat()) as attributor:
            start = self.torch.eye(self.model.num_classes)[[0]]
            return attributor(self.image.clone(), start)[1]

    # LXT: its rules on timm's modules

    def lrp_attnlrp(self):
        image = self.image.clone().requires_grad_()
        with self.attnlrp_rules():
            self.model(image)[0, 0].backward()
        self.model.zero_grad()
        return image * image.grad

    @contextlib.contextmanager
    def attnlrp_rules(self):
        from functools import partial

        from lxt.efficient.patches import layer_norm_forward
        from lxt.efficient.rules import divide_gradient, identity_rule_implicit

        nn, functional = self.torch.nn, self.torch.nn.functional
        attention = functional.scaled_dot_product_attention
        patched = []

        def scaled(q, k, v, **options):
            return attention(divide_gradient(q, 4), divide_gradient(k, 4), divide_gradient(v, 2),
                             **options)

        def norm_2d(module, x):
            return layer_norm_forward(module, x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

        def channel(module, x):
            b, n, c = x.shape
            heads = module.num_heads
            q, k, v = module.qkv(x).reshape(b, n, 3, heads, c // heads).permute(2, 0, 3, 1, 4)
            q, k, v = divide_gradient(q, 2), divide_gradient(k, 4), divide_gradient(v, 4)
            weights = ((k * module.scale).transpose(-1, -2) @ v).softmax(-1)
            x = (weights @ q.transpose(-1, -2)).permute(0, 3, 1, 2)
            return module.proj(x.reshape(b, n, c))

        for module in self.model.modules():
            kind = type(module).__name__
            if kind == "LayerNorm2d":
                module.forward = partial(norm_2d, module)
            elif isinstance(module, nn.LayerNorm):
                module.forward = partial(layer_norm_forward, module)
            elif isinstance(module, nn.GELU) or kind == "GELU":
                module.forward = partial(identity_rule_implicit, module.forward)
            elif kind == "ChannelAttention":
                module.forward = partial(channel, module)
            else:
                continue
            patched.append(module)
        functional.scaled_dot_product_attention = scaled
        try:
            yield
        finally:
            functional.scaled_dot_product_attention = attention
            for module in patched:
                del module.forward


PACKAGES = {"lrp:attnlrp": "lxt", "lrp:epsilon_plus_flat": "zennit", "gradcam": "grad-cam",
            "hirescam": "grad-cam", "layercam": "grad-cam"}


def fovea_seconds(options, method, steps, warmup):
    out = subprocess.run(
        [options.fovea, "bench", "explain", "--model", options.model, "--method", method, "--json",
         "--batch-size", "1", "--threads", str(options.threads), "--steps", str(steps), "--warmup",
         str(warmup)], check=True, stdout=subprocess.PIPE).stdout
    return json.loads(out)["methods"][0]["seconds"]


def peer_seconds(peers, method, steps, warmup):
    seconds = []
    for i in range(-warmup, steps):
        start = time.perf_counter()
        if peers.run(method) is None:
            return None
        if i >= 0:
            seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def compare(options, peers, method):
    ours, theirs = [], []
    for _ in range(options.rounds):
        steps, warmup = (1, 1) if METHODS[method] else (5, 2)
        ours.append(fovea_seconds(options, method, steps, warmup))
        seconds = peer_seconds(peers, method, steps, warmup)
        if seconds is not None:
            theirs.append(seconds)
    row = {"method": method, "fovea": statistics.median(ours), "peer": None, "package": None}
    if theirs:
        row["package"] = PACKAGES.get(method, "captum")
        row["peer"] = statistics.median(theirs)
        row["ratios"] = sorted(b / a for a, b in zip(ours, theirs))
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fovea", default="build/fovea")
    parser.add_argument("--model", default="vit_small_patch16_224")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", help="also write the rows to this file")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    peers = Peers(options.model, options.threads)

    print(f"{options.model}, {options.threads} threads, {peers.versions}", file=sys.stderr)
    print("| method | fovea, s | peer, s | peer | peer / fovea |\n|---|---|---|---|---|")
    rows = []
    for method in options.methods.split(","):
        row = compare(options, peers, method)
        rows.append(row)
        peer = "| – | – | – |"
        if row["peer"]:
            low, high = row["ratios"][0], row["ratios"][-1]
            peer = (f"| {row['peer']:.3f} | {row['package']} | {row['peer'] / row['fovea']:.2f} "
                    f"({low:.2f} to {high:.2f}) |")
        print(f"| `{method}` | {row['fovea']:.3f} {peer}", flush=True)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"model": options.model, "threads": options.threads, "rows": rows,
                       "versions": peers.versions}, file, indent=2)


if __name__ == "__main__":
    main()
