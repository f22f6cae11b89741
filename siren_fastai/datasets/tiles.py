"""Tiles in the style of old role-playing games, drawn by rules, as a stand-in for a collection to download."""

import numpy as np
import torch
from torch import Tensor

from siren_fastai.datasets.draws import Draws, checked_count, checked_seed
from siren_fastai.datasets.pixel_art import Pen
from siren_fastai.datasets.tile_items import ITEMS
from siren_fastai.datasets.tile_objects import OBJECTS
from siren_fastai.datasets.tile_textures import TEXTURES, ground

__all__ = ["TILES_VERSION", "TILE_PAINTERS", "TILE_VARIANTS", "draw_tile", "tile_images"]

TILE_PAINTERS = TEXTURES | OBJECTS | ITEMS
TILES_VERSION = 1  # raised when other tiles are drawn
TILE_VARIANTS = 4  # tiles of an instance, one after the other: they share palette and style, and differ in the rest
WEIGHTS = {"ground": 3, "shore": 3, "bricks": 2, "carpet": 2, "creature": 4, "person": 3, "tree": 3, "item": 9}
DRAWN_AS = (8, 16, 16, 16, 32, 32)  # pixels per side before a tile is enlarged
ON_GROUND = 45  # percent of the things that stand on a ground; the others are on black, which means transparent
LEAST_STD = 6.0  # of a tile's gray levels, 0 to 255; a flatter tile is drawn again
ATTEMPTS = 80
LOTTERY = [name for name in TILE_PAINTERS for _ in range(WEIGHTS.get(name, 1))]


def tile_images(
    count: int = 8000,  # tiles; the first ones don't depend on it
    seed: int = 0,  # another seed, another collection
    size: int = 32,  # pixels per side
) -> tuple[Tensor, Tensor]:  # (count, 3, size, size) uint8 and (count,) int64
    """Tiles of grounds, walls, water, creatures, people, items, icons, trees and rocks, and the instance of each.

    Four tiles in a row are of one instance: one style and palette, different drawings. A tile depends on its index and
    the seed alone, and is the same on every machine, as only integers are used. Each is drawn with 8, 16 or 32 pixels
    per side and enlarged by its nearest pixels.
    Raises: ValueError unless `count` and `size` are integers of 1 or more and `seed` of 0 or more.
    """
    seed, count, size = checked_seed(seed), checked_count("count", count), checked_count("size", size)
    tiles = np.empty((count, size, size, 3), np.uint8)
    for index in range(count):
        tiles[index] = draw_tile(index, seed, size)
    groups = torch.arange(count) // TILE_VARIANTS
    return torch.from_numpy(tiles.transpose(0, 3, 1, 2).copy()), groups


def draw_tile(index: int, seed: int = 0, size: int = 32) -> np.ndarray:
    """The tile at `index` of the collection `seed`: (size, size, 3) uint8."""
    instance, variant = divmod(index, TILE_VARIANTS)
    for attempt in range(ATTEMPTS):
        style = Draws(seed, instance, 0, attempt // 8)  # a style that is too flat is given up in the end
        tile = _drawn(style, Draws(seed, instance, 1 + variant, attempt))
        if _spread_enough(tile):
            break
    at = (2 * np.arange(size) + 1) * len(tile) // (2 * size)
    return tile[at][:, at]


def _drawn(style: Draws, draws: Draws) -> np.ndarray:
    """A tile in the pixels that it is drawn with: (s, s, 3) uint8."""
    painter, pen = TILE_PAINTERS[style.choice(LOTTERY)], Pen(style.choice(DRAWN_AS))
    canvas, palette = painter(style, draws, pen)
    if painter.__name__ not in TEXTURES and style.chance(ON_GROUND):
        floor, colors = ground(style, draws, pen)
        canvas, palette = np.where(canvas > 0, canvas, floor + len(palette)), palette + colors
    return np.array([(0, 0, 0), *palette], np.uint8)[canvas]


def _spread_enough(tile: np.ndarray) -> bool:
    """Whether the standard deviation of the tile's gray levels is `LEAST_STD` or more; in integers."""
    gray = (tile.astype(np.int64) * (299, 587, 114)).sum(-1)
    n = gray.size
    return n * int((gray**2).sum()) - int(gray.sum()) ** 2 >= int(1000 * LEAST_STD * n) ** 2
