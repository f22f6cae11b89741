"""Squares cut from larger images, and the image that each comes from."""

import numpy as np
import torch
from torch import Tensor

from siren_fastai.datasets.draws import checked_count
from siren_fastai.datasets.folder import iterate_images

__all__ = ["image_patches"]


def image_patches(
    source,  # as for `read_images`: a folder, a list of files, Pillow images or arrays, or one array
    size: int = 32,  # pixels per side
    stride: int | None = None,  # pixels from one square to the next; None is `size`, without overlap
    channels: int | None = None,  # 1 for gray, 3 for RGB; None if all have as many
) -> tuple[Tensor, Tensor]:  # (n, c, size, size) uint8 and (n,) int64
    """Every square of a regular grid on each image, and the number of its image, by which `split_groups` splits.

    The images keep their pixels and may differ in size; what is left over lies at the right and the lower side.
    Raises: ValueError that names an image which is smaller than a square; and as `read_images`.
    """
    size = checked_count("size", size)
    stride = size if stride is None else checked_count("stride", stride)
    patches, groups = [], []
    for group, (name, image) in enumerate(iterate_images(source, channels=channels)):
        if min(image.shape[:2]) < size:
            raise ValueError(f"{name} has {image.shape[0]}x{image.shape[1]} pixels, less than a square of {size}")
        grid = np.lib.stride_tricks.sliding_window_view(image, (size, size), (0, 1))[::stride, ::stride]
        patches.append(grid.reshape(-1, image.shape[2], size, size))
        groups += [group] * len(patches[-1])
    return torch.from_numpy(np.concatenate(patches)), torch.tensor(groups)
