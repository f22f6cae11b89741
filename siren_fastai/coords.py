"""Where the samples are: grids on [-1, 1]^d, orders of pixels along a line, positions between pixels.

Coordinates follow the array: (row, col) = (y, x) for images. Flat lists of pixels are in raster order unless said
otherwise. The grids: "centers" (2i+1)/n - 1, the default; "corners" linspace(-1, 1, n), elsewhere `align_corners=True`;
"left" 2i/n - 1, where pixel i of n is pixel 2i of 2n.
Source of the curves: Hilbert 1891, Math. Ann. 38; Morton 1966 ("zorder").
"""

import math
import operator
from collections.abc import Sequence
from itertools import product

import numpy as np
import torch
from torch import Tensor

__all__ = [
    "GRIDS",
    "ORDERS",
    "axis_positions",
    "grid_coords",
    "region_axes",
    "region_size",
    "random_positions",
    "pixel_order",
    "line_coords",
    "append_features",
    "sample_linear",
]

GRIDS = ("centers", "corners", "left")
ORDERS = ("raster", "serpentine", "zorder", "hilbert", "shuffled")
CHUNK = 1 << 15  # pixels placed on a curve at a time, so that they stay in the processor's cache


def axis_positions(
    n: int,  # samples
    grid: str = "centers",  # one of GRIDS
) -> Tensor:  # (n,) float32
    """The `n` positions of one axis on [-1, 1], rounded once to float32.

    A single pixel lies at 0, except on the "left" grid, where it lies at -1.
    Raises: ValueError for n < 1 or an unknown `grid`.
    """
    return _axis_positions(n, grid).float()


def grid_coords(
    shape: Sequence[int],  # samples along each axis, without channels
    grid: str = "centers",  # one of GRIDS
) -> Tensor:  # (prod(shape), len(shape)) float32 in [-1, 1]
    """The coordinates of every sample of an array of `shape`, in raster order and in the array's order of axes.

    Raises: ValueError for an empty shape, a side below 1 or an unknown `grid`.
    """
    return _mesh([axis_positions(n, grid) for n in _checked_shape(shape)])


def region_axes(
    size: Sequence[int],  # samples along each of the d axes
    region: Sequence[float] | None = None,  # d starts, then d ends: (top, left, bottom, right) for images; None is all
    grid: str = "centers",  # where the samples lie in the region, as on a whole signal; one of GRIDS
) -> list[Tensor]:  # (n,) float32 for each axis
    """The positions along each axis of a signal of `size` samples that shows only `region` of [-1, 1]^d.

    Raises: ValueError for a region that is empty, not finite or outside [-1, 1], a bad `size` or `grid`.
    """
    sides = _checked_shape(size)
    starts, ends = _checked_region(region, len(sides))
    spans = zip(sides, starts, ends, strict=True)
    return [(_axis_positions(n, grid) * ((b - a) / 2) + (a + b) / 2).float() for n, a, b in spans]


def region_size(
    shape: Sequence[int],  # samples along each axis of the whole signal, without channels
    region: Sequence[float] | None = None,  # the part to sample, as in `region_axes`; None is everything
    size: int | Sequence[int] | None = None,  # None, an integer for the shorter side, or one length per axis
) -> tuple[int, ...]:  # samples along each axis of the region
    """Turn a `size` into one length per axis: the library's one rule for sizes.

    None keeps the density of the signal. An integer is the length of the region's shorter side and keeps the
    proportions, rounded, at least 1. A sequence is taken as it is. With more than two axes, an integer scales the last
    two, which are rows and columns; the leading axes, such as a video's time, keep the density of the signal.
    Raises: ValueError for a `size` of the wrong length or with anything but integers of at least 1, or a bad `shape` or
    `region`.
    """
    sides = _checked_shape(shape)
    spans = [n * (b - a) / 2 for n, a, b in zip(sides, *_checked_region(region, len(sides)), strict=True)]
    size = _checked_size(size, len(sides))
    if isinstance(size, tuple):
        return size
    if size is not None:
        shorter = min(spans[-2:])
        spans = [*spans[:-2], *[span * size / shorter for span in spans[-2:]]]
    return tuple(max(1, round(span)) for span in spans)


def random_positions(
    n: int,  # positions
    d: int,  # axes
    generator: torch.Generator | None = None,  # draws on its own device; None is PyTorch's global generator
    device: torch.device | str | None = None,  # of the result; None is the generator's, else PyTorch's default
) -> Tensor:  # (n, d) float32
    """`n` positions drawn uniformly from [-1, 1)^d.

    Raises: ValueError for n or d below 1.
    """
    shape = _checked_shape((n, d))
    source = device if generator is None else generator.device
    positions = torch.rand(shape, generator=generator, device=source, dtype=torch.float32).mul_(2).sub_(1)
    return positions if device is None else positions.to(device)


