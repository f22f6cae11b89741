"""A network sampled on a grid of any size, chunk by chunk: memory is bounded by the output and one chunk."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from siren_fastai.coords import region_axes

__all__ = ["render"]

CHUNK = 1 << 14  # samples a pass: a few MB per layer, so that it stays in the processor's cache


@torch.no_grad()
def render(
    model: nn.Module,
    size: int | tuple[int, ...],
    region: tuple[float, ...] | None = None,
    grid: str = "centers",
    clamp: tuple[float, float] | None = (0.0, 1.0),
    chunk: int = CHUNK,
) -> Tensor:
    """The signal that `model` represents, at `size` samples per axis: (*size, c), float32, on the CPU.

    size: one length per axis, or one number for a square.
    region: the part of [-1, 1]^d to sample, `(top, left, bottom, right)` for pictures; in general all starts, then all
        ends. None is everything. Samples lie in the region as `grid` says, by default at pixel centres.
    clamp: values are cut to this range; None leaves them.
    Memory: the output and about `chunk` rows of the widest layer. The model's mode and device are left as they are.
    """
    size = tuple(size) if isinstance(size, Iterable) else (size, size)
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


def _positions(axes: list[Tensor], start: int, stop: int) -> Tensor:
    """Coordinates (stop - start, d) of a run of samples in raster order."""
    index = torch.arange(start, stop, device=axes[0].device)
    columns = []
    for axis in reversed(axes):
        columns.append(axis[index % len(axis)])
        index = index // len(axis)
    return torch.stack(columns[::-1], dim=1)
