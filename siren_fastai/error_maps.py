"""Where an image differs from its target: the error per pixel, and per spatial frequency. Pure functions.

Images are tensors of any device or arrays, (h, w, c) or (h, w). NaN in gives NaN out.
"""

import operator

import numpy as np
import torch
from torch import Tensor

from siren_fastai.image_pairs import as_arrays, check_same_shape, difference, with_channels

__all__ = ["absolute_error", "frequency_error", "signed_error"]


def signed_error(
    pred: Tensor | np.ndarray,  # the prediction, any shape
    target: Tensor | np.ndarray,  # of the same shape
) -> Tensor | np.ndarray:
    """Return prediction minus target, per pixel and channel: positive where `pred` is too bright.

    Shapes: those of the arguments; a float64 array, or of two tensors a tensor (float32 at least) on the device of
    `pred`.
    Raises: ValueError for different shapes.
    """
    if isinstance(pred, Tensor) and isinstance(target, Tensor):
        check_same_shape(pred.shape, target.shape)
        dtype = torch.promote_types(torch.promote_types(pred.dtype, target.dtype), torch.float32)
        return pred.detach().to(dtype) - target.detach().to(pred.device, dtype)
    return difference(*as_arrays(pred, target))


def absolute_error(
    pred: Tensor | np.ndarray,  # the prediction, any shape
    target: Tensor | np.ndarray,  # of the same shape
) -> Tensor | np.ndarray:
    """Return |prediction - target| per pixel and channel, of the shape and type that `signed_error` returns.

    Of two models, `absolute_error(a, target) - absolute_error(b, target)` shows who is worse where.
    Raises: ValueError for different shapes.
    """
    return abs(signed_error(pred, target))


def frequency_error(
    pred: Tensor | np.ndarray,  # the prediction, (h, w, c) or (h, w)
    target: Tensor | np.ndarray,  # of the same shape
    bands: int = 8,  # number of frequency bands
) -> np.ndarray:
    """Return the mean squared error split by spatial frequency: the bands sum to `mse` (Parseval).

    Band i holds the frequencies sqrt(f_y^2 + f_x^2) from i / bands to (i + 1) / bands of 0.5 cycles per pixel (Nyquist
    along an axis); the first includes the mean error, the last all diagonals beyond. Averaged over channels.
    Shapes: (bands,) float64.
    Raises: ValueError for different shapes or bands < 1.
    """
    if operator.index(bands) < 1:
        raise ValueError(f"`bands` must be at least 1, got {bands}")
    pred, target = with_channels(*as_arrays(pred, target))
    height, width, channels = target.shape
    band, multiplicity = _bands(height, width, bands), _multiplicity(width)
    total = np.zeros(bands)
    for i in range(channels):
        spectrum = np.fft.rfft2(difference(pred[..., i], target[..., i]), norm="forward")
        power = (spectrum.real**2 + spectrum.imag**2) * multiplicity
        total += np.bincount(band, weights=power.ravel(), minlength=bands)
    return total / channels


def _bands(height: int, width: int, bands: int) -> np.ndarray:
    """The band of each coefficient of `rfft2`, flat."""
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    return np.minimum((radius * (2 * bands)).astype(np.int64), bands - 1).ravel()


def _multiplicity(width: int) -> np.ndarray:
    """How often each column of `rfft2` stands in the full transform: once the first and, if even, the last."""
    counts = np.full(width // 2 + 1, 2.0)
    counts[0] = 1.0
    if width % 2 == 0:
        counts[-1] = 1.0
    return counts
