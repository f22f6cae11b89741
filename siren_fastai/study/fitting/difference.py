"""Two fits of one image: where one errs more than the other, per pixel and per spatial frequency."""

import math
from collections.abc import Mapping
from pathlib import Path

import matplotlib
import torch
from torch import Tensor

from siren_fastai.error_maps import absolute_error, frequency_error
from siren_fastai.files import write_json
from siren_fastai.images import save_image
from siren_fastai.study.fitting.run import fit_settings, write_fit
from siren_fastai.study.fitting.scores import BANDS

__all__ = ["compare_errors", "run_difference", "signed_colors"]


def run_difference(settings: Mapping, folder: Path) -> dict:
    """Fit twice, the second time with the settings in `other`, and return the first fit's row with what it gains.

    Writes what a fit writes, and if neither fit diverged difference.json and difference.png: blue where the first is
    nearer to the image, red where the other is, white where they err alike.
    """
    own = {name: value for name, value in settings.items() if name != "other"}
    first, other = fit_settings(own, folder), fit_settings({**own, **settings["other"], "pictures": False}, folder)
    write_fit(first, own, folder)
    row = {**first.row, "other_psnr": other.row["psnr"], "diverged": first.row["diverged"] or other.row["diverged"]}
    if row["diverged"]:
        return row | dict.fromkeys(("psnr_gain", "psnr_gain_low", "psnr_gain_high", "share_better"))
    pair = [fit.prediction.clamp(0, 1) for fit in (first, other)]
    found, nearer = compare_errors(*pair, first.image)
    scale = nearer.abs().max().item()
    scales = {"band_width_in_nyquist": 1 / BANDS, "color_scale": scale}
    write_json({**found, **scales}, folder / "difference.json")
    save_image(signed_colors(nearer, scale), folder / "difference.png")
    return row | {
        "psnr_gain": first.row["psnr"] - other.row["psnr"],
        "psnr_gain_low": _gain(first.row["low_error"], other.row["low_error"]),
        "psnr_gain_high": _gain(first.row["high_error"], other.row["high_error"]),
        "share_better": found["share_better"],
    }


def compare_errors(
    first: Tensor,  # (h, w, c) in [0, 1]
    other: Tensor,  # (h, w, c) in [0, 1]
    image: Tensor,  # (h, w, c) in [0, 1]
) -> tuple[dict, Tensor]:
    """Return the squared error of both in each band of spatial frequency, and the map of who is nearer to the image.

    The map (h, w) is the other's absolute error less the first's, the mean of the channels: positive where the first is
    nearer. `share_better` is the share of pixels where it is.
    """
    nearer = (absolute_error(other, image) - absolute_error(first, image)).mean(-1)
    bands = {name: frequency_error(pred, image, BANDS).tolist() for name, pred in (("first", first), ("other", other))}
    return {"bands": bands, "share_better": (nearer > 0).float().mean().item()}, nearer


def signed_colors(
    values: Tensor,  # (h, w)
    scale: float,  # what is as blue as can be; its negative is as red as can be
) -> Tensor:  # (h, w, 3) in [0, 1]
    """Return a map of signed values in colours: blue above 0, white at 0, red below."""
    places = (values / scale if scale > 0 else torch.zeros_like(values)).clamp(-1, 1)
    colors = matplotlib.colormaps["RdBu"](((places + 1) / 2).numpy())
    return torch.from_numpy(colors[..., :3]).float()


def _gain(first: float, other: float) -> float | None:
    """By how many dB the first error is lower; None if one of them is 0."""
    return 10 * math.log10(other / first) if first > 0 and other > 0 else None
