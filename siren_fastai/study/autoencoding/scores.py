"""What a study's table says of an autoencoder: how near its reconstructions are, and the samples that they took."""

import math
from collections.abc import Mapping, Sequence
from copy import deepcopy

import pandas as pd
import torch
from torch import Tensor

from siren_fastai.autoencoder.model import Autoencoder
from siren_fastai.quality import psnr_from_mse
from siren_fastai.spread import code_spread

__all__ = [
    "HISTORY_COLUMNS",
    "best",
    "collapse_quality",
    "quality",
    "quality_in_train_mode",
    "samples_to_levels",
    "spread_of_codes",
]

HISTORY_COLUMNS = ("samples", "steps", "seconds", "lr", "train_loss", "l1", "mse", "psnr", "std_part", "mean_part")
AT_A_TIME = 128  # images


@torch.no_grad()
def quality(
    model: Autoencoder,  # evaluated in eval mode, and left in its own
    images: Tensor,  # (n, c, h, w) in [0, 1]
) -> dict[str, float | None]:
    """Return `l1`, `mse` and `psnr` (dB) of reconstructions, clamped to [0, 1], over all pixels of all images.

    `variation` is how much the reconstructions differ from each other, as a share of what the images do: near 0 if the
    network draws one image for all. None where the output is not a number.
    """
    whole = _in_eval(model, lambda: torch.cat([model(part) for part in images.split(AT_A_TIME)]))
    return _quality(whole, images)


def quality_in_train_mode(
    model: Autoencoder,  # left as it is
    images: Tensor,  # (n, c, h, w) in [0, 1]
    bs: int,  # images at a time, by which batch normalisation works
) -> dict[str, float | None]:
    """Return `quality` as the note measured it: with batch statistics, those of the evaluated images, and dropout."""
    trained = deepcopy(model).train()  # a copy, as its running statistics change
    with torch.no_grad():
        return _quality(torch.cat([trained(part) for part in images.split(bs)]), images)


@torch.no_grad()
def spread_of_codes(model: Autoencoder, images: Tensor) -> dict[str, float]:
    """Return the two parts of the codes' spread in eval mode, see `code_spread`."""
    codes = _in_eval(model, lambda: torch.cat([model.encode(part) for part in images.split(AT_A_TIME)]))
    return dict(zip(("std_part", "mean_part"), (part.item() for part in code_spread(codes)), strict=True))


def collapse_quality(
    train: Tensor,  # (n, c, h, w) in [0, 1]
    images: Tensor,  # (m, c, h, w) likewise
) -> float:
    """Return the L1 of drawing one image for all: the median of each pixel over the training images."""
    return (images - train.median(0).values).abs().mean().item()


def samples_to_levels(
    history: pd.DataFrame,  # HISTORY_COLUMNS
    levels: Sequence[float],
    unit: str,  # of the levels: "l1" or "mse"
) -> dict[str, float | None]:
    """Return `samples_to_0.05` and `seconds_to_0.05` for a level of 0.05, and so on.

    They are those of the first evaluation at or below the level; None if there is none.
    """
    found = {}
    for level in levels:
        reached = history[history[unit] <= level]
        for name in ("samples", "seconds"):
            found[f"{name}_to_{level:g}"] = None if reached.empty else reached[name].iloc[0].item()
    return found


def _quality(drawn: Tensor, images: Tensor) -> dict[str, float | None]:
    if not bool(drawn.isfinite().all()):
        return dict.fromkeys(("l1", "mse", "psnr", "variation"))
    drawn = drawn.clamp(0, 1)
    mse = (drawn - images).square().mean(dtype=torch.float64).item()
    l1 = (drawn - images).abs().mean(dtype=torch.float64).item()
    differing = [math.sqrt(x.var(0, correction=0).mean().item()) for x in (drawn, images)]
    return dict(
        l1=l1, mse=mse, psnr=psnr_from_mse(mse), variation=differing[0] / differing[1] if differing[1] else None
    )


def _in_eval(model: Autoencoder, function):
    """What `function` returns while the model is in eval mode."""
    was = model.training
    model.eval()
    try:
        return function()
    finally:
        model.train(was)


def best(history: pd.DataFrame) -> Mapping[str, float | None]:
    """Return `best_l1` and `best_mse`, of all evaluations."""
    return {
        f"best_{name}": None if history[name].isna().all() else float(history[name].min()) for name in ("l1", "mse")
    }
