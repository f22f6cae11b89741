"""Drawing pixel art with integers only: palettes, shapes on a virtual canvas of 64x64, noise, shading, outlines.

A drawing is an array (s, s) of positions in a palette, in which 0 is black and means transparent.
"""

from functools import cache

import numpy as np

from siren_fastai.datasets.draws import Draws

__all__ = ["BAYER", "UNITS", "Pen", "hsv", "noise", "outline", "quantize", "ramp", "shaded", "shifted"]

UNITS = 64  # the virtual canvas is 64 units wide and high, whatever the pixels of a drawing
BAYER = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]])  # ordered dithering, 0 to 15


class Pen:
    """Masks (s, s) of shapes that are given in units of the virtual canvas, from its top left corner."""

    def __init__(self, size: int):
        self.size = size
        self.v, self.u = _centers(size)

    def ellipse(self, cx: int, cy: int, rx: int, ry: int) -> np.ndarray:
        """The pixels whose centres lie in the ellipse; its radii are 1 or more."""
        rx, ry = max(1, rx), max(1, ry)
        return ((self.u - cx) * ry) ** 2 + ((self.v - cy) * rx) ** 2 <= (rx * ry) ** 2

    def disc(self, cx: int, cy: int, r: int) -> np.ndarray:
        """The pixels whose centres lie in the circle."""
        return self.ellipse(cx, cy, r, r)

    def box(self, left: int, top: int, right: int, bottom: int) -> np.ndarray:
        """The pixels whose centres lie in the rectangle."""
        return (self.u >= left) & (self.u < right) & (self.v >= top) & (self.v < bottom)

    def line(self, x0: int, y0: int, x1: int, y1: int, width: int) -> np.ndarray:
        """The pixels at most half of `width` from the segment between two points."""
        dx, dy = x1 - x0, y1 - y0
        length = dx * dx + dy * dy
        along, across = (self.u - x0) * dx + (self.v - y0) * dy, (self.u - x0) * dy - (self.v - y0) * dx
        inside = (along >= 0) & (along <= length) & (4 * across**2 <= width**2 * length)
        return inside | self.disc(x0, y0, width // 2) | self.disc(x1, y1, width // 2)

    def polygon(self, *corners: tuple[int, int]) -> np.ndarray:
        """The pixels in a convex polygon, whose corners go round clockwise."""
        inside = np.ones((self.size, self.size), bool)
        for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
            inside &= (x1 - x0) * (self.v - y0) - (y1 - y0) * (self.u - x0) >= 0
        return inside


@cache
def _centers(size: int) -> np.ndarray:
    """The centres of the pixels, (2, size, size): v and u. Even sizes up to 32 divide the units exactly."""
    centers = (2 * np.indices((size, size)) + 1) * UNITS // (2 * size)
    centers.flags.writeable = False
    return centers


def hsv(hue: int, saturation: int, value: int) -> tuple[int, int, int]:
    """A colour as (red, green, blue), 0 to 255. Hue: 0 to 1535, 256 for each sixth from red over green to blue."""
    sector, f = divmod(hue % 1536, 256)
    p = value * (255 - saturation) // 255
    q = value * (255 - saturation * f // 255) // 255
    t = value * (255 - saturation * (255 - f) // 255) // 255
    return [(value, t, p), (q, value, p), (p, value, t), (p, q, value), (t, p, value), (value, p, q)][sector]


def ramp(hue: int, saturation: int, dark: int, light: int, n: int, turn: int = 60) -> list[tuple[int, int, int]]:
    """`n` shades from `dark` to `light`, 0 to 255, whose hue turns by `turn` and whose saturation falls on the way."""
    steps = [(i, max(1, n - 1)) for i in range(n)]
    return [
        hsv(
            hue + turn * (2 * i - last) // (2 * last),
            saturation * (4 * last - i) // (4 * last),
            dark + (light - dark) * i // last,
        )
        for i, last in steps
    ]


def noise(draws: Draws, size: int, cells: int) -> np.ndarray:
    """Smooth noise (size, size) from 0 to 255 that can be repeated: a lattice of `cells`, linear in between."""
    lattice = draws.below(256, (cells, cells))
    at = np.arange(size) * cells * 16 // size
    low, part = at // 16, at % 16
    high = (low + 1) % cells
    rows = lattice[low] * (16 - part[:, None]) + lattice[high] * part[:, None]
    return (rows[:, low] * (16 - part) + rows[:, high] * part) // 256


def quantize(levels: np.ndarray, n: int, dither: int = 0) -> np.ndarray:
    """Levels from 0 to 255 as shades from 0 to n - 1; `dither`, 0 to 16, says how far shades mix in a pattern."""
    repeats = -(-len(levels) // 4)
    pattern = (2 * np.tile(BAYER, (repeats, repeats))[: len(levels), : len(levels)] - 15) * dither * 8 // (15 * n)
    return np.clip((levels + pattern) * n // 256, 0, n - 1)


def shifted(mask: np.ndarray, down: int, right: int) -> np.ndarray:
    """A mask moved by whole pixels; what comes in at the border is False."""
    moved = np.zeros_like(mask)
    h, w = mask.shape
    moved[max(0, down) : h + min(0, down), max(0, right) : w + min(0, right)] = mask[
        max(0, -down) : h - max(0, down), max(0, -right) : w - max(0, right)
    ]
    return moved


def outline(mask: np.ndarray) -> np.ndarray:
    """The pixels next to a mask, which aren't in it."""
    near = mask.copy()
    near[1:] |= mask[:-1]
    near[:-1] |= mask[1:]
    near[:, 1:] |= mask[:, :-1]
    near[:, :-1] |= mask[:, 1:]
    return near & ~mask


def shaded(pen: Pen, mask: np.ndarray, n: int, dither: int = 0, grain: np.ndarray | None = None) -> np.ndarray:
    """Shades from 0 to n - 1 of a round body in the shape of `mask`, lit from the upper left; `grain` roughens it."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return np.zeros(mask.shape, np.int64)
    top, left = pen.v[rows[0], 0], pen.u[0, columns[0]]
    height, width = pen.v[rows[-1], 0] - top + 1, pen.u[0, columns[-1]] - left + 1
    across, down = (pen.u - left) * 256 // width - 80, (pen.v - top) * 256 // height - 70
    levels = 255 - (across**2 + down**2) // 170
    levels = levels if grain is None else levels + (grain - 128) // 3
    return quantize(np.clip(levels, 0, 255), n, dither)
