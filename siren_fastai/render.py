"""A network sampled on a grid of any size, chunk by chunk: memory is bounded by the output and one chunk."""

import math

import torch
from torch import Tensor, nn

from siren_fastai.coords import axis_positions

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
    size = (size, size) if isinstance(size, int) else tuple(size)
    if not size or any(not isinstance(n, int) or n < 1 for n in size):
        raise ValueError(f"`size` must be whole numbers of 1 or more, got {size!r}")
    axes = _axes(size, region, grid, next(model.parameters()).device)
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


def _axes(size: tuple[int, ...], region, grid: str, device) -> list[Tensor]:
    d = len(size)
    region = (*(-1.0,) * d, *(1.0,) * d) if region is None else tuple(float(x) for x in region)
    if len(region) != 2 * d or any(a >= b for a, b in zip(region[:d], region[d:], strict=True)):
        raise ValueError(f"`region` must be {d} starts and then {d} larger ends in [-1, 1], got {region!r}")
    unit = [(axis_positions(n, grid) + 1) / 2 for n in size]
    return [(a + (b - a) * u).to(device) for u, a, b in zip(unit, region[:d], region[d:], strict=True)]


def _positions(axes: list[Tensor], start: int, stop: int) -> Tensor:
    """Coordinates (stop - start, d) of a run of samples in raster order."""
    index = torch.arange(start, stop, device=axes[0].device)
    columns = []
    for axis in reversed(axes):
        columns.append(axis[index % len(axis)])
        index = index // len(axis)
    return torch.stack(columns[::-1], dim=1)
