"""Holes that are strokes of a brush: chains of straight pieces with round ends.

Source: Yu et al. 2019, arXiv:1806.03589, sec. 3.4 and algorithm 1 of its supplement, with ranges in pixels.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from siren_fastai.inpainting.masks import check_range

__all__ = ["Strokes"]

MAX_TURN = 0.4 * math.pi  # from one piece to the next, either way


@dataclass(frozen=True)
class Strokes:
    """Holes that are strokes: each starts anywhere, and bends after each straight piece; it may leave the image.

    The numbers, widths, lengths, and turns of up to 72 degrees are uniform, each drawn apart.
    Raises: ValueError for ranges that are empty or below 1, or a width below 2.
    """

    least: int = 1  # strokes per image
    most: int = 3  # strokes per image
    pieces: tuple[int, int] = (2, 5)  # straight pieces of a stroke
    length: tuple[int, int] = (8, 32)  # of a piece, in pixels
    width: tuple[int, int] = (5, 15)  # of a stroke, in pixels

    def __post_init__(self):
        check_range("(least, most)", (self.least, self.most))
        for name, least in (("pieces", 1), ("length", 1), ("width", 2)):  # a thinner one could pass between pixels
            object.__setattr__(self, name, check_range(name, getattr(self, name), least))

    @property
    def largest(self) -> int:
        """The greatest width of a hole, in pixels."""
        return self.width[1]

    def draw(
        self,
        rng: np.random.Generator,
        size: tuple[int, int],  # (height, width) of the image
    ) -> np.ndarray:  # (most * pieces, 5) float64: ends y, x, y, x in pixels, and the radius, 0 for those unused
        """Draw the strokes of one image. Raises: ValueError where they could cover the whole image."""
        self._check(size)
        most, longest = self.most, self.pieces[1]
        u, of_pieces = rng.random((most + 1, 5)), rng.random((2, most, longest))
        count = _whole(u[0, 0], (self.least, most))
        low, high = self.length
        angles = 2 * math.pi * u[1:, 2, None] + np.cumsum((2 * of_pieces[0] - 1) * MAX_TURN, axis=1)
        steps = (low + of_pieces[1] * (high - low)) * np.stack([np.sin(angles), np.cos(angles)])
        starts = (u[1:, :2] * size).T[:, :, None]
        ends = starts + np.cumsum(steps, axis=2)
        starts = np.concatenate([starts, ends[:, :, :-1]], axis=2)
        used = (np.arange(most) < count)[:, None] & (np.arange(longest) < _whole(u[1:, 3], self.pieces)[:, None])
        radius = (self.width[0] + u[1:, 4, None] * (self.width[1] - self.width[0])) / 2
        return np.stack([*starts, *ends, np.where(used, radius, 0)], axis=-1).reshape(-1, 5)

    def paint(
        self,
        draws: Tensor,  # (n, k, 5), as from `draw`, on any device
        size: tuple[int, int],  # (height, width) of the images
    ) -> Tensor:  # (n, 1, h, w) bool, True is known
        """Turn draws into masks, on the device of the draws: pixels whose centres lie within a stroke are the hole."""
        y = torch.arange(size[0], device=draws.device)[None, :, None] + 0.5
        x = torch.arange(size[1], device=draws.device)[None, None, :] + 0.5
        known = torch.ones(len(draws), *size, dtype=torch.bool, device=draws.device)
        for piece in draws.float().unbind(1):  # one at a time: memory for all would be k times that of the masks
            y0, x0, y1, x1, radius = (values[:, None, None] for values in piece.unbind(1))
            dy, dx = y1 - y0, x1 - x0
            along = (((y - y0) * dy + (x - x0) * dx) / (dy * dy + dx * dx).clamp_min(1e-6)).clamp(0, 1)
            known &= (y - y0 - along * dy).square() + (x - x0 - along * dx).square() >= radius.square()
        return known[:, None]

    def _check(self, size: tuple[int, int]) -> None:
        width, length = self.width[1], self.length[1]
        area = self.most * (self.pieces[1] * width * (length + 1) + math.pi * (width / 2 + 1) ** 2)
        if area >= size[0] * size[1]:
            raise ValueError(
                f"{self.most} strokes of up to {self.pieces[1]} pieces of {length} x {width} pixels could cover a "
                f"whole image of {size[0]} x {size[1]}: use fewer, shorter or thinner ones, or larger images"
            )


def _whole(u, bounds: tuple[int, int]):
    """Integers between the bounds, both included, from numbers in [0, 1)."""
    return np.floor(bounds[0] + u * (bounds[1] - bounds[0] + 1)).astype(np.int64)
