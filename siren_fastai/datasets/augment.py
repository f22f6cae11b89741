"""Flips, shifts and crops, drawn for each image of a batch apart, on the device of the images."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

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
        images: Tensor,  # (n, c, h, w) uint8
        generator: torch.Generator,  # on their device
    ) -> Tensor:  # (n, c, *crop)
        """The images, each with flips and a window of its own."""
        size = tuple(images.shape[2:])
        windows = self.windows(self.draw(len(images), generator), size)
        index = torch.arange(len(images), device=images.device)
        return take_windows(images, index, windows, window_size(size, self.crop), self.shift)


def take_windows(
    images: Tensor,  # (n, c, h, w) uint8
    index: Tensor,  # (m,) the images to take
    windows: Tensor,  # (m, 4), as from `Augment.windows`
    size: tuple[int, int],  # (height, width) of the windows
    shift: int = 0,  # pixels that they may reach beyond the image, at most
) -> Tensor:  # (m, c, *size)
    """One window of each image at `index`, flipped or not; black beyond the image.

    Each row of a window is a run of consecutive bytes, and all are copied in one operation, which is three times as
    fast as an index per pixel.
    """
    top, left, mirrored, upside_down = windows.unbind(1)
    if shift:
        images, index = F.pad(images.index_select(0, index), [shift] * 4), torch.arange(len(index), device=index.device)
    (_, c, h, w), (height, width) = images.shape, size
    rows = top[:, None] + shift + torch.arange(height, device=top.device)
    rows = torch.where(upside_down[:, None] > 0, rows.flip(1), rows)
    planes = index.long()[:, None] * c + torch.arange(c, device=top.device)
    starts = planes[:, :, None] * (h * w) + (rows * w + left[:, None] + shift)[:, None]
    flat = images.reshape(-1)
    runs = flat.as_strided((max(0, len(flat) - width + 1), width), (1, 1))  # every run of the width of a window
    taken = runs.index_select(0, starts.flatten()).view(len(index), c, height, width)
    flipped = mirrored.neg().to(torch.uint8)[:, None, None, None]  # 255 or 0
    return taken ^ ((taken ^ taken.flip(3)) & flipped)


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
