"""What TrainingWheels costs a step, and what it does about outputs that turn all black.

python benchmarks/wheels.py [--only cost|collapse|healthy] [--rounds 5] [--seeds 5]

Cost: the processor seconds of the callback's events, in fits of 60 steps on one thread, as a share of the rest of the
same fit. Collapse: a small network with a ReLU after its last layer learns to draw 16x16 tiles from
themselves by gradient descent at rates that are too high. Once no output is above 0, no gradient is left: the loss
jumps and stays. Healthy: fits at rates that suit them, on which no revert is right.
"""

import argparse
import statistics
import time
import warnings
from functools import partial

import torch
from fastai.callback.training import GradientClip
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat, MSELossFlat
from fastai.optimizer import SGD, Adam
from fastai.torch_core import set_seed
from report import report
from sklearn.datasets import load_breast_cancer
from torch import nn

from siren_fastai.callbacks.diagnose import Diagnose
from siren_fastai.callbacks.training_wheels import TrainingWheels
from siren_fastai.data import PictureDataLoaders, PixelDataLoaders
from siren_fastai.datasets.tiles import tile_images
from siren_fastai.health.outputs import constant_channels
from siren_fastai.inpainting.networks import unet
from siren_fastai.learner import siren_learner

STEPS, RATES = 60, (2.0, 4.0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", choices=("cost", "collapse", "healthy"))
    parser.add_argument("--rounds", type=int, default=5, help="fits for each network and setting")
    parser.add_argument("--seeds", type=int, default=5, help="random seeds for each rate")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.only in (None, "cost"):
        report("wheels_cost", costs(options.rounds), dict(seed=0, steps=STEPS, rounds=options.rounds))
    if options.only in (None, "healthy"):
        report("wheels_healthy", healthy(range(options.seeds)), dict(seeds=list(range(options.seeds))))
    if options.only in (None, "collapse"):
        rows = [row for rate in RATES for row in collapses(rate, range(options.seeds))]
        report("wheels", rows, dict(seeds=list(range(options.seeds))))


class Timed(TrainingWheels):
    """Counts the processor seconds of all its events, fastai's calls of them included."""

    spent = 0.0

    def __call__(self, event_name):
        started = time.process_time()
        super().__call__(event_name)
        self.spent += time.process_time() - started

    @property
    def name(self):
        return "training_wheels"


def costs(rounds: int) -> list[dict]:
    variants = {"defaults": {}, "check=1, every=1": dict(check=1, every=1), "clip=1.0": dict(clip=1.0)}
    networks = {
        "U-Net of 1.8 million weights, batches of 4 at 32x32": partial(unet_learner, 32),
        "SIREN, batches of 1024 pixels": pixel_learner,
    }
    rows = []
    for name, make in networks.items():
        learners = {label: make(cbs=Timed(**settings)) for label, settings in variants.items()}
        shares, steps = {label: [] for label in variants}, []
        for turn in range(rounds + 1):
            for label, learn in learners.items():
                learn.training_wheels.spent = 0.0
                whole = fit_seconds(learn)
                if turn:  # the first fit is slower
                    rest = whole - learn.training_wheels.spent
                    shares[label].append(100 * learn.training_wheels.spent / rest)
                    steps.append(1000 * rest / len(learn.dls.train))
        for label, found in shares.items():
            row = {"network": name, "ms a step": statistics.median(steps), "TrainingWheels": label}
            rows.append(row | {"cost in %": statistics.median(found), "highest": max(found)})
    return rows


def fit_seconds(learn: Learner) -> float:
    started = time.process_time()
    learn.fit_one_cycle(1, 1e-4)
    return time.process_time() - started


def unet_learner(size: int, **kwargs) -> Learner:
    set_seed(0, reproducible=True)
    images, masks = torch.rand(4 * STEPS, 3, size, size), torch.rand(4 * STEPS, 1, size, size) > 0.2
    train = DataLoader(list(zip(images * masks, masks.float(), images, strict=True)), bs=4)
    dls = DataLoaders(train, DataLoader(train.dataset[:4], bs=4))
    dls.n_inp = 2
    return quiet(Learner(dls, unet(), MSELossFlat(), opt_func=Adam, **kwargs))


def pixel_learner(**kwargs) -> Learner:
    set_seed(0, reproducible=True)
    dls = PixelDataLoaders.from_image("data/astronaut.png", size=250, bs=1024, valid=0.01)
    dls.train.n = 1024 * STEPS  # the rest of the pixels isn't used
    return quiet(siren_learner(dls, **kwargs))


def quiet(learn: Learner) -> Learner:
    learn.remove_cbs([callback for callback in learn.cbs if type(callback).__name__ == "ProgressCallback"])
    learn.logger = lambda row: None
    return learn


def small_network(output: type[nn.Module], width: int = 8) -> nn.Sequential:
    """An encoder and a decoder that begin at a mean grey; only the output can die, hidden units are leaky."""
    act, last = partial(nn.LeakyReLU, 0.2), nn.Conv2d(width, 3, 3, padding=1)
    nn.init.constant_(last.bias, 0.35)
    first, second = nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, 2 * width, 3, 2, 1)
    third, fourth = nn.Conv2d(2 * width, 2 * width, 3, padding=1), nn.Conv2d(2 * width, width, 3, padding=1)
    return nn.Sequential(
        first, act(), second, act(), third, act(), nn.Upsample(scale_factor=2), fourth, act(), last, output()
    )


