"""Which samples of a signal are known: the masks of missing data and of irregular regions."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from siren_fastai.image_pairs import as_array

__all__ = ["as_mask", "without_unknown"]

Array = Tensor | np.ndarray


def as_mask(
    mask: Array,  # bool (*shape): True selects a sample
    shape: Sequence[int],  # of the signal, without channels
    name: str = "mask",  # of the argument, for messages
) -> Tensor:  # bool (*shape) on the CPU
    """Check that a mask belongs to a signal, and return it as a tensor.

    Raises: TypeError unless it is an array of bool; ValueError for another shape, or if it selects nothing.
    """
    if not isinstance(mask, Array) or as_array(mask).dtype != bool:
        got = mask.dtype if isinstance(mask, Array) else type(mask).__name__
        raise TypeError(f"`{name}` must be an array of bool, True where samples are selected, got {got}: `mask > 0`?")
    if tuple(mask.shape) != tuple(shape):
        raise ValueError(
            f"`{name}` must have the signal's shape without channels, {tuple(shape)}, got {tuple(mask.shape)}"
        )
    mask = torch.as_tensor(mask).cpu()
    if not mask.any():
        raise ValueError(f"`{name}` must select at least one sample, and it is False everywhere")
    return mask


def without_unknown(
    values: Array,  # (*shape, c)
    known: Tensor,  # bool (*shape)
) -> Array:  # of the same kind
    """Return a copy whose unknown samples have the value of a known one: what they held, nan for one, is not read."""
    unknown = ~known
    if isinstance(values, Tensor):
        values, unknown = values.detach().clone(), unknown.to(values.device)
        values[unknown] = values[~unknown][0]
        return values
    values, unknown = np.array(values), unknown.numpy()
    values[unknown] = values[~unknown][0]
    return values
