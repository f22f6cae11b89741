"""What a network finds in the hole before it starts: black, the mean colour, or a smooth continuation."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["PREFILLS", "black_prefill", "mean_prefill", "smooth_prefill"]

SWEEPS, MOST_SWEEPS = 4, 32  # of relaxation on the finest level, twice as many on each coarser one, and at most
DAMPING = 0.8  # of a sweep: without it, values in the pattern of a chessboard would never change


def black_prefill(
    image: Tensor,  # (n, c, h, w); what is in the hole doesn't matter, and may be NaN
    known: Tensor,  # (n, 1, h, w) bool
) -> Tensor:
    """Return the images with 0 in the hole."""
    return image.masked_fill(~known, 0)


def mean_prefill(
    image: Tensor,  # (n, c, h, w)
    known: Tensor,  # (n, 1, h, w) bool
) -> Tensor:
    """Return the images with the mean of their known pixels in the hole; 0 where nothing is known."""
    black = black_prefill(image, known)
    count = known.sum((2, 3), keepdim=True).clamp_min(1)
    mean = black.sum((2, 3), keepdim=True, dtype=torch.float32) / count
    return torch.where(known, black, mean.to(black.dtype))


@torch.no_grad()
def smooth_prefill(
    image: Tensor,  # (n, c, h, w)
    known: Tensor,  # (n, 1, h, w) bool
) -> Tensor:
    """Return the images with a smooth surface in the hole that meets the known pixels at its edge.

    It is nearly the solution of Laplace's equation, by a pyramid: known pixels are averaged down to one pixel, and on
    the way back each level continues the coarser one, with a few sweeps of relaxation. 0 where nothing is known. No
    gradient passes.
    """
    return _fill(black_prefill(image, known).float(), known, SWEEPS).to(image.dtype)


PREFILLS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "black": black_prefill,
    "mean": mean_prefill,
    "smooth": smooth_prefill,
}


def _fill(values: Tensor, known: Tensor, sweeps: int) -> Tensor:
    """`values`, 0 in the hole, continued there."""
    height, width = values.shape[2:]
    if height == width == 1:
        return values
    even = (0, width % 2, 0, height % 2)
    share = F.avg_pool2d(F.pad(known.float(), even), 2)
    coarse = F.avg_pool2d(F.pad(values, even), 2) / share.clamp_min(0.25)
    below = _fill(coarse, share > 0, min(2 * sweeps, MOST_SWEEPS))
    below = F.interpolate(below, scale_factor=2, mode="bilinear")[..., :height, :width]
    filled = torch.where(known, values, below)
    for _ in range(sweeps):
        filled = torch.where(known, values, torch.lerp(filled, _neighbours(filled), DAMPING))
    return filled


def _neighbours(x: Tensor) -> Tensor:
    """The mean of each pixel's four neighbours; a pixel at the border counts as its own neighbour beyond it."""
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    rows = padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1]
    return (rows + padded[..., 1:-1, :-2] + padded[..., 1:-1, 2:]) / 4
