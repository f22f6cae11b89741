"""Digits of 28x28 pixels: scanned ones from scikit-learn, and ones drawn with the fonts that matplotlib includes."""

from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from siren_fastai.datasets.draws import Draws, checked_count, checked_seed
from siren_fastai.datasets.pixel_art import noise

__all__ = ["DIGITS_TRAIN", "GLYPHS_VERSION", "GLYPH_FACES", "digits28", "glyphs28"]

GLYPHS_VERSION = 1  # raised when other glyphs are drawn
SIDE = 28  # pixels per side
DIGITS_TRAIN = 1437  # the first ones train; the 360 others, which are 20 percent, validate
GLYPH_FACES = tuple(
    f"DejaVu{family}{style}"
    for family, styles in (
        ("Sans", ("", "-Bold", "-Oblique", "-BoldOblique")),
        ("SansMono", ("", "-Bold", "-Oblique", "-BoldOblique")),
        ("Serif", ("", "-Bold", "-Italic", "-BoldItalic")),
    )
    for style in styles
)
FINE = 4  # a glyph is drawn with as many times the pixels per side, and then averaged
STROKES = 4  # widths of the pen that goes around a glyph: 0 to 3 of the fine pixels


def digits28() -> tuple[Tensor, Tensor]:  # (1797, 1, 28, 28) uint8 and (1797,) int64
    """scikit-learn's 1797 scanned digits, and the group of each, its index. The first 1437 are for training.

    They have 8x8 pixels of 17 levels, enlarged linearly between the pixels' centres, in integers.
    """
    from sklearn.datasets import load_digits  # takes a third of a second

    levels = load_digits().images.astype(np.int64)
    weights = _weights(levels.shape[1], SIDE)  # 14 per row
    sums = np.einsum("ij,njk,lk->nil", weights, levels, weights)  # 16 * 14^2 is white
    white = 16 * 14**2
    images = (2 * 255 * sums + white) // (2 * white)
    return torch.from_numpy(images.astype(np.uint8))[:, None], torch.arange(len(levels))


def _weights(small: int, large: int) -> np.ndarray:
    """The shares (large, small), of 14, that the pixels of 8 have in those of 28."""
    weights = np.zeros((large, small), np.int64)
    for i in range(large):
        low, part = divmod(4 * i - 5, 14)  # 14 times the position (i + .5) 8 / 28 - .5
        weights[i, max(0, low)] += 14 - part
        weights[i, min(small - 1, low + 1)] += part
    return weights


def glyphs28(
    count: int = 60000,  # images; the first ones don't depend on it
    seed: int = 0,  # another seed, another collection
) -> tuple[Tensor, Tensor]:  # (count, 1, 28, 28) uint8 and (count,) int64
    """Digits in twelve DejaVu faces, white on black, and the group of each, its index.

    Each has a pen, a size, a slant, a turn, a bend and a place of its own. An image depends on its index and the seed
    alone. The outlines are drawn by FreeType, so versions of Pillow whose FreeType differs may differ in single
    levels; everything else is done in integers.
    Raises: ValueError unless `count` is an integer of 1 or more and `seed` of 0 or more.
    """
    seed, count = checked_seed(seed), checked_count("count", count)
    images = np.stack([_jittered(Draws(seed, index)) for index in range(count)])
    return torch.from_numpy(images)[:, None], torch.arange(count)


def _jittered(draws: Draws) -> np.ndarray:
    """A random glyph, moved and bent: (28, 28) uint8."""
    glyph = _glyph(draws.choice(GLYPH_FACES), draws.below(10), draws.below(STROKES))
    n = len(glyph)
    y, x = 2 * np.indices((n, n)) - (n - 1)  # twice the distance to the middle
    zoom_x, zoom_y = draws.between(3700, 5600), draws.between(3700, 5000)  # of 4096: backwards, so more is smaller
    turn, slant = draws.between(-700, 700), draws.between(-900, 900)
    right, down = draws.between(-9, 9, (2,))
    bend = [(noise(draws, n, 4) - 128) * draws.below(2 * FINE) // 64 for _ in range(2)]
    from_x = (x * zoom_x + y * (turn + slant)) // 4096 + bend[0] + 2 * right
    from_y = (y * zoom_y - x * turn) // 4096 + bend[1] + 2 * down
    row, column = (from_y + n - 1) // 2, (from_x + n - 1) // 2
    inside = (row >= 0) & (row < n) & (column >= 0) & (column < n)
    moved = np.where(inside, glyph[row.clip(0, n - 1), column.clip(0, n - 1)], 0).astype(np.int64)
    return ((moved.reshape(SIDE, FINE, SIDE, FINE).sum((1, 3)) + FINE**2 // 2) // FINE**2).astype(np.uint8)


@cache
def _glyph(face: str, digit: int, stroke: int) -> np.ndarray:
    """A digit in the middle of its square, with a pen of `stroke` fine pixels around it: (112, 112) uint8."""
    n = SIDE * FINE
    font = ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", f"{face}.ttf"), n * 7 // 8)
    sheet = Image.new("L", (n, n))
    left, top, right, bottom = font.getbbox(str(digit), stroke_width=stroke)
    place = (n - left - right) // 2, (n - top - bottom) // 2
    ImageDraw.Draw(sheet).text(place, str(digit), fill=255, font=font, stroke_width=stroke)
    return np.asarray(sheet)
