"""A plain grid of learned values with linear interpolation: the baseline that a network must justify itself against.

Source: "Grids Often Outperform INRs", NeurIPS 2025, arXiv:2506.11139, and its code (`models/grid.py`: all values start
at 0.1). They interpolate bicubically; this is linear.
"""

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["ValueGrid", "grid_model", "grid_shape_for"]


class ValueGrid(nn.Module):
    """`n_out` values in every cell of a grid over [-1, 1]^d, interpolated linearly between cell centres, held outside.

    A grid of the picture's size, read at the picture's pixel centres, is the picture. Values start at `initial`.
    Only gathers and sums: unlike `grid_sample`, it runs under `torch.use_deterministic_algorithms` on CUDA.
    Shapes: (n, d) -> (n, n_out), d = len(shape); axes in array order, (row, column) for pictures.
    """

    def __init__(self, shape: Sequence[int], n_out: int, initial: float = 0.1):
        super().__init__()
        self.shape = tuple(int(n) for n in shape)
        self.values = nn.Parameter(torch.full((*self.shape, n_out), float(initial)))

    def forward(self, x: Tensor) -> Tensor:
        cells = x.new_tensor(self.shape)
        position = ((x + 1) * (cells / 2) - 0.5).clamp(min=0).minimum(cells - 1)
        low = position.detach().floor()
        fraction, low = position - low, low.long()
        flat, total = self.values.flatten(0, -2), 0
        for corner in itertools.product((0, 1), repeat=len(self.shape)):
            index, weight = 0, 1
            for axis, (size, high) in enumerate(zip(self.shape, corner, strict=True)):
                index = index * size + (low[:, axis] + high).clamp(max=size - 1)
                weight = weight * (fraction[:, axis] if high else 1 - fraction[:, axis])
            total = total + weight[:, None] * flat.index_select(0, index)
        return total

    def extra_repr(self) -> str:
        return f"shape={self.shape}, n_out={self.values.shape[-1]}"


def grid_shape_for(
    n_parameters: int, n_out: int = 3, sidelength: int | Sequence[int] | None = None, n_in: int = 2
) -> list[int]:
    """The grid with the proportions of `sidelength` (a square for None) and at most `n_parameters` values in all.

    `grid_shape_for(198_401, n_out=1)` is [445, 445]. Raises: ValueError if not even one cell can be paid for.
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


def grid_model(shape: Sequence[int], n_out: int) -> nn.Sequential:
    """A `ValueGrid` as a network of one layer. Shapes: (n, len(shape)) -> (n, n_out)."""
    return nn.Sequential(ValueGrid(shape, n_out))
