"""What a study's table says of a fit: quality, work, and the work until each level."""

import math
from collections.abc import Mapping, Sequence

import pandas as pd
import torch
from torch import Tensor, nn

from siren_fastai.coords import grid_coords, sample_linear
from siren_fastai.data import PixelDataset
from siren_fastai.error_maps import frequency_error
from siren_fastai.quality import convert_mse, mse, psnr, psnr_from_mse, ssim
from siren_fastai.render import render

__all__ = [
    "HISTORY_COLUMNS",
    "level_in_db",
    "off_grid_quality",
    "quality_of",
    "split_quality",
    "tidy_history",
    "work_of",
    "work_to_levels",
]

HISTORY_COLUMNS = ("epochs", "steps", "samples", "seconds", "flops", "lr", "train_loss", "mse", "psnr")
BANDS, LOW_BANDS = 8, 2  # of spatial frequency; the first two, up to a quarter of Nyquist's, count as low
WORK = ("steps", "epochs", "seconds", "flops")


def level_in_db(
    level: float,  # in the unit
    unit: str,  # "psnr", "unit" or "imagenet", see `fitting.settings`
) -> float:
    """Return a level of quality as PSNR in dB of colours in [0, 1]."""
    return float(level) if unit == "psnr" else psnr_from_mse(convert_mse(level, unit, "unit"))


def tidy_history(
    rows: Sequence[Mapping],  # of `MetricHistory`
    flops_per_step: float,
) -> pd.DataFrame:  # HISTORY_COLUMNS, a row per evaluation of the whole image
    """Return the evaluations, with the work until each; the MSE and the PSNR (dB) are those of clamped colours."""
    found = [
        {
            **dict(epochs=row["epoch"] + 1, steps=row["opt_steps"], samples=row["samples_seen"]),
            **dict(seconds=row["train_seconds"], flops=row["opt_steps"] * flops_per_step, lr=row["lr"]),
            **dict(train_loss=row["train_loss"], mse=10 ** (-row["psnr"] / 10), psnr=row["psnr"]),
        }
        for row in rows
        if "psnr" in row
    ]
    return pd.DataFrame(found, columns=list(HISTORY_COLUMNS))


def work_to_levels(
    history: pd.DataFrame,  # of `tidy_history`
    levels: Sequence[float],
    unit: str,  # of the levels
) -> dict[str, float | None]:
    """Return `steps_to_30`, `epochs_to_30`, `seconds_to_30` and `flops_to_30` for a level of 30, and so on.

    They are those of the first evaluation at or above the level; None if there is none.
    """
    found = {}
    for level in levels:
        reached = history[history["psnr"] >= level_in_db(level, unit)]
        for column in WORK:
            found[f"{column}_to_{level:g}"] = None if reached.empty else reached[column].iloc[0].item()
    return found


def quality_of(prediction: Tensor, image: Tensor) -> dict[str, float | bool | None]:
    """Return the quality of a prediction (h, w, c), clamped to [0, 1]; None where it is not a number.

    `low_error` and `high_error` add up to `mse`: squared errors below and above a quarter of the Nyquist frequency;
    `high_share` is the second's part of it.
    `diverged`: there are no numbers, because the loss became infinite or NaN.
    """
    if not bool(prediction.isfinite().all()):
        names = ("psnr", "mse", "ssim", "low_error", "high_error", "high_share")
        return {**dict.fromkeys(names), "diverged": True}
    clamped = prediction.clamp(0, 1)
    bands, error = frequency_error(clamped, image, BANDS), mse(clamped, image)
    return {
        **dict(psnr=psnr_from_mse(error), mse=error, ssim=ssim(clamped, image)),
        **dict(low_error=float(bands[:LOW_BANDS].sum()), high_error=float(bands[LOW_BANDS:].sum())),
        "high_share": float(bands[LOW_BANDS:].sum() / bands.sum()) if error else None,
        "diverged": False,
    }


def split_quality(prediction: Tensor, image: Tensor, train: PixelDataset) -> dict[str, float | None]:
    """Return `psnr_train` and `psnr_held_out`, of the pixels that training had and had not; None for none of them."""
    if train.pixels is None:
        return {"psnr_train": None, "psnr_held_out": None}
    pred, goal = (values.reshape(-1, values.shape[-1]) for values in (prediction, image))
    mask = torch.zeros(len(goal), dtype=torch.bool)
    mask[train.pixels.cpu()] = True
    parts = {"psnr_train": mask, "psnr_held_out": ~mask}
    return {name: _number(psnr(pred[part], goal[part])) for name, part in parts.items()}


def off_grid_quality(
    model: nn.Module,
    train: PixelDataset,
    image: Tensor,  # (h, w, c)
    finer: Tensor | None,  # (2h, 2w, c) the same image at twice the size, if it is known
) -> dict[str, float | None]:
    """Return the PSNR between the pixels, at twice the size.

    `psnr_off_grid` is against the image itself at that size, which has detail that training has not seen (grid
    "centers" only, where a resized image has its pixels);
    `psnr_off_grid_gain` is by how much that is better than a linear interpolation of the pixels; `psnr_bilinear` is
    against this interpolation itself, for a fit that should add nothing of its own. None for coordinates along a line.
    """
    names = ("psnr_off_grid", "psnr_off_grid_gain", "psnr_bilinear")
    if train.grid is None:
        return dict.fromkeys(names)
    size = tuple(2 * n for n in image.shape[:2])
    between = render(model, size, grid=train.grid)
    smooth = sample_linear(image, grid_coords(size, train.grid), train.grid).view(*size, -1)
    smooth, found = smooth.clamp(0, 1), {}
    if finer is not None and train.grid == "centers":
        own = psnr(between, finer)
        found = {"psnr_off_grid": _number(own), "psnr_off_grid_gain": _number(own - psnr(smooth, finer))}
    return {**dict.fromkeys(names), **found, "psnr_bilinear": _number(psnr(between, smooth))}


def work_of(
    flops_per_sample: float,
    steps: int,
    samples: int,  # seen in all steps
    seconds: float,  # of training
) -> dict[str, float | None]:
    """Return what the training took; operations are those of matrix products, see `models.flops`."""
    total = flops_per_sample * samples
    return {
        **dict(total_steps=steps, samples_seen=samples, train_seconds=seconds),
        **dict(
            samples_per_second=samples / seconds if seconds else None,
            seconds_per_step=seconds / steps if steps else None,
        ),
        **dict(flops_per_sample=flops_per_sample, flops_per_step=total / steps if steps else None, total_flops=total),
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