def pixel_order(
    shape: Sequence[int],  # samples along each axis
    order: str = "raster",  # one of ORDERS
    seed: int | None = None,  # of "shuffled" only; None draws from PyTorch's global generator
) -> Tensor:  # (prod(shape),) int64, a permutation
    """The order in which a walk visits the pixels: `result[k]` is the flat raster index of the k-th one.

    "raster" row after row; "serpentine" every other row backwards, so that each step goes to a neighbour (any number of
    dimensions); "zorder" and "hilbert" (2-D shapes) the curve of the smallest power-of-two square that holds the
    image, less what is outside: a whole power-of-two square has only neighbour steps under "hilbert", another shape has
    a jump wherever the curve leaves the image and comes back; "shuffled" a random permutation.
    Raises: ValueError for an unknown `order`, a bad shape, or a curve over a shape that is not 2-D.
    """
    shape = _checked_shape(shape)
    if order not in ORDERS:
        raise ValueError(f"`order` must be one of {ORDERS}, got {order!r}")
    if order == "raster":
        return torch.arange(math.prod(shape))
    if order == "serpentine":
        return _serpentine(shape)
    if order == "shuffled":
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        return torch.randperm(math.prod(shape), generator=generator)
    if len(shape) != 2:
        raise ValueError(f"`order`={order!r} needs a 2-D shape, got {shape}: use 'raster' or 'serpentine'")
    rows = np.arange(shape[0], dtype=np.int32)
    some = max(1, CHUNK // shape[1])
    ranks = [_curve_ranks(rows[top : top + some], *shape, order) for top in range(0, shape[0], some)]
    return torch.from_numpy(np.argsort(np.concatenate(ranks)))


def line_coords(
    shape: Sequence[int],  # samples along each axis
    order: str = "raster",  # of the walk, one of ORDERS
    grid: str = "centers",  # where the visits lie on [-1, 1], one of GRIDS
    seed: int | None = None,  # of "shuffled" only
) -> Tensor:  # (prod(shape), 1) float32; row i belongs to the pixel of raster index i
    """One coordinate for each pixel: how far along the walk of `pixel_order` it is visited.

    float32 tells neighbours apart up to about 2**24 pixels (4096 x 4096).
    Raises: ValueError as `pixel_order` and `axis_positions` do.
    """
    visited = pixel_order(shape, order, seed)
    coords = torch.empty(len(visited))
    coords[visited] = axis_positions(len(visited), grid)
    return coords[:, None]


def append_features(coords: Tensor, features: Tensor) -> Tensor:
    """Append further inputs of the network to coordinates, such as a cluster's label.

    Shapes: (n, d), (n, k) -> (n, d + k), of the type and on the device of `coords`; k = 0 gives `coords` itself.
    Raises: ValueError unless both are 2-D with the same n.
    """
    if coords.dim() != 2 or features.dim() != 2 or len(coords) != len(features):
        raise ValueError(
            f"`coords` and `features` must be (n, d) and (n, k) with the same n, "
            f"got {tuple(coords.shape)} and {tuple(features.shape)}"
        )
    return torch.cat([coords, features.to(coords)], dim=1) if features.shape[1] else coords


def sample_linear(values: Tensor, coords: Tensor, grid: str = "centers") -> Tensor:
    """Values between the samples of an array by linear interpolation; the border's value outside the outermost samples.

    `grid` says where the array's samples lie. On "corners" it is `grid_sample(align_corners=True)` with border padding
    (whose last axis comes first: (x, y)). Differentiable in both arguments; a NaN coordinate gives NaN.

    Shapes: `values` (*shape, c), `coords` (n, d) with d = len(shape) (1, 2, 3, ...) -> (n, c).
    Raises: TypeError for `values` that are not floating point; ValueError when d does not fit or `grid` is unknown.
    """
    shape = _checked_shape(values.shape[:-1])
    _check_grid(grid)
    if coords.dim() != 2 or coords.shape[1] != len(shape):
        raise ValueError(
            f"`coords` must be (n, {len(shape)}) for `values` of shape {tuple(values.shape)} = (*shape, channels), "
            f"got {tuple(coords.shape)}"
        )
    if not values.is_floating_point():
        raise TypeError(f"`values` must be floating point, got {values.dtype}: convert with `.float()`")
    axes = [_neighbours(coords[:, i], n, grid) for i, n in enumerate(shape)]
    flat, result = values.reshape(-1, values.shape[-1]), 0.0
    for corner in product((0, 1), repeat=len(shape)):
        index, weight = 0, 1.0
        for n, side, (low, high, fraction) in zip(shape, corner, axes, strict=True):
            index = index * n + (high if side else low)
            weight = weight * (fraction if side else 1 - fraction)
        result = result + flat.index_select(0, index) * weight[:, None]
    return result


def _axis_positions(n: int, grid: str) -> Tensor:
    """`axis_positions` in float64."""
    _check_grid(grid)
    (n,) = _checked_shape((n,))
    i = torch.arange(n, dtype=torch.float64)
    if grid == "corners":
        return torch.linspace(-1, 1, n, dtype=torch.float64) if n > 1 else torch.zeros(1, dtype=torch.float64)
    return (2 * i + 1) / n - 1 if grid == "centers" else 2 * i / n - 1


def _mesh(axes: list[Tensor]) -> Tensor:
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).view(-1, len(axes))


