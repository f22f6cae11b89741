"""The gradients of a signal as fastai DataLoaders, with what they don't say: the signal's mean."""

from collections.abc import Sequence

import numpy as np
import torch
from fastcore.meta import delegates
from torch import Tensor

from siren_fastai.coords import GRIDS
from siren_fastai.data.loaders import PixelDataLoaders
from siren_fastai.gradients import signal_gradients
from siren_fastai.images import load_image

__all__ = ["GradientDataLoaders"]


class GradientDataLoaders(PixelDataLoaders):
    """Loaders of coordinates and gradients (n, c * d), for `gradient_learner`."""

    @classmethod
    @delegates(PixelDataLoaders.from_array.__func__, but=["value_range", "off_grid"])
    def from_gradients(
        cls,
        gradients: Tensor | np.ndarray,  # (*shape, c, d), as `signal_gradients` gives them
        mean: float | Sequence[float] | Tensor = 0.5,  # of the signal: a number, or one for each channel
        coords: str = "centers",  # the regular grid on which the gradients were taken
        **kwargs,
    ) -> "GradientDataLoaders":
        """From a field of gradients, such as one of `mix_gradients`. Signals that differ by a constant have the same.

        The other options are those of `from_array`.
        Raises: as `from_array`; ValueError for another number of derivatives than axes, or of means than channels.
        """
        gradients = torch.as_tensor(gradients)
        if gradients.dim() < 3 or gradients.shape[-1] != gradients.dim() - 2:
            raise ValueError(
                "`gradients` must be (*shape, channels, axes), as `signal_gradients(image)` gives them, got "
                f"{tuple(gradients.shape)}"
            )
        if not isinstance(coords, str) or coords not in GRIDS:
            raise ValueError(f"`coords` must be the gradients' regular grid, one of {GRIDS}, got {coords!r}")
        mean, c = torch.as_tensor(mean, dtype=torch.float32).cpu(), gradients.shape[-2]
        if mean.numel() not in (1, c) or mean.dim() > 1:
            raise ValueError(f"`mean` must be a number or one for each of {c} channels, got {tuple(mean.shape)}")
        dls = cls.from_array(gradients.flatten(-2), coords=coords, **kwargs)
        for data in (dls.train_ds, dls.valid_ds):
            data.mean = mean.expand(c).clone()
        return dls

    @classmethod
    @delegates(from_gradients.__func__, but=["mean"])
    def from_image(
        cls,
        source,  # a path, a Pillow image, an array or a tensor: (h, w), (h, w, 1) or (h, w, 3)
        size: int | tuple[int, int] | None = None,  # an integer for the shorter side, or (height, width)
        mode: str | None = None,  # "gray" or "rgb"; None as it is
        coords: str = "centers",  # a regular grid
        **kwargs,
    ) -> "GradientDataLoaders":
        """From the gradients of an image in [0, 1], loaded by `load_image`, and its mean colour."""
        image = load_image(source, size=size, mode=mode)
        return cls.from_gradients(signal_gradients(image, coords), image.mean((0, 1)), coords=coords, **kwargs)
