"""Masks: which pixels of an image are known. True or 1 is known, False or 0 is a hole.

A mask is a bool tensor, (h, w) for one image and (n, 1, h, w) for a batch.
"""

import os
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from siren_fastai.image_pairs import as_array
from siren_fastai.images import load_image

__all__ = ["Rectangles", "check_mask", "composite", "load_mask"]

MAX_GRAY = 0.1  # share of pixels between 1/4 and 3/4 of white; more isn't a mask but a photo


@dataclass(frozen=True)
class Rectangles:
    """Holes that are rectangles inside the image, of any proportions; they may overlap.

    The number, the sides and the place are uniform, each drawn apart.
    Raises: ValueError for ranges that are empty or below 1.
    """

    least: int = 1  # rectangles per image
    most: int = 3  # rectangles per image
    side: tuple[int, int] = (8, 24)  # least and greatest height and width, in pixels, both included

    def __post_init__(self):
        check_range("(least, most)", (self.least, self.most))
        object.__setattr__(self, "side", check_range("side", self.side))

    @property
    def largest(self) -> int:
        """The greatest width of a hole, in pixels; overlapping rectangles may make a larger one."""
        return self.side[1]

    def draw(
        self,
        rng: np.random.Generator,
        size: tuple[int, int],  # (height, width) of the image
    ) -> np.ndarray:  # (most, 4) int64: top, left, height, width; unused ones have height and width 0
        """Draw the rectangles of one image. Raises: ValueError where they could cover the whole image."""
        self._check(size)
        numbers = rng.random(1 + 4 * self.most)
        count = self.least + int(numbers[0] * (self.most - self.least + 1))
        low, high = self.side
        u = numbers[1:].reshape(self.most, 4)
        sides = (low + u[:, 2:] * (high - low + 1)).astype(np.int64)
        places = (u[:, :2] * (np.array(size) - sides + 1)).astype(np.int64)
        rows = np.concatenate([places, sides], axis=1)
        rows[count:] = 0
        return rows

    def paint(
        self,
        draws: Tensor,  # (n, k, 4), as from `draw`, on any device
        size: tuple[int, int],  # (height, width) of the images
    ) -> Tensor:  # (n, 1, h, w) bool, True is known
        """Turn draws into masks, on the device of the draws."""
        inside = []
        for axis in (0, 1):
            at = torch.arange(size[axis], device=draws.device)
            start, side = draws[:, :, axis, None], draws[:, :, 2 + axis, None]
            inside.append(((at >= start) & (at < start + side)).float())
        covered = torch.bmm(inside[0].transpose(1, 2), inside[1])  # rectangles over each pixel, exact integers
        return (covered == 0)[:, None]

    def _check(self, size: tuple[int, int]) -> None:
        # a rectangle smaller than the image holds at most one of its corners, so that three leave one free
        side = self.side[1]
        if side >= min(size) or (self.most > 3 and self.most * side**2 >= size[0] * size[1]):
            raise ValueError(
                f"{self.most} rectangles of up to {side} x {side} pixels could cover a whole image of {size[0]} x "
                f"{size[1]}: use fewer or smaller ones, or larger images"
            )


def load_mask(
    source: str | os.PathLike | Image.Image | np.ndarray | Tensor,  # a path, a Pillow image, an array or a tensor
    size: tuple[int, int] | None = None,  # (height, width) of the image that it belongs to, to check against
) -> Tensor:  # (h, w) bool on the CPU, True is known
    """Load a mask, and check it: white is known, black is the hole.

    Files and Pillow images: black and white in any mode, without transparency; what is at least half as bright as
    white is known, so that the noise of a JPEG does no harm. Arrays and tensors: (h, w), (h, w, 1) or (1, h, w) of
    bool, 0 and 1, 0 to 255, or floats in [0, 1]. Integers that are 0 and 1 alone count as such in files too.
    Raises: ValueError for transparency, for more than a tenth of middle grays (a photo instead of a mask?), and as
    `check_mask`; otherwise as `load_image`.
    """
    if isinstance(source, (str, os.PathLike)):
        with Image.open(source) as picture:
            return load_mask(picture, size)
    mask = _known(_opaque(source)) if isinstance(source, Image.Image) else _known(as_array(source))
    return check_mask(mask, size or tuple(mask.shape))


