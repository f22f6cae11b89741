"""Where the work is: a window around each group of holes, the known pixels near it, and known ones to test it on."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

__all__ = ["Window", "hidden_as_holes", "hole_windows"]

EIGHT = np.ones((3, 3), bool)  # neighbours, diagonal ones too
DIRECTIONS = tuple((i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j)
TESTED_SIDE = 96  # pixels
MOST_HIDDEN = 0.5  # of the known pixels: the rest must be enough to learn from


@dataclass(frozen=True)
class Window:
    """A part of an image around some of its holes.

    Shapes: hole, near, known: (rows, columns) bool.
    """

    rows: slice
    columns: slice
    hole: np.ndarray  # its holes; those of other windows may reach into it, and belong to neither
    near: np.ndarray  # the known pixels within the margin of its holes, never empty
    known: np.ndarray  # all known pixels

    def of(self, image):
        """Its part of an image (h, w, ...)."""
        return image[self.rows, self.columns]


def hole_windows(
    hole: np.ndarray,  # (h, w) bool
    known: np.ndarray,  # (h, w) bool, nowhere where `hole` is; a pixel may be neither
    margin: int,  # pixels; holes that are no further than twice that from each other share a window
) -> list[Window]:
    """Return a window for each group of holes, the largest hole first."""
    distance = ndimage.distance_transform_edt(~hole)
    labels, _ = ndimage.label(distance <= margin, EIGHT)
    windows = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        own = labels[rows, columns] == number
        part = known[rows, columns]
        windows.append(Window(rows, columns, hole[rows, columns] & own, part & own, part))
    windows = [window for window in windows if window.near.any()]
    return sorted(windows, key=lambda window: -window.hole.sum())


def hidden_as_holes(
    known: np.ndarray,  # (h, w) bool
    window: Window,  # of the image that `known` belongs to
    margin: int,  # pixels
) -> np.ndarray | None:  # (h, w) bool
    """Return known pixels of the form of the window's hole, next to it: what a fill of them is worth can be measured.

    Of a large hole it is the form of its deepest part, 96 pixels a side. It is moved into the direction where the most
    of it is known, by its size and a margin, or less where the image is too small. None where nothing is known in any
    direction, or too much would be hidden.
    """
    hole = np.zeros(known.shape, bool)
    hole[window.rows, window.columns] = _deepest_part(window.hole)
    rows, columns = ndimage.find_objects(hole.astype(np.uint8))[0]
    size = [s.stop - s.start for s in (rows, columns)]
    most, best = 0, None
    for share in (1, 0.5, 0.25):
        for direction in DIRECTIONS:
            offset = [round(share * (n + margin) * sign) for n, sign in zip(size, direction, strict=True)]
            hidden = _moved(hole, *offset) & known
            if most < share * hidden.sum() and hidden.sum() <= MOST_HIDDEN * known.sum():
                most, best = share * hidden.sum(), hidden
    return best


def _deepest_part(hole: np.ndarray) -> np.ndarray:
    """The hole's pixels in a square around the one that is furthest from its rim."""
    depth = ndimage.distance_transform_edt(hole)
    place = np.unravel_index(depth.argmax(), hole.shape)
    square = tuple(slice(max(0, at - TESTED_SIDE // 2), at + TESTED_SIDE // 2) for at in place)
    part = np.zeros_like(hole)
    part[square] = hole[square]
    return part


def _moved(mask: np.ndarray, down: int, right: int) -> np.ndarray:
    """The mask, moved; what leaves the image is gone."""
    moved = np.zeros_like(mask)
    height, width = mask.shape
    if abs(down) < height and abs(right) < width:
        target = slice(max(down, 0), height + min(down, 0)), slice(max(right, 0), width + min(right, 0))
        source = slice(max(-down, 0), height - max(down, 0)), slice(max(-right, 0), width - max(right, 0))
        moved[target] = mask[source]
    return moved
