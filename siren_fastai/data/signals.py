"""Arrays of any origin as float32 signals, with the range that their type or the user states. Nothing is guessed."""

import numpy as np
import torch
from torch import Tensor

from siren_fastai.data.dataset import checked_range
from siren_fastai.images import channels_first

__all__ = ["as_signal"]

# What one unit is in an integer type, and the range of the scaled values. Audio libraries scale int16 so (soundfile,
# torchaudio); uint16 is a 16-bit image, as Pillow and scikit-image take it.
SCALES = {
    torch.bool: (1, (0.0, 1.0)),
    torch.uint8: (255, (0.0, 1.0)),
    torch.uint16: (65535, (0.0, 1.0)),
    torch.int16: (32768, (-1.0, 1.0)),
}


def as_signal(
    values: Tensor | np.ndarray,  # (*shape, c)
    value_range: tuple[float, float] | None = None,  # (low, high) that floats are expressed in
) -> tuple[Tensor, tuple[float, float] | None]:
    """A signal as float32 and its value range, or None if it isn't known.

    bool, uint8 and uint16 are scaled to [0, 1], int16 to [-1, 1]. Floats stay as they are: their range is
    `value_range`, and unknown without it. float32 tensors aren't copied.
    Shapes: (*shape, c) -> the same.
    Raises: TypeError for complex numbers and other integers; ValueError for an empty signal, one without a channel
    axis, channels first, nan or infinite values, values outside `value_range`, or a `value_range` of integers.
    """
    values = values.detach() if isinstance(values, Tensor) else torch.as_tensor(np.ascontiguousarray(values))
    _check_shape(values.shape)
    if values.dtype in SCALES:
        unit, own_range = SCALES[values.dtype]
        if value_range is not None and checked_range(value_range) != own_range:
            raise ValueError(
                f"`value_range` of {_name(values)} values is {own_range}, to which they are scaled, "
                f"got {value_range!r}: leave it out, or pass floats"
            )
        return (values.float() / unit).contiguous(), own_range
    if not values.is_floating_point():
        raise TypeError(
            f"`values` must be floats, uint8, uint16, int16 or bool, got {_name(values)}: {_advice(values)}"
        )
    values = values.float().contiguous()
    low, high = (float(x) for x in values.aminmax())
    if not np.isfinite([low, high]).all():
        raise ValueError("`values` must be finite, got nan or infinity; replace them or leave those samples out")
    return values, None if value_range is None else _range_that_holds(low, high, value_range)


def _check_shape(shape: torch.Size) -> None:
    if len(shape) < 2 or 0 in shape:
        raise ValueError(
            f"`values` must be (*shape, channels) with at least one sample, got {tuple(shape)}; "
            "give a one-channel signal a last axis of 1"
        )
    if channels_first(shape):
        raise ValueError(
            f"`values` must be (*shape, channels), got {tuple(shape)}: channels first? "
            "Move them last, `np.moveaxis(values, 0, -1)` or `values.permute(1, 2, 0)`"
        )


def _range_that_holds(low: float, high: float, value_range) -> tuple[float, float]:
    least, most = checked_range(value_range)
    slack = 1e-5 * (most - least)
    if low < least - slack or high > most + slack:
        raise ValueError(
            f"`values` must be in `value_range`, [{least:g}, {most:g}], got {low:g} to {high:g}: scale them or state "
            "the range that they are expressed in"
        )
    return least, most


def _name(values: Tensor) -> str:
    return str(values.dtype).removeprefix("torch.")


def _advice(values: Tensor) -> str:
    if values.is_complex():
        return "stack real and imaginary parts as two channels"
    return "their scale isn't known; convert 8-bit levels with `astype(np.uint8)`, other numbers to floats near 1"