def check_mask(
    mask: Tensor,  # (h, w) bool, True is known
    size: tuple[int, int],  # (height, width) of the image that it belongs to
) -> Tensor:  # `mask`
    """Raises: TypeError unless bool; ValueError for another size, without a hole, or with nothing but a hole."""
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        found = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise TypeError(f"`mask` must be a bool tensor, True for known pixels, got {found}: see `load_mask`")
    if mask.dim() != 2:
        raise ValueError(f"`mask` must be (height, width), got {tuple(mask.shape)}: one mask for all channels")
    if tuple(mask.shape) != tuple(size):
        raise ValueError(
            f"the mask has {mask.shape[0]} x {mask.shape[1]} pixels, but the image {size[0]} x {size[1]} (height x "
            "width): make the mask from the image itself"
        )
    if mask.all():
        raise ValueError(
            "the mask is empty: every pixel is known (white, 1, True). Paint what is to be filled black (0, False)"
        )
    if not mask.any():
        raise ValueError(
            "the hole covers the whole image: no pixel of the mask is known (white, 1, True). Is the mask inverted?"
        )
    return mask


def composite(
    pred: Tensor,  # (n, c, h, w) or (h, w, c)
    image: Tensor,  # of the same shape
    mask: Tensor,  # (n, 1, h, w) or (h, w), bool or 0 and 1; 1 is known
) -> Tensor:  # of the image's shape and type
    """Return the image where it is known, bit for bit, and the prediction in the hole.

    Raises: ValueError for shapes that don't belong together: nothing is broadcast.
    """
    known = mask[..., None] if image.dim() == 3 and mask.dim() == 2 else mask
    wanted = (*image.shape[:-1], 1) if image.dim() == 3 else (len(image), 1, *image.shape[2:])
    if image.dim() not in (3, 4) or pred.shape != image.shape or tuple(known.shape) != wanted:
        raise ValueError(
            "`pred` and `image` must be (n, c, h, w) with a mask (n, 1, h, w), or (h, w, c) with a mask (h, w), got "
            f"{tuple(pred.shape)}, {tuple(image.shape)} and {tuple(mask.shape)}"
        )
    return torch.where(known.bool(), image, pred.to(image.dtype))


def check_range(
    name: str,  # the argument's name
    values: tuple[int, int],  # (least, greatest)
    least: int = 1,  # that the first value may have
) -> tuple[int, int]:
    """Return the range as a tuple. Raises: ValueError unless it is two integers, ascending, from `least` on."""
    whole = len(values) == 2 and all(isinstance(value, (int, np.integer)) for value in values)
    if not whole or not least <= values[0] <= values[1]:
        raise ValueError(f"`{name}` must be two integers, {least} <= first <= second, got {tuple(values)!r}")
    return int(values[0]), int(values[1])


def _opaque(picture: Image.Image) -> np.ndarray:
    """The gray levels of a Pillow image. Raises: ValueError for transparent pixels."""
    if picture.has_transparency_data and picture.convert("RGBA").getchannel("A").getextrema()[0] < 255:
        raise ValueError(
            "the mask has transparent pixels, which could be known or not: save it without transparency, white "
            "where the image is known, black in the hole"
        )
    return load_image(picture, mode="gray").numpy()


def _known(values: np.ndarray) -> Tensor:
    """(h, w) bool from levels of any kind, at least half of white being known. Raises: ValueError for grays."""
    values = values[0] if values.ndim == 3 and values.shape[0] == 1 != values.shape[2] else values
    if values.dtype.kind in "iu" and values.size and values.min() >= 0 and values.max() <= 1:
        values = values.astype(bool)
    levels = load_image(values if values.ndim != 2 else values[..., None], mode="gray")[..., 0]
    if levels.max() <= 1.5 / 255 and levels.max() > 0:  # 0 and 1 saved as an 8-bit file
        levels = levels / levels.max()
    gray = ((levels > 0.25) & (levels < 0.75)).float().mean().item()
    if gray > MAX_GRAY:
        raise ValueError(
            f"a mask must be black (hole) and white (known), got {gray:.0%} of its pixels in between: is it a photo?"
        )
    return levels >= 0.5
