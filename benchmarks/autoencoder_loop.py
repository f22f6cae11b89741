"""Seconds of an epoch (training and validation) of an autoencoder through the Learner, compared with a bare loop.

OMP_NUM_THREADS=1 python benchmarks/autoencoder_loop.py [--rounds 9] [--tiles 672] [--positions 160]

Both loops train the same kind of network with Adam on the same batches of tiles, in turn, one epoch each, so that a
noisy machine slows both; ratios are of neighbouring epochs, their median and quartiles over the rounds.
"""

import argparse
import statistics

import torch
from clock import now, timed_by
from fastai.torch_core import set_seed
from report import report
from torch import nn

from siren_fastai.autoencoder.decoders.manifold import ImageManifoldDecoder
from siren_fastai.autoencoder.default import default_autoencoder
from siren_fastai.autoencoder.encoders.conv import EncoderConv2d
from siren_fastai.autoencoder.learner import autoencoder_learner
from siren_fastai.autoencoder.model import Autoencoder
from siren_fastai.data import tile_dataloaders

LR = 1e-4


def note_autoencoder(dls):
    """The network that did best in the note: three convolutions, and its decoder."""
    return Autoencoder(EncoderConv2d(), ImageManifoldDecoder(102))


def bare_loop(model, dls, count):
    """One epoch as written by hand with care; `count` pixels of each image, or all of them."""
    loss_func, optimizer = nn.L1Loss(), torch.optim.Adam(model.parameters(), lr=LR, fused=True)
    grid = model.decoder.grid_positions().to(dls.device)

    def loss_of(images):
        if count is None:
            return loss_func(model(images), images)
        index = torch.rand(len(images), len(grid), device=images.device).topk(count, sorted=False).indices
        pixels = images.flatten(2).gather(2, index[:, None].expand(-1, images.shape[1], -1))
        return loss_func(model(images, grid[index]), pixels.transpose(1, 2))

    def epoch():
        model.train()
        for images, _ in dls.train:
            loss_of(images).backward()
            optimizer.step()
            optimizer.zero_grad()
        model.eval()
        with torch.no_grad():
            return sum(loss_func(model(images), images).item() * len(images) for images, _ in dls.valid)

    return epoch


def learner_loop(model, dls, count):
    """One epoch of `autoencoder_learner`, with its PSNR and default callbacks."""
    learn = autoencoder_learner(dls, model, positions=count)
    learn.logger = lambda row: None

    def epoch():
        with learn.no_bar():
            learn.fit(1, LR)

    return epoch


def timed(epoch) -> float:
    start = now()
    epoch()
    return now() - start


def compared(name: str, make, dls, count, rounds: int) -> dict:
    loops = [kind(make(dls).to(dls.device), dls, count) for kind in (bare_loop, learner_loop)]
    for epoch in loops:
        timed(epoch)
    times = [[timed(epoch) for epoch in loops] for _ in range(rounds)]
    ratios = [learner / bare for bare, learner in times]
    low, median, high = statistics.quantiles(ratios, n=4, method="inclusive")
    bare, learner = (statistics.median(column) for column in zip(*times, strict=True))
    seconds = {"bare epoch s": bare, "learner epoch s": learner}
    return {
        "network": name,
        "positions": count or "all",
        **seconds,
        "ratio": median,
        "quartiles": f"{low:.2f}–{high:.2f}",
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--tiles", type=int, default=672)
    parser.add_argument(
        "--positions", type=int, default=160, help="pixels of each tile that the note's decoder trains on"
    )
    options = parser.parse_args()
    set_seed(0, reproducible=True)
    dls = tile_dataloaders(bs=64, count=options.tiles, cache=False)
    cases = {
        "default: colour fields": (default_autoencoder, None),
        "the note's": (note_autoencoder, options.positions),
    }
    rows = [compared(name, make, dls, count, options.rounds) for name, (make, count) in cases.items()]
    report(
        "autoencoder_loop",
        rows,
        dict(seed=0, tiles=options.tiles, batch=64, rounds=options.rounds, timed_by=timed_by()),
    )


if __name__ == "__main__":
    main()
