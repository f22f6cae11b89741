"""What a study's table says of a network that fills holes: how near its fillings are, and whether it fills at all."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from siren_fastai.study.inpainting.images import Holed

__all__ = ["HISTORY_COLUMNS", "Predict", "all_scores", "scores_of"]

HISTORY_COLUMNS = ("samples", "steps", "seconds", "lr", "train_loss", "psnr_small", "psnr_large")
LEAST_MSE = 1e-10  # a hole that is filled without error has 100 dB, so that means are finite
COLLAPSED_STD = 0.01  # of all outputs' values in a channel; images have .1 and more

Predict = Callable[[Tensor, Tensor], Tensor]  # (n, c, h, w) in [0, 1] and masks (n, 1, h, w) bool: (n, c, h, w)


@torch.no_grad()
def scores_of(
    predict: Predict,
    images: Tensor,  # (n, c, h, w) in [0, 1]
    masks: Tensor,  # (n, 1, h, w) bool, True is known
) -> dict[str, float | None]:
    """Return `psnr` (dB, the mean over the images) and `l1` in the holes, where predictions are clamped to [0, 1].

    `brightness` is the mean of the fillings as a share of what is missing: near 0 if black holes stay black. `known_l1`
    is the error of the network's own output outside the holes, which a filled image doesn't show. None where the
    output is not a number.
    """
    outputs = predict(images * masks, masks)
    if not torch.isfinite(outputs).all():
        return dict.fromkeys(("psnr", "l1", "brightness", "known_l1"))
    errors, holes = outputs.clamp(0, 1) - images, ~masks
    missing = holes.sum((1, 2, 3)) * images.shape[1]
    mse = (errors.square() * holes).sum((1, 2, 3)) / missing
    return {
        "psnr": -10 * mse.clamp_min(LEAST_MSE).log10().mean().item(),
        "l1": ((errors.abs() * holes).sum((1, 2, 3)) / missing).mean().item(),
        "brightness": ((outputs.clamp(0, 1) * holes).sum() / (images * holes).sum()).item(),
        "known_l1": (errors.abs() * masks).sum().item() / (int(masks.sum()) * images.shape[1]),
    }


def all_scores(
    predict: Predict,
    tests: Mapping[str, Holed],  # "train", "valid", "real", "synthetic"
) -> dict[str, float | bool | None]:
    """Return the columns of the study's table: of validation images without a prefix, of others with their name."""
    row: dict[str, float | bool | None] = {}
    for name, test in tests.items():
        prefix = "" if name == "valid" else f"{name}_"
        for kind, masks in test.masks.items():
            found = scores_of(predict, test.images, masks)
            kept = found if name == "valid" else {measure: found[measure] for measure in ("psnr", "l1")}
            row |= {f"{prefix}{measure}_{kind}": value for measure, value in kept.items()}
    return row | {"collapsed": _collapsed(predict, tests["valid"]), "diverged": row["psnr_large"] is None}


@torch.no_grad()
def _collapsed(predict: Predict, test: Holed) -> bool:
    """Whether all outputs are one colour, such as black or red."""
    outputs = predict(test.images * test.masks["large"], test.masks["large"])
    return bool(torch.isfinite(outputs).all() and outputs.std((0, 2, 3)).max() < COLLAPSED_STD)
