"""Flips, shifts and crops, drawn for each image of a batch apart, on the device of the images."""

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Augment", "crop_center", "take_windows", "window_size"]

BITS = 30  # of a draw


@dataclass(frozen=True)
class Augment:
    """What is drawn for each image: mirrored or not, upside down or not, and where its window lies.

    The window is of the size of `crop`. It lies anywhere in the image with `shift` black pixels around it.
    Raises: ValueError for probabilities outside [0, 1], a negative `shift`, or a `crop` that isn't (height, width).
    """

    flip: float = 0.4  # probability of left and right changing places
    upside_down: float = 0.2  # probability of top and bottom changing places
    shift: int = 4  # pixels that the window may reach beyond the image
    crop: tuple[int, int] | None = None  # (height, width) of the window; None is the image's

    def __post_init__(self):
        for name in ("flip", "upside_down"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"`{name}` must be a probability from 0 to 1, got {getattr(self, name)!r}")
        if not isinstance(self.shift, int) or self.shift < 0:
            raise ValueError(f"`shift` must be an integer of 0 or more pixels, got {self.shift!r}")
        if self.crop is not None and (len(self.crop) != 2 or min(self.crop) < 1):
            raise ValueError(f"`crop` must be (height, width) in pixels, got {self.crop!r}")

    def draw(
        self,
        n: int,  # images
        generator: torch.Generator,  # on the device of the images
    ) -> Tensor:  # (n, 4) int64
        """Four integers from 0 to 2^30 - 1 for each image, of which `windows` makes places and flips."""
        return torch.randint(2**BITS, (n, 4), generator=generator, device=generator.device)

    def windows(
        self,
        draws: Tensor,  # (n, 4), as from `draw`
        size: tuple[int, int],  # (height, width) of the images
    ) -> Tensor:  # (n, 4) int64: top, left, mirrored, upside down
        """Where each window lies, and whether it is flipped."""
        crop = window_size(size, self.crop)
        places = [(draws[:, i] * (size[i] - crop[i] + 2 * self.shift + 1) >> BITS) - self.shift for i in (0, 1)]
        flips = [draws[:, 2 + i] < chance * 2**BITS for i, chance in enumerate((self.flip, self.upside_down))]
        return torch.stack([*places, *flips], 1)

    def __call__(
        self,
        images: Tensor,  # (n, c, h, w)
        generator: torch.Generator,  # on their device
    ) -> Tensor:  # (n, c, *crop)
        """The images, each with flips and a window of its own."""
        size = tuple(images.shape[2:])
        windows = self.windows(self.draw(len(images), generator), size)
        return take_windows(
            images, torch.arange(len(images), device=images.device), windows, window_size(size, self.crop)
        )


def take_windows(
    images: Tensor,  # (n, c, h, w)
    index: Tensor,  # (m,) the images to take
    windows: Tensor,  # (m, 4), as from `Augment.windows`
    size: tuple[int, int],  # (height, width) of the windows
) -> Tensor:  # (m, c, *size)
    """One window of each image at `index`, flipped or not; black beyond the image. Only the windows are read."""
    (h, w), (height, width) = images.shape[2:], size
    rows, columns = (torch.arange(n, device=images.device).expand(len(windows), n) for n in (height, width))
    columns = torch.where(windows[:, 2:3] > 0, width - 1 - columns, columns) + windows[:, 1:2]
    rows = torch.where(windows[:, 3:4] > 0, height - 1 - rows, rows) + windows[:, 0:1]
    inside = ((rows >= 0) & (rows < h))[:, :, None] & ((columns >= 0) & (columns < w))[:, None]
    place = rows.clamp(0, h - 1)[:, :, None] * w + columns.clamp(0, w - 1)[:, None]  # (m, height, width)
    start = index.long()[:, None] * images.shape[1] + torch.arange(images.shape[1], device=images.device)
    values = images.reshape(-1)[(start * h * w)[:, :, None, None] + place[:, None]]
    return values * inside[:, None]


def crop_center(images: Tensor, size: tuple[int, int] | None) -> Tensor:
    """The middle of images (n, c, h, w), as a view: (n, c, *size); None is all."""
    height, width = window_size(images.shape[2:], size)
    top, left = (images.shape[2] - height) // 2, (images.shape[3] - width) // 2
    return images[:, :, top : top + height, left : left + width]


def window_size(size: tuple[int, int], crop: tuple[int, int] | None) -> tuple[int, int]:
    """The (height, width) of a window. Raises: ValueError if it is larger than the image."""
    height, width = size if crop is None else crop
    if height > size[0] or width > size[1]:
        raise ValueError(f"`crop` must fit the images of {size[0]}x{size[1]} pixels, got {height}x{width}")
    return height, width