def _serpentine(shape: tuple[int, ...]) -> Tensor:
    """Boustrophedon: the walk over the last axes, there and back, once for each index of the first axis."""
    inner = _serpentine(shape[1:]) if len(shape) > 1 else torch.zeros(1, dtype=torch.int64)
    walks = torch.stack([inner, inner.flip(0)])
    first = torch.arange(shape[0])
    return (walks[first % 2] + first[:, None] * len(inner)).flatten()


def _curve_ranks(rows: np.ndarray, height: int, width: int, order: str) -> np.ndarray:
    """The place of each pixel of some rows, in raster order, along the curve of the power-of-two square."""
    y, x = (axis.ravel() for axis in np.meshgrid(rows, np.arange(width, dtype=np.int32), indexing="ij"))
    ranks = np.zeros(len(y), dtype=np.int64)
    for bit in reversed(range((max(height, width) - 1).bit_length())):  # the quadrant, then the place in it
        lower, right = (y >> bit) & 1, (x >> bit) & 1
        ranks = 4 * ranks + (2 * lower + right if order == "zorder" else (3 * right) ^ lower)
        if order == "hilbert":  # the upper quadrants are entered transposed, the right one also from its far end
            flip = -(right & ~lower)  # all bits where the place is counted from the far end; higher bits do not matter
            x, y = x ^ flip, y ^ flip
            x, y = np.where(lower, x, y), np.where(lower, y, x)
    return ranks


def _neighbours(position: Tensor, n: int, grid: str) -> tuple[Tensor, Tensor, Tensor]:
    """The two samples around each position of an axis, and how far the position is from the lower to the upper one."""
    scaled = {"centers": (position + 1) * n - 1, "corners": (position + 1) * (n - 1), "left": (position + 1) * n}[grid]
    place = (scaled / 2).clamp(0, n - 1)
    low = place.detach().nan_to_num(0.0).floor().long()
    return low, (low + 1).clamp(max=n - 1), place - low


def _is_int(value) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, (bool, Tensor))


def _checked_shape(shape: Sequence[int]) -> tuple[int, ...]:
    sides = tuple(shape) if isinstance(shape, Sequence) else ()
    if not sides or not all(_is_int(n) and n >= 1 for n in sides):
        raise ValueError(f"sizes must be integers of at least 1, one for each axis, got {shape!r}")
    return tuple(operator.index(n) for n in sides)


def _checked_size(size: int | Sequence[int] | None, d: int) -> int | tuple[int, ...] | None:
    sides = tuple(size) if isinstance(size, (Sequence, np.ndarray)) else None
    lengths = sides if sides is not None else () if size is None else (size,)
    if not all(_is_int(n) and n >= 1 for n in lengths) or (sides is not None and len(sides) != d):
        axes = {1: "(length,)", 2: "(height, width)"}.get(d, f"one length for each of the {d} axes")
        raise ValueError(f"`size` must be an integer of at least 1 or {axes}, got {size!r}")
    return size if size is None else operator.index(size) if sides is None else tuple(map(operator.index, sides))


def _checked_region(region: Sequence[float] | None, d: int) -> tuple[list[float], list[float]]:
    numbers = [*[-1.0] * d, *[1.0] * d] if region is None else [float(x) for x in region]
    starts, ends = numbers[:d], numbers[d:]
    if len(numbers) != 2 * d or not all(-1 <= a < b <= 1 for a, b in zip(starts, ends, strict=False)):
        raise ValueError(
            f"`region` must be {d} starts and then {d} larger ends in [-1, 1], (top, left, bottom, right) for an "
            f"image, got {region!r}: pixels become coordinates by 2 * pixel / size - 1"
        )
    return starts, ends


def _check_grid(grid: str) -> None:
    if grid not in GRIDS:
        raise ValueError(f"`grid` must be one of {GRIDS}, got {grid!r}")
