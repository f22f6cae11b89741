"""Photos larger than a network's memory: each group of holes is filled with what the network can see around it."""

import math
import os
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from siren_fastai.images import load_image
from siren_fastai.inpainting.fill import fill_image
from siren_fastai.inpainting.masks import composite, load_mask
from siren_fastai.inpainting.networks import InpaintingNetwork
from siren_fastai.inpainting.windows import hole_windows

__all__ = ["fill_large"]

MARGIN = 64  # pixels around a hole, at least; as far as the network sees, at most 256
MOST_MARGIN = 256


def fill_large(
    model: nn.Module,  # an `InpaintingNetwork`, as `load_network` gives it
    image: str | os.PathLike | Image.Image | np.ndarray | Tensor,  # as for `load_image`, of any size
    mask: str | os.PathLike | Image.Image | np.ndarray | Tensor,  # as for `load_mask`: white, 1 or True is known
    flips: bool = False,  # as for `fill_image`
    progress: Callable[[float], None] | None = None,  # is given the share of the pixels that is done
) -> Tensor:  # (h, w, c) float32 in [0, 1], known pixels bit for bit
    """Fill each group of holes from its surroundings, one after the other: memory grows with the largest group.

    Small images, and those of networks for one size or of other kinds, are filled at once, as by `fill_image`.
    Raises: as `fill_image`.
    """
    image = load_image(image)
    mask = load_mask(mask, tuple(image.shape[:2]))
    reach = math.ceil(min(getattr(model, "receptive_field", math.inf), 2 * MOST_MARGIN) / 2)
    margin = max(MARGIN, reach)
    fixed = not isinstance(model, InpaintingNetwork) or model.settings.get("size")
    if fixed or max(mask.shape) <= 4 * margin:
        return fill_image(model, image, mask, flips)
    known, step, filled = mask.numpy(), model.divisor, image.clone()
    windows = hole_windows(~known, known, margin)
    total, done = sum(window.hole.size for window in windows), 0
    for window in windows:
        rows, columns = (slice(s.start // step * step, s.stop) for s in (window.rows, window.columns))
        part = fill_image(model, image[rows, columns], mask[rows, columns], flips)
        hole = torch.from_numpy(window.hole)
        own = part[window.rows.start - rows.start :, window.columns.start - columns.start :]
        filled[window.rows, window.columns][hole] = own[hole]
        done += window.hole.size
        if progress is not None:
            progress(done / total)
    return composite(filled, image, mask)
