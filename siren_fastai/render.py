"""A network sampled on a grid of any size, chunk by chunk: memory is bounded by the output and one chunk."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from siren_fastai.coords import region_axes, region_size

__all__ = ["render"]

CHUNK = 1 << 14  # samples a pass: a few MB per layer, so that it stays in the processor's cache


@torch.no_grad()
def render(
    model: nn.Module,  # maps coordinates (n, d) in [-1, 1] to values (n, c)
    size: int | Sequence[int] | None = None,  # of the result, the one rule of `coords.region_size`
    region: Sequence[float] | None = None,  # the part of [-1, 1]^d to sample; None is everything
    grid: str = "centers",  # where samples lie in the region: "centers", "corners" or "left"
    clamp: tuple[float, float] | None = (0.0, 1.0),  # values are clamped to this (low, high); None leaves them
    chunk: int = CHUNK,  # samples per pass, at most
    shape: Sequence[int] | None = None,  # samples per axis of the signal that was fitted, which gives the proportions
) -> Tensor:  # (*size, c) float32 on the CPU
    """Sample the signal that `model` represents.

    size: an integer is the length of the region's shorter side and keeps the proportions of `shape`; one length per
        axis is taken as it is; None is as dense as `shape`. A network alone doesn't know its signal's proportions:
        without `shape`, an integer takes [-1, 1]^2 as a square image.
    region: all starts, then all ends: `(top, left, bottom, right)` for an image.
    Memory: the output and about `chunk` rows of the widest layer. The model's mode and device are left as they are.
    Raises: ValueError for a bad `size`, `region`, `grid` or `shape`, or neither `size` nor `shape`.
    """
    size = _full_size(size, region, shape)
    device = next(model.parameters()).device
    axes = [axis.to(device) for axis in region_axes(size, region, grid)]
    training, output = model.training, None
    model.eval()
    try:
        for start in range(0, math.prod(size), chunk):
            values = model(_positions(axes, start, min(start + chunk, math.prod(size)))).float()
            values = values if clamp is None else values.clamp_(*clamp)
            output = torch.empty(math.prod(size), values.shape[-1]) if output is None else output
            output[start : start + len(values)] = values
    finally:
        model.train(training)
    return output.view(*size, -1)


def _full_size(size, region, shape) -> tuple[int, ...]:
    if shape is not None:
        return region_size(shape, region, size)
    if size is None:
        raise ValueError("`size` must be an integer or one length per axis where there is no `shape`, got None")
    return region_size((1,) * (len(size) if hasattr(size, "__len__") else 2), region, size)


def _positions(axes: list[Tensor], start: int, stop: int) -> Tensor:
    """Coordinates (stop - start, d) of a run of samples in raster order."""
    index = torch.arange(start, stop, device=axes[0].device)
    columns = []
    for axis in reversed(axes):
        columns.append(axis[index % len(axis)])
        index = index // len(axis)
    return torch.stack(columns[::-1], dim=1)
