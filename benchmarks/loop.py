"""Seconds of an epoch (training and validation) through the Learner, compared with bare torch loops and item by item.

python benchmarks/loop.py [--rounds 15] [--size 256] [--compile]

All train siren_model([2, 256, 128, 64, 32, 3]) with Adam on one picture. The loops are run in turn, one epoch each, so
that a noisy machine slows all equally; ratios are medians over the rounds, with their quartiles.
"""

import argparse
import statistics
import time

import torch
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from fastai.losses import MSELossFlat
from fastai.torch_core import set_seed
from report import report
from torch import nn
from torch.utils.data import TensorDataset

from siren_fastai.data import PixelDataLoaders
from siren_fastai.learner import siren_learner
from siren_fastai.models.siren import siren_model
from siren_fastai.optimizers import adam

DIMS, LR = [2, 256, 128, 64, 32, 3], 1e-3


class PlainSine(nn.Module):
    """sin(omega_0 * linear(x)) with torch's own operators, as most code writes it."""

    def __init__(self, linear):
        super().__init__()
        self.linear = linear

    def forward(self, x):
        return torch.sin(30.0 * self.linear(x))


def plain(model):
    return nn.Sequential(*(PlainSine(layer.linear) for layer in list(model)[:-1]), model[-1])


def bare_loop(model, dls):
    """One epoch as written by hand with care, over the same batches as the Learner's."""
    optimizer = torch.optim.Adam(model.parameters(), lr=LR, fused=True)

    def epoch():
        for coords, values in dls.train:
            loss = nn.functional.mse_loss(model(coords), values)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        with torch.no_grad():
            return sum(nn.functional.mse_loss(model(coords), values).item() for coords, values in dls.valid)

    return epoch


def learner_loop(learn):
    learn.logger = lambda row: None

    def epoch():
        with learn.no_bar():
            learn.fit(1, LR)

    return epoch


def classic_learner(data, bs=256):
    """What most notebooks do: a TensorDataset of pixels, item by item, in a DataLoader."""
    items = TensorDataset(data.coords.cpu(), data.values.cpu())
    loaders = [DataLoader(items, bs=bs, shuffle=shuffle, device=data.values.device) for shuffle in (True, False)]
    return Learner(DataLoaders(*loaders), siren_model(DIMS), loss_func=MSELossFlat(), opt_func=adam)


def timed(epoch) -> float:
    start = time.perf_counter()
    epoch()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def summary(name: str, first: float, times: list[float], base: list[float]) -> dict:
    ratios = [a / b for a, b in zip(times, base, strict=False)]
    low, _, high = statistics.quantiles(ratios, n=4, method="inclusive")
    row = {"loop": name, "first epoch s": first, "median epoch s": statistics.median(times)}
    return row | {"ratio to bare": statistics.median(ratios), "quartiles": f"{low:.2f}–{high:.2f}"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--bs", type=int, default=4096)
    parser.add_argument("--compile", action="store_true", help="also torch.compile of the plain network")
    options = parser.parse_args()
    set_seed(0, reproducible=True)
    dls = PixelDataLoaders.from_image("data/astronaut.png", size=options.size, bs=options.bs)
    device = dls.device
    loops = {
        "bare loop, our fused layer": bare_loop(siren_model(DIMS).to(device), dls),
        "bare loop, plain operators": bare_loop(plain(siren_model(DIMS)).to(device), dls),
        "PixelLearner": learner_loop(siren_learner(dls, siren_model(DIMS), metrics=[])),
        "PixelLearner, PSNR and default callbacks": learner_loop(siren_learner(dls, siren_model(DIMS))),
    }
    if options.compile:
        loops["bare loop, torch.compile"] = bare_loop(torch.compile(plain(siren_model(DIMS)).to(device)), dls)
    first = {name: timed(epoch) for name, epoch in loops.items()}
    seconds = {name: [] for name in loops}
    for _ in range(options.rounds):
        for name, epoch in loops.items():
            seconds[name].append(timed(epoch))
    classic = learner_loop(classic_learner(dls.train_ds))
    first["classic: TensorDataset, batch 256"] = timed(classic)
    seconds["classic: TensorDataset, batch 256"] = [timed(classic) for _ in range(2)]
    rows = [summary(name, first[name], times, seconds["bare loop, our fused layer"]) for name, times in seconds.items()]
    report("loop", rows, dict(seed=0, size=options.size, batch=options.bs, rounds=options.rounds, device=str(device)))


if __name__ == "__main__":
    main()
