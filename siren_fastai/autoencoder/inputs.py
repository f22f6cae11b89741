"""Pictures of any kind as the batch of images that an encoder reads."""

import os

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from siren_fastai.autoencoder.shapes import check_images
from siren_fastai.datasets.folder import image_files
from siren_fastai.images import load_image

__all__ = ["as_images"]

FIRST, LAST = {1, 3}, {1, 3, 4}  # channels that stand before the height, and after the width
SLACK = 1e-5  # floats may leave [0, 1] by rounding


def as_images(
    pictures,  # an array or a tensor, one or many; a Pillow image, a file, a folder; or a list of such single ones
    shape: tuple[int, int, int],  # (channels, height, width) of the images that the encoder reads
) -> Tensor:  # (n, c, h, w) float32 in [0, 1]
    """Return pictures as one batch, each as it is: none is resized or converted.

    Arrays are uint8 or floats in [0, 1], with their channels first or last, or without if they are gray.
    Raises: TypeError for anything else; ValueError for other sizes or channels than `shape`, values outside [0, 1], or
        no pictures, which in a list or a folder names the one.
    """
    if isinstance(pictures, (str, os.PathLike)) and os.path.isdir(pictures):
        pictures = image_files(pictures)
    if isinstance(pictures, (list, tuple)):
        if not pictures:
            raise ValueError("`pictures` is empty: give one or more")
        return torch.cat([_named(item, i, shape) for i, item in enumerate(pictures)])
    if isinstance(pictures, (str, os.PathLike, Image.Image)):
        pictures = load_image(pictures)
    if not isinstance(pictures, (Tensor, np.ndarray)):
        raise TypeError(
            f"`pictures` must be an array, a tensor, a Pillow image, a file, a folder or a list, got "
            f"{type(pictures).__name__}"
        )
    return check_images(_unit_range(_batch(torch.as_tensor(pictures), shape)), shape)


def _named(item, i: int, shape) -> Tensor:
    try:
        return as_images(item, shape)
    except (TypeError, ValueError, OSError) as error:
        name = str(item) if isinstance(item, (str, os.PathLike)) else f"picture {i}"
        raise type(error)(f"{name}: {error}") from error


def _batch(images: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """`images` as (n, c, h, w): in the layout that gives `shape`, else in the likeliest one."""
    if 0 in images.shape or not 2 <= images.dim() <= 4:
        raise ValueError(
            f"`pictures` must be one image or a batch (n, channels, height, width), got shape {tuple(images.shape)}"
        )
    layouts = _layouts(images)
    return next((batch for batch in layouts if tuple(batch.shape[1:]) == tuple(shape)), layouts[0])


def _layouts(images: Tensor) -> list[Tensor]:
    """What the axes can stand for, the likeliest first."""
    if images.dim() == 2:
        return [images[None, None]]
    batch = images if images.dim() == 4 else images[None]
    first, last = (batch, batch.shape[1] in FIRST), (batch.movedim(-1, 1), batch.shape[-1] in LAST)
    gray = (images[:, None], True) if images.dim() == 3 else (batch, False)
    return [layout for layout, _ in sorted((first, last, gray), key=lambda pair: not pair[1])]


def _unit_range(images: Tensor) -> Tensor:
    if images.dtype == torch.uint8:
        return images.float() / 255
    if not images.is_floating_point():
        raise TypeError(f"`pictures` must be uint8, or floats in [0, 1], got {images.dtype}")
    low, high = (float(value) for value in images.detach().aminmax())
    if not (low >= -SLACK and high <= 1 + SLACK):
        raise ValueError(
            f"floats of `pictures` must be in [0, 1], got {low:g} to {high:g}: divide by 255 what was 8 bits"
        )
    return images.detach().float().clamp(0, 1)
