"""A plain grid of learned values with linear interpolation: the baseline that a network must beat.

Source: "Grids Often Outperform INRs", NeurIPS 2025, arXiv:2506.11139, and its code (`models/grid.py`: all values start
at 0.1). They interpolate bicubically; this is linear.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from siren_fastai.coords import sample_linear

__all__ = ["ValueGrid", "grid_model", "grid_shape_for"]


class ValueGrid(nn.Module):
    """`n_out` values in every cell of a grid over [-1, 1]^d, interpolated linearly between cell centres.

    Outside the outermost centres the border's values hold. A grid of the image's size, sampled at its pixel centres,
    is the image.
    Shapes: (n, d) -> (n, n_out), d = len(shape); axes in array order, (row, column) for images.
    """

    def __init__(
        self,
        shape: Sequence[int],  # cells along each axis
        n_out: int,  # values in each cell
        initial: float = 0.1,  # what they start at
    ):
        super().__init__()
        self.shape = tuple(int(n) for n in shape)
        self.values = nn.Parameter(torch.full((*self.shape, n_out), float(initial)))

    def forward(self, x: Tensor) -> Tensor:
        return sample_linear(self.values, x)

    def extra_repr(self) -> str:
        return f"shape={self.shape}, n_out={self.values.shape[-1]}"


def grid_shape_for(
    n_parameters: int,  # values in all, at most
    n_out: int = 3,  # values in each cell
    sidelength: int | Sequence[int] | None = None,  # the image's sides in pixels, for the proportions; None is a square
    n_in: int = 2,  # axes
) -> list[int]:
    """Return the largest grid with the proportions of `sidelength` and at most `n_parameters` values.

    `grid_shape_for(198_401, n_out=1)` is [445, 445].
    Raises: ValueError if `n_parameters` is not enough for one cell, or `sidelength` has not one side for each axis.
    """
    cells = n_parameters // n_out
    if cells < 1:
        raise ValueError(f"`n_parameters` must be at least `n_out`, one cell's values: got {n_parameters} for {n_out}")
    sides = [1] * n_in if sidelength is None or isinstance(sidelength, int) else list(sidelength)
    if len(sides) != n_in:
        raise ValueError(f"`sidelength` must be one number or {n_in}, one for each axis, got {sidelength!r}")
    shape = []
    for axis, side in enumerate(sides[:-1]):  # each axis in turn takes its share of the cells that are left
        rest = sides[axis:]
        share = side * (cells / math.prod(rest)) ** (1 / len(rest))
        shape.append(min(cells, max(1, math.floor(share + 1e-9))))
        cells //= shape[-1]
    return [*shape, cells]


def grid_model(
    shape: Sequence[int],  # cells along each axis
    n_out: int,  # values in each cell
) -> nn.Sequential:
    """Return a `ValueGrid` as a network of one layer. Shapes: (n, len(shape)) -> (n, n_out)."""
    return nn.Sequential(ValueGrid(shape, n_out))
