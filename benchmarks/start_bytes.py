"""What a codec would gain from a learned start: python benchmarks/start_bytes.py

Small networks are fitted to new faces of 25x25 pixels, then quantised. Three ways, with the same steps of Adam: weights
drawn by "fast", stored as they are; the same, stored as the difference from the drawn weights, which a decoder can draw
again from the random seed; and a learned start, stored as the difference from it, which ships with the decoder. Bytes
are those of the entropy coder for the symbols, and 4 for each tensor's step and model; a file's head isn't counted.
"""

import argparse
import copy
from statistics import mean

import numpy as np
import torch
from report import report
from starts import Task, quality
from torch import Tensor, nn

from siren_fastai.models.stack import stack_models, unstack_models
from siren_fastai.quantize.entropy import code_length, fit_model
from siren_fastai.quantize.quantizers import dequantize, fit_quantizer, quantize
from siren_fastai.starts.learning import learn_start
from siren_fastai.starts.steps import as_values

HIDDEN = ((8, 8), (12, 12), (16, 16))
BITS = (2, 3, 4, 5, 6, 7)
RATES = (2e-3, 5e-3, 1e-2)  # of Adam; the best for each way, by images of the learning
AT_BYTES = (60, 100, 150, 200, 300)


def fitted(task: Task, models: list[nn.Module], images: Tensor, steps: int, lr: float) -> list[nn.Module]:
    """The networks after steps of Adam, its rate falling to 0 as half a cosine."""
    stack, target = stack_models(models), as_values(images).transpose(0, 1)
    optimizer = torch.optim.Adam(stack.parameters(), lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        optimizer.zero_grad()
        (stack(task.coords) - target).square().mean((0, 2)).sum().backward()
        optimizer.step()
        schedule.step()
    return unstack_models(stack)


@torch.no_grad()
def stored(model: nn.Module, base: nn.Module | None, bits: int) -> float:
    """Quantise the weights, or their difference from `base`'s, in place; return the bytes."""
    total = 0.0
    for weight, first in zip(model.parameters(), (base or model).parameters(), strict=True):
        origin = torch.zeros_like(weight) if base is None else first
        quantizer = fit_quantizer(weight - origin, bits)
        symbols = quantize(weight - origin, quantizer)
        total += 4 + code_length(symbols, fit_model(symbols)) / 8
        weight.copy_(origin + dequantize(symbols, quantizer))
    return total


@torch.no_grad()
def psnr_of(task: Task, models: list[nn.Module], images: Tensor) -> float:
    outputs = torch.stack([model(task.coords).clamp(0, 1) for model in models])
    return quality((outputs - as_values(images)).square().mean((1, 2)))


def points(task: Task, fits: list[nn.Module], bases: list) -> list[tuple[float, float]]:
    """Mean bytes and mean PSNR of the test images for each number of bits."""
    found = []
    for bits in BITS:
        own = copy.deepcopy(fits)
        size = mean(stored(model, base, bits) for model, base in zip(own, bases, strict=True))
        found.append((size, psnr_of(task, own, task.test)))
    return found


def best_rate(task: Task, draw, steps: int, few: Tensor) -> float:
    return max(RATES, key=lambda lr: psnr_of(task, fitted(task, draw(few), few, steps, lr), few))


def at(found: list[tuple[float, float]], size: float) -> float | None:
    """The PSNR at so many bytes, between two points; None outside."""
    sizes, values = zip(*sorted(found), strict=True)
    return round(float(np.interp(size, sizes, values)), 2) if sizes[0] <= size <= sizes[-1] else None


def compare(task: Task, seed: int, options) -> list[dict]:
    """Rows of the three ways, with one network and random seed."""
    few, rows = task.train[:8], []
    begin = task.model("fast", as_values(task.train), seed)
    start = learn_start(task.train, begin, 3, options.meta_steps, seed=seed, family="faces")

    def drawn(images: Tensor) -> list[nn.Module]:
        return task.drawn("fast", images, seed)

    def from_start(images: Tensor) -> list[nn.Module]:
        return [start.network() for _ in images]

    ways = {"fast": drawn, "fast, difference": drawn, "learned start, difference": from_start}
    for steps in options.steps:
        for name, draw in ways.items():
            lr, models = best_rate(task, draw, steps, few), draw(task.test)
            fits = fitted(task, models, task.test, steps, lr)
            found = points(task, fits, models if "difference" in name else [None] * len(models))
            hidden = "x".join(map(str, task.dims[1:-1]))
            about = {"hidden": hidden, "seed": seed, "steps": steps, "way": name, "lr": lr}
            about |= {"unquantised": psnr_of(task, fits, task.test)}
            rows.append(about | {f"{size} B": at(found, size) for size in AT_BYTES} | {"points": found})
            print(rows[-1], flush=True)
    return rows


def summary(rows: list[dict]) -> list[dict]:
    """For each number of steps and way the best network at each size, and which; means over the random seeds."""
    table = []
    for steps, way in dict.fromkeys((each["steps"], each["way"]) for each in rows):
        line = {"steps": steps, "way": way}
        for size in AT_BYTES:
            means = {}
            for hidden in dict.fromkeys(each["hidden"] for each in rows):
                own = [e[f"{size} B"] for e in rows if (e["steps"], e["way"], e["hidden"]) == (steps, way, hidden)]
                if None not in own:
                    means[hidden] = mean(own)
            best = max(means, key=means.get, default=None)
            line[f"{size} B"] = None if best is None else f"{means[best]:.2f} ({best})"
        table.append(line)
    return table


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--meta_steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", nargs="+", type=int, default=[30, 300])
    options = parser.parse_args()
    options.images, options.test = 80, 20
    torch.set_num_threads(1)
    rows = []
    for options.hidden in HIDDEN:
        rows += [row for seed in range(options.seeds) for row in compare(Task("faces", options), seed, options)]
    notes = {name: value for name, value in vars(options).items() if name != "hidden"}
    report("start_bytes_runs", rows, notes, show=False)
    report("start_bytes", summary(rows), notes)


if __name__ == "__main__":
    main()
