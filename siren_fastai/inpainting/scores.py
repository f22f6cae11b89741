"""How well holes are filled, image by image: PSNR and L1 in the hole and outside, SSIM of the filled image.

Images are (n, c, h, w) in [0, 1], predictions are clamped to it, and masks are (n, 1, h, w), 1 being known.
"""

import torch
from torch import Tensor

from siren_fastai.inpainting.masks import composite
from siren_fastai.quality import ssim

__all__ = ["error_sums", "filled_ssim", "hole_l1", "hole_psnr", "known_l1", "known_psnr", "pooled_psnr"]

SLACK = 1e-5  # of rounding, by which targets may leave [0, 1]


def hole_psnr(pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return the PSNR in the hole of each image, (n,) in dB; nan without a hole, infinite where it is exact."""
    return _psnr(error_sums(pred, target, ~mask.bool()))


def known_psnr(pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return the PSNR of the known pixels of each image, (n,) in dB: of the prediction, not of the composite."""
    return _psnr(error_sums(pred, target, mask.bool()))


def hole_l1(pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return the mean absolute error in the hole of each image, (n,), from 0 to 1; nan without a hole."""
    return _mean(error_sums(pred, target, ~mask.bool(), "l1"))


def known_l1(pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return the mean absolute error at the known pixels of each image, (n,): of the prediction, not the composite."""
    return _mean(error_sums(pred, target, mask.bool(), "l1"))


def filled_ssim(pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return the SSIM of each filled image, (n,): known pixels are those of the target. Images of at least 7x7."""
    filled = composite(pred.detach().float().clamp(0, 1), target.float(), mask)
    pairs = zip(filled.permute(0, 2, 3, 1), target.permute(0, 2, 3, 1), strict=True)
    return torch.tensor([ssim(*pair) for pair in pairs], device=pred.device)


def pooled_psnr(pred: Tensor, target: Tensor, mask: Tensor) -> float:
    """Return the PSNR in all holes taken together, in dB: that of the mean squared error over their pixels.

    Large and difficult holes weigh more than in a mean of `hole_psnr`, and the order of methods may differ.
    """
    return _psnr(error_sums(pred, target, ~mask.bool()).sum(0, keepdim=True)).item()


def error_sums(
    pred: Tensor,  # (n, c, h, w), clamped to [0, 1]
    target: Tensor,  # (n, c, h, w) in [0, 1]
    part: Tensor,  # (n, 1, h, w) bool: the pixels that count
    kind: str = "l2",  # "l2", squared errors, or "l1", absolute ones
) -> Tensor:  # (n, 2) float32: the sum of the errors in the part, and the number of its values
    """Return each image's sum of errors, from which means over images or over pixels are made.

    Raises: ValueError for shapes that don't belong together, or targets outside [0, 1].
    """
    if pred.shape != target.shape or part.shape != (len(target), 1, *target.shape[2:]):
        raise ValueError(
            "`pred` and `target` must be (n, c, h, w) with a mask (n, 1, h, w), got "
            f"{tuple(pred.shape)}, {tuple(target.shape)} and {tuple(part.shape)}"
        )
    low, high = (bound.item() for bound in target.aminmax())
    if low < -SLACK or high > 1 + SLACK:
        raise ValueError(f"targets must be in [0, 1], got {low:g} to {high:g}: divide 8-bit images by 255")
    error = (pred.detach().float().clamp(0, 1) - target.float()).masked_fill(~part, 0)
    error = error.abs() if kind == "l1" else error.square()
    return torch.stack([error.sum((1, 2, 3)), target.shape[1] * part.sum((1, 2, 3)).float()], 1)


def _mean(sums: Tensor) -> Tensor:
    return sums[:, 0] / sums[:, 1]


def _psnr(sums: Tensor) -> Tensor:
    return -10 * _mean(sums).log10()