VARIANTS = {  # output, callbacks
    "ReLU output": (nn.ReLU, lambda: []),
    "ReLU output, TrainingWheels()": (nn.ReLU, lambda: [TrainingWheels()]),
    "ReLU output, TrainingWheels(factor=2)": (nn.ReLU, lambda: [TrainingWheels(factor=2)]),
    "linear output": (nn.Identity, lambda: []),
    "linear output, TrainingWheels()": (nn.Identity, lambda: [TrainingWheels()]),
    "linear output, gradients clipped to 1": (nn.Identity, lambda: [GradientClip(1.0)]),
}


def healthy(seeds) -> list[dict]:
    """The reverts of fits that go well, by how sensitive the callback is."""
    rows = []
    for factor in (3.0, 2.0, 1.5):
        for name, fit in (
            ("SIREN, 64x64 pixels, fit_fast(20)", fit_pixels),
            ("tabular, fit_one_cycle(15, 1e-2)", fit_table),
        ):
            found = []
            for seed in seeds:
                set_seed(seed, reproducible=True)
                found.append(len(fit(TrainingWheels(factor=factor, reverts=99)).training_wheels.reverts))
            rows.append({"factor": factor, "fit": name, "reverts": found})
    return rows


def fit_pixels(wheels: TrainingWheels) -> Learner:
    dls = PixelDataLoaders.from_image("data/cat.png", size=64, bs=256)
    learn = quiet(siren_learner(dls, [2, 64, 64, 3], cbs=wheels))
    learn.fit_fast(20)
    return learn


def fit_table(wheels: TrainingWheels) -> Learner:
    x, classes = (torch.tensor(values) for values in load_breast_cancer(return_X_y=True))
    x = ((x - x.mean(0)) / x.std(0)).float()
    loaders = [
        DataLoader(list(zip(x[part], classes[part], strict=True)), bs=32, shuffle=True) for part in _halves(len(x))
    ]
    model = nn.Sequential(nn.Linear(30, 32), nn.ReLU(), nn.Linear(32, 2))
    learn = quiet(Learner(DataLoaders(*loaders), model, CrossEntropyLossFlat(), cbs=wheels))
    learn.fit_one_cycle(15, 1e-2)
    return learn


def _halves(n: int) -> tuple[slice, slice]:
    return slice(0, n // 2), slice(n // 2, n)


def collapses(rate: float, seeds) -> list[dict]:
    """A row for each variant: how many fits ended with constant channels or nan, the losses, and the reverts."""
    images, groups = tile_images(260, size=16)
    rows = []
    for name, (output, callbacks) in VARIANTS.items():
        fits = [collapse_fit(images, groups, rate, seed, output, callbacks()) for seed in seeds]
        rows.append(
            {
                "rate": rate,
                "variant": name,
                "fits that ended constant or nan": f"{sum(fit['dead'] for fit in fits)} of {len(fits)}",
                "of them all black": sum(fit["black"] for fit in fits),
                "median validation loss": statistics.median(fit["loss"] for fit in fits),
                "worst": max(fit["loss"] for fit in fits),
                "reverts": [fit["reverts"] for fit in fits],
            }
        )
    return rows


def collapse_fit(images, groups, rate: float, seed: int, output: type[nn.Module], callbacks: list) -> dict:
    set_seed(seed, reproducible=True)
    dls = PictureDataLoaders.from_images(images, groups, 32)
    learn = quiet(
        Learner(dls, small_network(output), MSELossFlat(), opt_func=SGD, wd=0.0, cbs=[*callbacks, Diagnose()])
    )
    try:
        learn.fit_one_cycle(10, rate)
    except RuntimeError as error:  # of too many reverts, with the last healthy network
        print(seed, error, flush=True)
    drawn, targets = learn.get_preds()
    loss = float((drawn - targets).square().mean())
    dead = bool(constant_channels(drawn, targets).any()) or loss != loss
    reverts = len(learn.training_wheels.reverts) if hasattr(learn, "training_wheels") else 0
    return dict(loss=loss if loss == loss else float("inf"), dead=dead, black=not drawn.any(), reverts=reverts)


if __name__ == "__main__":
    warnings.filterwarnings("ignore", message="TrainingWheels: the outputs were constant")
    main()
