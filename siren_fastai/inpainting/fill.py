"""A network fills the hole of an image of any size; the known pixels stay as they are, bit for bit."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from siren_fastai.images import load_image
from siren_fastai.inpainting.masks import composite, load_mask

__all__ = ["evaluating", "fill_image"]


def fill_image(
    model: nn.Module,  # an `InpaintingNetwork`, as `unet(...)` or `load_network(path)`
    image: str | os.PathLike | Image.Image | np.ndarray | Tensor,  # as for `load_image`, of any size
    mask: str | os.PathLike | Image.Image | np.ndarray | Tensor,  # as for `load_mask`: white, 1 or True is known
    flips: bool = False,  # average the fillings of the four mirror images: slower by 4, and a little better
) -> Tensor:  # (h, w, c) float32 in [0, 1] on the CPU
    """Return the image with its hole filled by the network, which is used in eval mode.

    Of a large photo, the network sees the rectangle around the hole that its receptive field reaches; "rays" take the
    mean and the contrast of the colours from there too.
    Raises: ValueError for other channels than the network has, a mask of another size, an empty one, or one without
    any known pixel, or a network that gives no finite values; as `load_image` and `load_mask`.
    """
    image = load_image(image)
    mask = load_mask(mask, tuple(image.shape[:2]))
    channels = getattr(model, "channels", image.shape[2])
    if image.shape[2] != channels:
        mode = {1: "gray", 3: "rgb"}.get(channels)
        raise ValueError(
            f"the network fills images of {channels} channels, got {image.shape[2]}"
            + (f": convert the image, `load_image(image, mode={mode!r})`" if mode else "")
        )
    rows, columns = _window(model, mask)
    part, known = image[rows, columns], mask[rows, columns]
    with evaluating(model) as first:
        x = part.permute(2, 0, 1)[None].to(first.device, first.dtype)
        y = _predicted(model, x, known[None, None].to(first.device), flips).float()
    if not y[..., ~known].isfinite().all():
        raise ValueError("the network filled the hole with NaN or infinite values: it diverged, or its file is damaged")
    filled = image.clone()
    filled[rows, columns] = composite(y[0].permute(1, 2, 0).cpu().clamp(0, 1), part, known)
    return filled


@contextmanager
def evaluating(model: nn.Module) -> Iterator[Tensor]:
    """The network in eval mode without gradients, and its first parameter; in the mode of before afterwards."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield next(model.parameters())
    finally:
        model.train(training)


def _predicted(model: nn.Module, image: Tensor, mask: Tensor, flips: bool) -> Tensor:
    """The prediction (1, c, h, w), or the mean of those of the mirror images."""
    sides = [(), (2,), (3,), (2, 3)] if flips else [()]
    return sum(model(image.flip(side), mask.flip(side).to(image.dtype)).flip(side) for side in sides) / len(sides)


def _window(model: nn.Module, mask: Tensor) -> tuple[slice, slice]:
    """The rows and columns around the hole on which its filling depends.

    What a smooth prefill and rays bring in from farther away counts little and is left out.
    """
    reach, settings = getattr(model, "receptive_field", math.inf), getattr(model, "settings", {})
    whole_image = settings.get("prefill") == "mean" or settings.get("norm") == "group" or settings.get("size")
    if whole_image or not math.isfinite(reach):
        return slice(0, mask.shape[0]), slice(0, mask.shape[1])
    slices, step = [], model.divisor
    reach = int(reach) // 2 + step
    for axis in (0, 1):
        at = (~mask).any(1 - axis).nonzero()[:, 0]
        start = max(0, int(at[0]) - reach) // step * step  # as a whole image is divided
        slices.append(slice(start, min(mask.shape[axis], int(at[-1]) + reach + 1)))
    return slices[0], slices[1]
