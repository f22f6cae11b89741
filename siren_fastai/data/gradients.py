"""The gradients of a signal as fastai DataLoaders, with what they don't say: the signal's mean."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from fastcore.meta import delegates
from matplotlib.figure import Figure
from torch import Tensor

from siren_fastai.coords import GRIDS
from siren_fastai.data.dataset import checked_range
from siren_fastai.data.loaders import PixelDataLoaders
from siren_fastai.figures import show_pictures
from siren_fastai.gradients import DENSITY, gradient_axes, signal_gradients, signal_shape
from siren_fastai.images import load_image

__all__ = ["GradientDataLoaders", "Signal"]

OF_VALUES = ("off_grid", "rate", "time_scale")  # options of `from_array` that gradients don't have


@dataclass(frozen=True)
class Signal:
    """What is known of the signal besides its gradients."""

    shape: tuple[int, ...]  # its samples along each axis
    grid: str  # where they lie, one of `coords.GRIDS`
    mean: Tensor  # (c,) of its samples
    value_range: tuple[float, float] | None  # of its samples; None is not known


class GradientDataLoaders(PixelDataLoaders):
    """Loaders of coordinates and gradients (n, c * d), for `gradient_learner`. `image` is the truth, if it is known."""

    image: Tensor | None = None

    @classmethod
    @delegates(PixelDataLoaders.from_array.__func__, but=[*OF_VALUES, "value_range"])
    def from_gradients(
        cls,
        gradients: Tensor | np.ndarray,  # (*positions, c, d), as `signal_gradients` gives them
        mean: float | Sequence[float] | Tensor = 0.5,  # of the signal: a number, or one for each channel
        coords: str = "centers",  # the regular grid on which the signal's samples lie
        density: int = DENSITY,  # of the gradients, as `signal_gradients` was given it
        value_range: tuple[float, float] | None = None,  # of the signal, to which `render` clamps; None leaves values
        **kwargs,
    ) -> "GradientDataLoaders":
        """From a field of gradients, such as one of `mix_gradients`. Signals that differ by a constant have the same.

        The other options are those of `from_array`, for which the field is an array at its own positions.
        Raises: as `from_array`; ValueError for another number of derivatives than axes, or of means than channels.
        """
        for name in kwargs.keys() & set(OF_VALUES):
            raise TypeError(f"`{name}` is an option for values, and gradients don't have it: leave it out")
        gradients = torch.as_tensor(gradients)
        if gradients.dim() < 3 or gradients.shape[-1] != gradients.dim() - 2:
            raise ValueError(
                "`gradients` must be (*positions, channels, axes), as `signal_gradients(image)` gives them, got "
                f"{tuple(gradients.shape)}"
            )
        if not isinstance(coords, str) or coords not in GRIDS:
            raise ValueError(f"`coords` must be the signal's regular grid, one of {GRIDS}, got {coords!r}")
        shape = signal_shape(gradients.shape[:-2], density)
        signal = Signal(
            shape,
            coords,
            _channel_means(mean, gradients.shape[-2]),
            None if value_range is None else checked_range(value_range),
        )
        positions = torch.cartesian_prod(*gradient_axes(shape, coords, density)).view(-1, len(shape)).float()
        dls = cls.from_array(gradients.flatten(-2), coords=positions, **kwargs)
        dls.train_ds.signal = dls.valid_ds.signal = signal
        return dls

    @classmethod
    @delegates(from_gradients.__func__, but=["mean", "value_range"])
    def from_image(
        cls,
        source,  # a path, a Pillow image, an array or a tensor: (h, w), (h, w, 1) or (h, w, 3)
        size: int | tuple[int, int] | None = None,  # an integer for the shorter side, or (height, width)
        mode: str | None = None,  # "gray" or "rgb"; None as it is
        coords: str = "centers",  # a regular grid
        density: int = DENSITY,  # positions between each pixel and the next, as for `signal_gradients`
        **kwargs,
    ) -> "GradientDataLoaders":
        """From the gradients of an image in [0, 1], loaded by `load_image`, and its mean colour.

        The image itself is kept as `dls.image`, which is compared with the fit and never trained on.
        """
        image = load_image(source, size=size, mode=mode)
        gradients = signal_gradients(image, coords, density)
        options = {"coords": coords, "density": density, "value_range": (0.0, 1.0), **kwargs}
        dls = cls.from_gradients(gradients, image.mean((0, 1)), **options)
        dls.image = image
        return dls

    @delegates(show_pictures, but=["value_range"])
    def show_batch(
        self,
        b=None,  # fastai's, without effect: the whole field is drawn
        max_n=None,  # likewise
        **kwargs,
    ) -> Figure:
        """Draw the gradients along each axis; 0 is the middle between black and white."""
        data = self.train_ds
        field = data.to_picture(data.values).unflatten(-1, (-1, len(data.shape)))
        largest = max(1e-6, float(field.nan_to_num().abs().max()))
        pictures = {f"gradient along axis {k}": part for k, part in enumerate(field.unbind(-1))}
        return show_pictures(pictures, **{"value_range": (-largest, largest), **kwargs})


def _channel_means(mean, c: int) -> Tensor:
    mean = torch.as_tensor(mean, dtype=torch.float32).cpu()
    if mean.numel() not in (1, c) or mean.dim() > 1:
        raise ValueError(f"`mean` must be a number or one for each of {c} channels, got {tuple(mean.shape)}")
    if not mean.isfinite().all():
        raise ValueError(f"`mean` must be finite, got {mean.tolist()}")
    return mean.expand(c).clone()
