"""Training seconds to 30, 35 and 40 dB on 256² images: our defaults and other implementations, in one run.

OMP_NUM_THREADS=1 python benchmarks/time_to_psnr.py [--pictures ...] [--seeds 0 1 2] [--epochs 7 20] [--peers ...]

ours            siren_learner(dls) and learn.fit_fast(epochs), no other setting: every seed, and the best median
official        2-256-256-256-256-3, targets in [-1, 1], full batch, Adam 1e-4, plain operators (Sitzmann et al. 2020)
siren-pytorch   that package's SirenNet and SirenWrapper as its README builds them (five layers of 256), Adam 1e-4
siren-fastai2   [2, 256, 128, 64, 32, 3] ending in a sine, plain operators, Ranger 1e-3, fit_flat_cos(300), 80 % of the
                pixels in a TensorDataset, batches of 256 from fastai's DataLoader, as its notebook has it
fastai2-ours    the same recipe on our loaders and our sine layer

PSNR is that of all pixels, clamped to [0, 1]. Evaluations are excluded from every time; seconds are those of the
processor with one thread and no GPU, else of the clock on the wall. Ours is evaluated after each epoch, a peer after
every 5 s of its training (those of fastai: 2 s). A peer stops at 40 dB, after 51 times our seconds to 40 dB, at the end
of its own training, or after `--cap-seconds`. A level not reached by then is printed as "> seconds" if the peer was
stopped, and as "never" if its training ended: its ratio is then "never" too. A level is decided if the peer reached it,
never reaches it, or took more than 50 times our seconds without it. The table so far is stored after every fit.
"""

import argparse
import math
import statistics
from pathlib import Path

import torch
from clock import LEVELS, Clock, now, square_picture, timed_by
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from fastai.losses import MSELossFlat
from fastai.torch_core import set_seed
from report import report
from torch import nn
from torch.utils.data import TensorDataset

from siren_fastai.coords import grid_coords
from siren_fastai.data import PixelDataLoaders
from siren_fastai.init import apply_init_
from siren_fastai.learner import siren_learner
from siren_fastai.models.siren import siren_model
from siren_fastai.optimizers import ranger


def ours(image, seed, epochs):
    set_seed(seed, reproducible=True)
    learn = siren_learner(PixelDataLoaders.from_image(image))
    clock = Clock(image, learn.render)
    with learn.no_bar(), learn.no_logging():
        learn.fit_fast(epochs, cbs=clock)
    return clock


class Sine(nn.Module):
    def __init__(self, omega_0=30.0):
        super().__init__()
        self.omega_0 = omega_0

    def forward(self, x):
        return torch.sin(self.omega_0 * x)


def plain(layers):
    """The same layers in torch's own operators."""
    return nn.Sequential(*(m for layer in layers for m in (layer.linear, Sine(layer.omega_0))))


def fastai2_parts(image, seed):
    set_seed(seed, reproducible=True)
    dls = PixelDataLoaders.from_image(image, bs=256, coords="left", valid=0.2)
    dims = [2, 256, 128, 64, 32, image.shape[-1]]
    return dls, apply_init_(siren_model(dims, hidden_omega_0=1.0, final="sine"), "siren_fastai2")


def fastai2_fit(learn, clock):
    with learn.no_bar(), learn.no_logging():
        learn.fit_flat_cos(300, 1e-3, cbs=clock)
    return clock


def fastai2(image, seed, cap):
    dls, model = fastai2_parts(image, seed)
    model, every_pixel = plain(model), grid_coords(image.shape[:2], "left").to(image.device)
    loaders = [
        DataLoader(TensorDataset(dl.dataset.coords, dl.dataset.values), bs=bs, device=dls.device)
        for dl, bs in ((dls.train, 256), (dls.valid, 4096))
    ]
    learn = Learner(DataLoaders(*loaders), model, loss_func=MSELossFlat(), opt_func=ranger)
    predict = torch.no_grad()(lambda: model(every_pixel).view(image.shape))
    return fastai2_fit(learn, Clock(image, predict, cap, every_s=2.0))


def fastai2_ours(image, seed, cap):
    learn = siren_learner(*fastai2_parts(image, seed), opt_func=ranger, metrics=[], wd=0.01)
    return fastai2_fit(learn, Clock(image, learn.render, cap, every_s=2.0))


def official(image, seed, cap, every_s=5.0):
    torch.manual_seed(seed)
    fused = siren_model([2, 256, 256, 256, 256, image.shape[-1]])  # its weights; the operators are torch's own
    net = nn.Sequential(plain(fused[:-1]), fused[-1])
    data = PixelDataLoaders.from_image(image, coords="corners").train_ds
    net, goal = net.to(data.device), data.values * 2 - 1
    return full_batch(net, lambda: nn.functional.mse_loss(net(data.coords), goal), image, cap,
                      lambda: (net(data.coords).view(image.shape) + 1) / 2, every_s)  # fmt: skip


