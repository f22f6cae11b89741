"""Two images to compare, brought to arrays of one shape: what every measure of quality starts with."""

import numpy as np
import torch
from torch import Tensor

__all__ = ["as_array", "as_arrays", "check_same_shape", "check_within", "difference", "with_channels"]


def as_array(
    values: Tensor | np.ndarray | float,  # on any device; bfloat16 becomes float32
) -> np.ndarray:
    """Return the values as an array, without a copy where they are on the CPU already."""
    if not isinstance(values, Tensor):
        return np.asarray(values)
    values = values.detach().cpu().as_subclass(Tensor)
    return (values.float() if values.dtype == torch.bfloat16 else values).numpy()


def as_arrays(
    pred: Tensor | np.ndarray,  # the prediction
    target: Tensor | np.ndarray,  # what it is compared with
) -> tuple[np.ndarray, np.ndarray]:
    """Return both as arrays. Raises: ValueError for different shapes or empty images."""
    pred, target = as_array(pred), as_array(target)
    check_same_shape(pred.shape, target.shape)
    return pred, target


def check_same_shape(
    pred: tuple[int, ...],  # the prediction's shape
    target: tuple[int, ...],  # the target's shape
) -> None:
    """Raise ValueError unless the shapes are equal and not empty: nothing is broadcast."""
    if pred != target or 0 in pred:
        raise ValueError(
            f"`pred` and `target` must have one shape and not be empty, got {tuple(pred)} and {tuple(target)}"
        )


def with_channels(
    *images: np.ndarray,  # (h, w) or (h, w, c), all of one shape
) -> list[np.ndarray]:
    """Return the images as (h, w, c). Raises: ValueError for other shapes."""
    if images[0].ndim not in (2, 3):
        raise ValueError(f"images must be (h, w) or (h, w, c), got {images[0].shape}")
    return [image if image.ndim == 3 else image[..., None] for image in images]


def difference(
    pred: np.ndarray,  # any shape
    target: np.ndarray,  # the same shape
) -> np.ndarray:
    """Return prediction minus target in float64; infinity minus infinity is NaN, without a warning."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.subtract(pred, target, dtype=np.float64)


def check_within(
    target: np.ndarray,  # any shape; NaN passes, and makes every measure NaN
    low: float,  # least value allowed
    high: float,  # greatest value allowed
) -> None:
    """Raise ValueError if the target leaves [low, high] by more than rounding, with what to do."""
    least, greatest = float(np.min(target)), float(np.max(target))
    slack = 1e-5 * (high - low)
    if least < low - slack or greatest > high + slack:
        raise ValueError(
            f"`target` must be in [{low:g}, {high:g}], got {least:g} to {greatest:g}: say `data_range=255` for 8-bit "
            "values, bring [-1, 1] to [0, 1] by (x + 1) / 2, or for `psnr` name the range in `clamp`"
        )
