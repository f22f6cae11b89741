"""How well an image comes back from its gradients and its mean alone.

python benchmarks/gradients.py [--size 64] [--epochs 10] [--seeds 0 1 2]

The bundled photo of an astronaut, in gray. Rows: the default of `gradient_learner`; the same with parts changed, in as
many steps of 1024 positions, the narrow network in three times as many; and the paper's recipe (a SIREN of
omega_0 = 30 with the official weights, Adam at 1e-4, all positions in each step, automatic differentiation) on the same
positions, for as many processor seconds as the default took.
"""

import argparse
from collections.abc import Callable

import numpy as np
import torch
from clock import now
from fastai.torch_core import set_seed
from report import report
from torch import nn

from siren_fastai.data import GradientDataLoaders
from siren_fastai.default_model import HIDDEN
from siren_fastai.gradient_learner import GradientLearner, gradient_learner
from siren_fastai.models.siren import siren_model

VISITS = 4  # of each position in an epoch
DIMS, NARROW = [2, *HIDDEN, 1], [2, 128, 128, 128, 1]


class Automatic(nn.Sequential):
    """A network whose slopes are left to automatic differentiation, as every class but `nn.Sequential` itself is."""


def ours(learn: GradientLearner, epochs: int, lr: float | None = None) -> float:
    """Train and return the processor seconds."""
    started = now()
    with learn.no_bar(), learn.no_logging():
        learn.fit_fast(epochs, lr)
    return now() - started


def papers(learn: GradientLearner, seconds: float) -> float:
    """Train as the paper's code does, for so many seconds."""
    coords, gradients = learn.dls.train_ds[:]
    model = learn.model
    optimizer, started = torch.optim.Adam(model.parameters(), 1e-4), now()
    while now() - started < seconds:
        optimizer.zero_grad()
        (model(coords) - gradients).square().mean().backward()
        optimizer.step()
    return now() - started


def data(size: int, density: int = 2, visits: int = VISITS) -> GradientDataLoaders:
    source = "data/astronaut.png"
    return GradientDataLoaders.from_image(source, size=size, mode="gray", density=density, repeat=visits)


def cases(size: int, epochs: int) -> dict[str, Callable[[], tuple[GradientLearner, float]]]:
    """Each makes a learner and trains it; the first is the default."""

    def fitted(network=None, lr=None, share=1.0, **options):
        learn = gradient_learner(data(size, **options), network)
        return learn, ours(learn, round(share * epochs), lr)

    return {
        "default: 256x3": fitted,
        "128x3, lr 5e-4": lambda: fitted(NARROW, 5e-4, share=3),
        "`density=1`": lambda: fitted(density=1, visits=4 * VISITS),
        "`density=3`": lambda: fitted(density=3, visits=VISITS // 2, share=0.9),
        "`siren_model`, omega_0 = 30": lambda: fitted(siren_model(DIMS)),
        "`siren_model`, omega_0 = 30, automatic differentiation": lambda: fitted(Automatic(*siren_model(DIMS))),
    }


def measure(make: Callable[[], tuple[GradientLearner, float]], seeds: list[int]) -> tuple[list[float], list[float]]:
    qualities, times = [], []
    for seed in seeds:
        set_seed(seed, reproducible=True)
        learn, seconds = make()
        qualities.append(learn.image_psnr())
        times.append(seconds)
        print(f"{seed}: {qualities[-1]:.2f} dB, {seconds:.1f} s", flush=True)
    return qualities, times


def row(name: str, qualities: list[float], times: list[float]) -> dict:
    span = f"{min(qualities):.2f}–{max(qualities):.2f}"
    medians = {"PSNR dB, median": float(np.median(qualities)), "range": span}
    return {"recipe": name, **medians, "processor s, median": float(np.median(times))}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args = parser.parse_args()
    rows, budget = [], 0.0
    for name, make in cases(args.size, args.epochs).items():
        qualities, times = measure(make, args.seeds)
        rows.append(row(name, qualities, times))
        budget = budget or rows[0]["processor s, median"]

    def paper():
        learn = gradient_learner(data(args.size), Automatic(*siren_model(DIMS)))
        return learn, papers(learn, budget)

    rows.append(row("the paper's", *measure(paper, args.seeds)))
    report("gradients", rows, {"seeds": args.seeds, "size": args.size, "epochs": args.epochs})


if __name__ == "__main__":
    main()