def siren_pytorch(image, seed, cap):
    from siren_pytorch import SirenNet, SirenWrapper

    torch.manual_seed(seed)
    height, width, channels = image.shape
    net = SirenNet(dim_in=2, dim_hidden=256, dim_out=channels, num_layers=5, w0_initial=30.0)
    wrapper = SirenWrapper(net, image_width=width, image_height=height).to(image.device)
    goal = image.permute(2, 0, 1)[None]
    return full_batch(wrapper, lambda: wrapper(goal), image, cap, lambda: wrapper()[0].permute(1, 2, 0))


def full_batch(net, loss_of, image, cap, predict, every_s=5.0):
    """Adam 1e-4 on all pixels at once."""
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-4)
    clock, stop = Clock(image, torch.no_grad()(predict), cap, every_s), False
    while not stop:
        start = now()
        optimizer.zero_grad()
        loss_of().backward()
        optimizer.step()
        stop = clock.step_done(now() - start)
    return clock


PEERS = {
    "official": official,
    "siren-pytorch": siren_pytorch,
    "siren-fastai2": fastai2,
    "fastai2-ours": fastai2_ours,
}
GOAL, ENOUGH = 50, 51  # times our seconds to a level: the goal, and when a peer is stopped at the highest level


def row(picture, name, clock, base=None) -> dict:
    """A fit as a line of the table; next to `base`, our seconds to each level, its ratios and what they decide."""
    cells = {"picture": picture, "method": name}
    for level in LEVELS:
        seconds = clock.reached.get(level, (None, None))[0]
        cells[f"{level:g} dB s"] = seconds if seconds is not None else _missed(clock, f"> {clock.spent:.0f}")
    for level in LEVELS[1:] if base else ():
        cells |= compared(level, clock, base.get(level))
    return cells | {"best dB": clock.best, "steps": clock.steps, "total s": clock.spent}


def compared(level: float, clock: Clock, ours_s: float | None) -> dict:
    """The ratio of a peer's seconds to ours at a level, and whether that is at least 50, where it can be said."""
    names = f"ratio {level:g} dB", f"50 times at {level:g} dB"
    if ours_s is None:
        return dict.fromkeys(names)
    if level in clock.reached:
        ratio = clock.reached[level][0] / ours_s
        return dict(zip(names, (f"{ratio:.0f}", "yes" if ratio >= GOAL else "no"), strict=True))
    ratio = clock.spent / ours_s
    decided = ratio >= GOAL or not clock.capped
    return dict(zip(names, (_missed(clock, f"> {ratio:.0f}"), "yes" if decided else "undecided"), strict=True))


def _missed(clock: Clock, stopped: str) -> str:
    """How a level is printed that the fit did not reach: its own training had ended, or it was stopped."""
    return stopped if clock.capped else "never"


def medians(clocks) -> dict:
    """Median seconds to each level over the seeds, for levels that all of them reached."""
    return {
        level: statistics.median(clock.reached[level][0] for clock in clocks)
        for level in LEVELS
        if all(level in clock.reached for clock in clocks)
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", nargs="+", default=["astronaut", "chelsea"])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, nargs="+", default=[7, 20], help="our fits, one for each length")
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=list(PEERS))
    parser.add_argument("--cap-seconds", type=float, nargs="+", default=[3600.0], help="for each peer, or one for all")
    parser.add_argument("--name", default="time_to_psnr", help="of the JSON file")
    options = parser.parse_args()
    caps = options.cap_seconds * (len(options.peers) if len(options.cap_seconds) == 1 else 1)
    caps = dict(zip(options.peers, caps, strict=True))
    notes = dict(size=options.size, seeds=options.seeds, peers_seed=options.seeds[0], seconds=timed_by())
    rows = []

    def add(*found: dict) -> None:
        rows.extend(found)
        report(options.name, rows, notes, show=False)
        print(*found, sep="\n", flush=True)

    for path in options.pictures:
        image, picture, base = square_picture(path, options.size), Path(path).stem, {}
        for epochs in options.epochs:
            clocks = [ours(image, seed, epochs) for seed in options.seeds]
            names = [f"ours, fit_fast({epochs}), seed {seed}" for seed in options.seeds]
            add(*(row(picture, name, clock) for name, clock in zip(names, clocks, strict=True)))
            base = {level: min(s, base.get(level, s)) for level, s in {**base, **medians(clocks)}.items()}
        add({"picture": picture, "method": "ours, best median"} | {f"{k:g} dB s": v for k, v in base.items()})
        for name in options.peers:
            cap = min(caps[name], ENOUGH * base.get(LEVELS[-1], math.inf))
            add(row(picture, name, PEERS[name](image, options.seeds[0], cap), base))
    report(options.name, rows, notes)


if __name__ == "__main__":
    main()
