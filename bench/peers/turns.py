"""What the speed targets are measured with: fovea and PyTorch, each turn a process of its own, medians of the turns,
images to train on, and tables whose cells say whether a target is met."""

import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

from torch_side import MODES

PEER = pathlib.Path(__file__).with_name("torch_side.py")
HOPELESS = 0.8  # of the best mode's rate: a mode that is slower in its first turn gets no other
MOST_IMAGES = 20000  # in a folder to train on


def run(command, environment=None):
    """What a command prints, or None with its last words on stderr."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    if done.returncode:
        print(f"{' '.join(command)}: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return None
    return done.stdout


def run_json(command, environment=None):
    text = run(command, environment)
    return text and json.loads(text[text.index("{"):])


def median(turns, key="images_per_second"):
    """Of what the turns give, None without any."""
    return statistics.median(turn[key] for turn in turns) if turns else None


def spread(turns, key="images_per_second"):
    values = [turn[key] for turn in turns]
    return f"{median(turns, key):.1f} ({min(values):.1f}..{max(values):.1f})" if turns else "–"


def ratio(a, b):
    return a / b if a and b else None


def number(value, digits=2):
    return "–" if value is None else f"{value:.{digits}f}"


class Table:
    """Prints Markdown row by row, and counts the targets."""

    met = missed = unknown = 0

    def __init__(self, title, text, *columns):
        print(f"\n## {title}\n\n{text}\n\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)

    def row(self, *cells):
        print(f"| {' | '.join(str(cell) for cell in cells)} |", flush=True)


def judge(value, met, target, digits=2):
    """The cell of a value: met is None without a value or a target."""
    if value is None or met is None:
        Table.unknown += target is not None
        return number(value, digits)
    Table.met += met
    Table.missed += not met
    return f"{value:.{digits}f} ({target}: {'met' if met else '**missed**'})"


def at_least(value, target, digits=2):
    met = None if value is None or target is None else value >= target
    return judge(value, met, target and f"≥ {target:g}", digits)


def at_most(value, target, digits=2):
    met = None if value is None or target is None else value <= target
    return judge(value, met, target and f"≤ {target:g}", digits)


class Machine:
    """Runs both sides as the options say."""

    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.info = run_json([options.fovea, "info", "--json"])
        if not self.info:
            sys.exit(f"{options.fovea} does not run")
        self.native = ["f32"] + ["bf16"] * self.info["bf16_dot_products"]
        self.precisions = [options.precision] if options.precision else self.native
        self.peer_environment = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")}
        self.versions = self.peer("--versions") if options.modes else None
        if not self.versions:
            options.modes = []
        self.data = None

    def target(self, targets, precision):
        """None where the CPU emulates the precision: the targets are not for it."""
        return targets.get(precision) if precision in self.native else None

    def rounds(self, sides):
        """Lets the sides (name -> function) take turns; name -> the results that are not None."""
        results = {name: [] for name in sides}
        for i in range(self.options.rounds):
            for name, turn in sides.items():
                best = max((median(results[mode]) or 0 for mode in MODES if mode in sides), default=0)
                if name in MODES and i and (median(results[name]) or 0) < HOPELESS * best:
                    continue
                print(f"round {i + 1}: {name}", file=sys.stderr, flush=True)
                result = turn()
                if result:
                    results[name].append(result)
        return results

    def bench(self, model, batch, precision, threads=None, **more):
        """fovea bench train: its JSON.  Without a model, of a configuration."""
        words = {"model": model, "batch-size": batch, "precision": precision, "threads": threads or self.options.threads,
                 "warmup": self.options.warmup, "steps": self.options.steps, **more}
        arguments = [f"--{k}={v}" for k, v in words.items() if v is not None]
        return run_json([self.options.fovea, "bench", "train", "--json", *arguments])

    def peer(self, *arguments):
        return run_json([self.options.python, str(PEER), *arguments], self.peer_environment)

    def peer_turns(self, model, batch, precision, kwargs=None):
        """PyTorch's sides of a row: mode -> function; none where it lacks the model."""
        if model.startswith("biformer") and not self.options.biformer:
            return {}
        words = [f"--model={model}", f"--batch={batch}", f"--precision={precision}", f"--threads={self.options.threads}",
                 f"--warmup={self.options.warmup}", f"--steps={self.options.steps}", f"--kwargs={json.dumps(kwargs or {})}"]
        if model.startswith("biformer"):
            words.append(f"--biformer={self.options.biformer}")
        return {mode: lambda mode=mode: self.peer(f"--mode={mode}", *words) for mode in self.options.modes}

    def train(self, what, steps, precision, threads=None):
        """The wall time of fovea train and its run folder, which the next call replaces."""
        out = pathlib.Path(self.folder, "run")
        shutil.rmtree(out, ignore_errors=True)
        data = self.images()
        start = time.perf_counter()
        done = run([self.options.fovea, "train", *what, f"--data-dir={data}", f"--out={out}",
                    f"--max-steps={steps}", "--val-interval=0", "--epochs=1000", "--log-interval=1000000",
                    f"--precision={precision}", f"--threads={threads or self.options.threads}"])
        return (time.perf_counter() - start if done is not None else None), out

    def train_rate(self, what, batch, precision):
        """Images per second of fovea train: what a short run takes (start, evaluation of a few images, a
        checkpoint) is taken off a long one."""
        short, long = self.options.span
        seconds = [self.train(what, steps, precision)[0] for steps in (short, long)]
        return None if None in seconds else {"images_per_second": batch * (long - short) / (seconds[1] - seconds[0])}

    def images(self):
        """A folder to train on, with an image per class to evaluate: links to those of --data-dir, or synthetic."""
        if self.data is None:
            self.data = os.path.join(self.folder, "data")
            if self.options.data_dir:
                link_images(pathlib.Path(self.options.data_dir).resolve(), pathlib.Path(self.data))
            elif run([self.options.fovea, "data", "synth", f"--out={self.data}", "--train=8000", "--val=10"]) is None:
                sys.exit("no images to train on")
        return self.data

    def classes(self):
        return len([entry for entry in os.scandir(os.path.join(self.images(), "train")) if entry.is_dir()])


def link_images(source, target):
    """Links to the training images of an image folder or of Tiny-ImageNet."""
    classes = sorted(folder for folder in (source / "train").iterdir() if folder.is_dir())
    for folder in classes:
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in {".jpeg", ".jpg", ".png"})
        files = files[:max(1, MOST_IMAGES // len(classes))]
        for split, chosen in {"train": files, "validation": files[:1]}.items():
            (target / split / folder.name).mkdir(parents=True)
            for path in chosen:
                (target / split / folder.name / path.name).symlink_to(path)
