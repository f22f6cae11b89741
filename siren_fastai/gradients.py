"""Gradients of signals by their coordinates, as targets of a fit, and two signals' gradients as one field.

Sources: Sitzmann et al. 2020, arXiv:2006.09661, sec. 4.1; Perez, Gangnet and Blake 2003, *Poisson image editing*.
"""

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from torch import Tensor

from siren_fastai.coords import axis_positions

__all__ = ["mix_gradients", "signal_gradients"]


def signal_gradients(
    values: Tensor | np.ndarray,  # (*shape, c) floats
    grid: str = "centers",  # where the samples lie, one of `coords.GRIDS`
) -> Tensor:  # (*shape, c, d) float32, in values per unit of the coordinates, of which [-1, 1] has two
    """The derivatives of the cubic spline through all samples, by each of the d coordinates.

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
    return torch.stack([_slopes(values.double().numpy(), axis, grid) for axis in range(len(shape))], dim=-1)


def mix_gradients(
    first: Tensor,  # (*shape, c, d), of `signal_gradients`
    second: Tensor,  # of the same shape
    share: float | Tensor | np.ndarray | None = None,  # of `second`, in [0, 1], a number or (*shape); see below
) -> Tensor:  # (*shape, c, d)
    """One field of two: what a fit to it shows has the details of both.

    share: None takes the longer of the two gradients at each sample and channel, which keeps the edges of both. An
        array selects by place: 1 where a part of `second` is pasted into `first`, whose colours it takes on.
    Raises: ValueError for fields of different shapes, or shares of another shape or outside [0, 1].
    """
    if first.shape != second.shape or first.dim() < 3:
        raise ValueError(
            "`first` and `second` must be gradients (*shape, channels, axes) of one shape, got "
            f"{tuple(first.shape)} and {tuple(second.shape)}"
        )
    if share is None:
        return torch.where((second.norm(dim=-1) > first.norm(dim=-1))[..., None], second, first)
    share = torch.as_tensor(share).to(first)
    if share.shape not in ((), first.shape[:-2]) or not ((share >= 0) & (share <= 1)).all():
        raise ValueError(
            f"`share` must be in [0, 1], a number or of shape {tuple(first.shape[:-2])}, got shape {tuple(share.shape)}"
            f" from {share.min():g} to {share.max():g}"
        )
    return torch.lerp(first, second, share[..., None, None] if share.dim() else share)


def _slopes(values: np.ndarray, axis: int, grid: str) -> Tensor:
    positions = axis_positions(values.shape[axis], grid).double().numpy()
    return torch.from_numpy(CubicSpline(positions, values, axis=axis)(positions, 1)).float()
