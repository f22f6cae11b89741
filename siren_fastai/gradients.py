"""Gradients of signals by their coordinates, as targets of a fit, and two signals' gradients as one field.

Sources: Sitzmann et al. 2020, arXiv:2006.09661, sec. 4.1; Perez, Gangnet and Blake 2003, *Poisson image editing*.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from torch import Tensor

from siren_fastai.coords import axis_positions

__all__ = ["DENSITY", "gradient_axes", "mix_gradients", "signal_gradients", "signal_shape"]

DENSITY = 2  # with 1, the slopes between the positions are free: benchmarks/gradients.py has what each gives


def gradient_axes(
    shape: Sequence[int],  # samples of the signal along each axis
    grid: str = "centers",  # where they lie, one of `coords.GRIDS`
    density: int = DENSITY,  # positions between each sample and the next
) -> list[Tensor]:  # (density * (n - 1),) float64 for each axis
    """The positions of gradients along each axis: in the middle of `density` equal parts of each interval.

    None lies on the signal's border, where its slope isn't known well.
    Raises: ValueError for a shape with an axis of less than two samples, a bad `grid` or `density`.
    """
    if not isinstance(density, int) or density < 1:
        raise ValueError(f"`density` must be an integer of at least 1, got {density!r}")
    if not shape or min(shape) < 2:
        raise ValueError(f"gradients need two samples or more along each axis, got {tuple(shape)}")
    axes = []
    for n in shape:
        parts = (torch.arange(density * (n - 1), dtype=torch.float64) + 0.5) / (density * (n - 1))
        low, high = axis_positions(n, grid).double()[[0, -1]]
        axes.append(low + parts * (high - low))
    return axes


def signal_gradients(
    values: Tensor | np.ndarray,  # (*shape, c) floats
    grid: str = "centers",  # where the samples lie, one of `coords.GRIDS`
    density: int = DENSITY,  # positions between each sample and the next, as for `gradient_axes`
) -> Tensor:  # (*positions, c, d) float32, in values per unit of the coordinates, of which [-1, 1] has two
    """The derivatives by each of the d coordinates of the cubic spline through all samples, at `gradient_axes`.

    The field is that of a smooth function through all samples, so that a fit can give them back.
    Raises: ValueError unless `values` are finite floats with two samples or more along each axis.
    """
    values = torch.as_tensor(values).detach().cpu()
    shape = tuple(values.shape[:-1])
    if not values.is_floating_point() or not shape or min(shape) < 2 or not values.isfinite().all():
        raise ValueError(
            "`values` must be finite floats (*shape, channels) with two samples or more along each axis, "
            f"got {values.dtype} of shape {tuple(values.shape)}; `load_image` loads images so"
        )
    samples = [axis_positions(n, grid).double().numpy() for n in shape]
    positions = [axis.numpy() for axis in gradient_axes(shape, grid, density)]
    return torch.stack([_slopes(values, samples, positions, axis) for axis in range(len(shape))], dim=-1)


def mix_gradients(
    first: Tensor,  # (*positions, c, d), of `signal_gradients`
    second: Tensor,  # of the same shape
    share: float | Tensor | np.ndarray | None = None,  # of `second`, in [0, 1]: a number or a mask of the signal
) -> Tensor:  # (*positions, c, d)
    """One field of two: what a fit to it shows has the details of both.

    share: None takes the longer of the two gradients at each position and channel, which keeps the edges of both. A
        mask (*shape) of the signal's samples selects by place: 1 where a part of `second` is pasted into `first`, whose
        colours it takes on.
    Raises: ValueError for fields of different shapes, or shares of another shape or outside [0, 1].
    """
    if first.shape != second.shape or first.dim() < 3:
        raise ValueError(
            "`first` and `second` must be gradients (*positions, channels, axes) of one shape, got "
            f"{tuple(first.shape)} and {tuple(second.shape)}"
        )
    second = second.to(first)
    if share is None:
        return torch.where((second.norm(dim=-1) > first.norm(dim=-1))[..., None], second, first)
    share = torch.as_tensor(share).to(first)
    if not ((share >= 0) & (share <= 1)).all():
        raise ValueError(f"`share` must be in [0, 1], got values from {share.min():g} to {share.max():g}")
    return torch.lerp(first, second, _at_positions(share, first.shape[:-2])[..., None, None] if share.dim() else share)


def signal_shape(
    positions: Sequence[int],  # of the gradients along each axis
    density: int = DENSITY,  # of them, as for `gradient_axes`
) -> tuple[int, ...]:
    """The samples along each axis of the signal that has its gradients at so many positions.

    Raises: ValueError for a number of positions that isn't a multiple of `density`.
    """
    if not isinstance(density, int) or density < 1 or any(n % density or not n for n in positions):
        raise ValueError(
            f"gradients at {tuple(positions)} positions don't have a `density` of {density!r}: it must divide the "
            "number of each axis, and be the one that `signal_gradients` was given"
        )
    return tuple(n // density + 1 for n in positions)


def _slopes(values: Tensor, samples: list[np.ndarray], positions: list[np.ndarray], axis: int) -> Tensor:
    """The spline's derivative by one coordinate at all positions: splines along one axis after the other."""
    result = values.double().numpy()
    for k, (old, new) in enumerate(zip(samples, positions, strict=True)):
        result = CubicSpline(old, result, axis=k)(new, 1 if k == axis else 0)
    return torch.from_numpy(result).float()


def _at_positions(share: Tensor, positions: Sequence[int]) -> Tensor:
    """A mask of samples (*shape) at positions between them, each of which has that of the nearest sample."""
    density = positions[0] // max(1, len(share) - 1)
    if tuple(density * (n - 1) for n in share.shape) != tuple(positions):
        raise ValueError(
            "`share` must be a number or a mask of the signal's samples, n along an axis for density * (n - 1) "
            f"positions, got shape {tuple(share.shape)} for {tuple(positions)} positions"
        )
    for axis, (n, m) in enumerate(zip(share.shape, positions, strict=True)):
        nearest = [math.floor((i + 0.5) * (n - 1) / m + 0.5) for i in range(m)]
        share = share.index_select(axis, torch.tensor(nearest, device=share.device))
    return share
