"""What a decoder is told about a position: the coordinates, and sines and cosines of them."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from siren_fastai.autoencoder.shapes import check_size

__all__ = [
    "NOTE_FREQUENCIES",
    "bilinear_weights",
    "checked_frequencies",
    "count_position_features",
    "highest_of",
    "nyquist",
    "nyquist_frequencies",
    "position_features",
]

NOTE_FREQUENCIES = (7.0, 17.0)  # rad per unit: 2.2 and 5.4 cycles over an image, whatever its size


def nyquist(
    shape: Sequence[int],  # (height, width) in pixels
) -> float:
    """Return the highest frequency that pixels along the longer side can show, in rad per unit of [-1, 1].

    It is 50.3 for 32 pixels: 16 cycles.
    """
    return math.pi * max(check_size(shape)) / 2


def nyquist_frequencies(
    shape: Sequence[int],  # (height, width) in pixels
    n: int = 4,  # frequencies
) -> tuple[float, ...]:
    """Return `n` frequencies in rad per unit, equal factors apart, from one cycle over the image to its Nyquist one.

    For 32 pixels and n = 4 they are 3.1, 7.9, 20 and 50.
    """
    highest = nyquist(shape)
    lowest = min(math.pi, highest)
    return tuple(lowest * (highest / lowest) ** (i / (n - 1)) for i in range(n)) if n > 1 else (highest,)


def count_position_features(
    frequencies: Sequence[float],  # rad per unit
    cos: bool = True,  # whether cosines are there too
) -> int:
    """Return how many features `position_features` gives per position."""
    return 2 + (4 if cos else 2) * len(frequencies)


def position_features(
    positions: Tensor,  # (..., 2): (y, x) in [-1, 1]
    frequencies: Sequence[float] = NOTE_FREQUENCIES,  # rad per unit
    cos: bool = True,  # whether cosines follow the sines
) -> Tensor:  # (..., 2 + 2 f) or (..., 2 + 4 f) for f frequencies
    """Return [x, y, sin(f1 x), sin(f1 y), sin(f2 x), ..., cos(f1 x), cos(f1 y), ...].

    Source: note 002; without cosines in its first sections, with them from 2023-11-13.
    """
    xy = positions.flip(-1)
    phase = (xy[..., None, :] * xy.new_tensor(frequencies)[:, None]).flatten(-2)
    return torch.cat([xy, phase.sin(), phase.cos()] if cos else [xy, phase.sin()], dim=-1)


def bilinear_weights(
    positions: Tensor,  # (..., 2): (y, x) in [-1, 1]
    cells: Sequence[int],  # (rows, columns) of a grid over [-1, 1]^2
) -> Tensor:  # (..., rows * columns), in raster order
    """Return how much each cell counts at a position: linear along both axes between centres, in all 1.

    Outside the outermost centres the border's cells count alone, as in `coords.sample_linear`.
    """
    along = []
    for axis, n in enumerate(cells):
        place = ((positions[..., axis] + 1) * (n / 2) - 0.5).clamp(0, n - 1)
        centres = torch.arange(n, dtype=positions.dtype, device=positions.device)
        along.append((1 - (place[..., None] - centres).abs()).clamp(min=0))
    return (along[0][..., :, None] * along[1][..., None, :]).flatten(-2)


def highest_of(
    frequency: float | None,  # rad per unit; None is the Nyquist frequency of `shape`
    shape: Sequence[int],  # (height, width) in pixels
) -> float:
    """Return the highest frequency that a network starts with. Raises: ValueError unless it is above 0 and finite."""
    return nyquist(shape) if frequency is None else checked_frequencies([frequency], shape)[0]


def checked_frequencies(
    frequencies: Sequence[float] | None,  # rad per unit; None is up to the Nyquist frequency of `shape`
    shape: Sequence[int],  # (height, width) in pixels
) -> tuple[float, ...]:
    """Return the frequencies as floats. Raises: TypeError unless they are a list; ValueError unless above 0, finite."""
    if frequencies is None:
        return nyquist_frequencies(shape)
    if isinstance(frequencies, str) or not isinstance(frequencies, Sequence):
        raise TypeError(f"frequencies must be a list such as (7, 17), or None, got {frequencies!r}")
    if not all(isinstance(f, int | float) and 0 < f < math.inf for f in frequencies):
        raise ValueError(f"frequencies must be numbers above 0, in rad per unit of [-1, 1], got {frequencies!r}")
    return tuple(float(f) for f in frequencies)
