"""Synthetic training images: leaves of all sizes that cover each other, in the colours and textures of photos.

Source: the model of Lee, Mumford and Huang 2001, Int. J. Comput. Vis. 41, with radii of a density of r^-3, whose images
have the edges, and the statistics at all scales, of natural ones.
"""

import numpy as np
import torch
from torch import Tensor

__all__ = ["dead_leaves"]

RADII = (4.0, 300.0)  # pixels, least and greatest
LEAVES_PER_PIXEL = 1 / 250
FLAT, WHOLE = 0.35, 0.5  # the share of leaves without a texture; of the others, those that are a piece of a photo


def dead_leaves(
    photos: list[Tensor],  # (3, h, w) uint8: where colours and textures come from
    rng: np.random.Generator,
    size: int = 1024,  # pixels per side
) -> Tensor:  # (3, size, size) uint8
    """Draw one image."""
    image = np.empty((3, size, size), np.float32)
    image[:] = _color(photos, rng)
    count = int(size * size * LEAVES_PER_PIXEL * rng.uniform(0.3, 1))
    low, high = RADII[0] ** -2, RADII[1] ** -2
    for radius in 1 / np.sqrt(low + rng.random(count) * (high - low)):
        _add_leaf(image, radius, photos, rng)
    return torch.from_numpy(image.round().clip(0, 255).astype(np.uint8))


def _add_leaf(image: np.ndarray, radius: float, photos: list[Tensor], rng: np.random.Generator) -> None:
    size = image.shape[1]
    center, angle = rng.random(2) * size, rng.uniform(0, 2 * np.pi)
    low, high = (np.clip(center + sign * (radius + 1), 0, size).astype(int) for sign in (-1, 1))
    rows, columns = (
        np.arange(*pair, dtype=np.float32) - middle for *pair, middle in zip(low, high, center, strict=True)
    )
    along = np.cos(angle) * columns + np.sin(angle) * rows[:, None]
    across = np.cos(angle) * rows[:, None] - np.sin(angle) * columns
    inside = _shape(along / radius, across / radius, radius, rng)
    if inside.size:
        colors = _fill(along / radius, photos, rng)
        part = image[:, low[0] : high[0], low[1] : high[1]]
        part += (colors - part) * inside


def _shape(along: np.ndarray, across: np.ndarray, radius: float, rng: np.random.Generator) -> np.ndarray:
    """The share of each pixel that an ellipse, a rectangle or a thin bar covers, in units of the radius."""
    kind, thick = rng.random(), rng.uniform(0.2, 1)
    if kind < 0.4:
        beyond = along**2 + (across / thick) ** 2 - 1
    elif kind < 0.75:
        beyond = np.maximum(abs(along), abs(across) / thick) / 0.9 - 1
    else:
        beyond = np.maximum(abs(along), abs(across) * radius / max(1, 0.08 * radius)) - 1
    return np.clip(0.5 - beyond * radius / 2, 0, 1)


def _fill(along: np.ndarray, photos: list[Tensor], rng: np.random.Generator) -> np.ndarray:
    """(3, h, w): a colour, or one that changes along the leaf, with or without a texture; or a piece of a photo."""
    colors = np.broadcast_to(_color(photos, rng), (3, *along.shape))
    if rng.random() < 0.5:
        colors = colors + (rng.normal(0, 25, (3, 1, 1)) + rng.normal(0, 25)).astype(np.float32) * along
    if rng.random() < FLAT:
        return colors
    photo = photos[rng.integers(len(photos))]
    room = np.array(photo.shape[1:]) - along.shape
    if (room <= 0).any():
        return colors
    top, left = rng.integers(room)
    piece = photo[:, top : top + along.shape[0], left : left + along.shape[1]].numpy().astype(np.float32)
    piece = piece[:, ::-1] if rng.random() < 0.5 else piece
    if rng.random() < WHOLE:
        return piece
    return colors + (piece - piece.mean((1, 2), keepdims=True)) * np.float32(rng.uniform(0.4, 1))


def _color(photos: list[Tensor], rng: np.random.Generator) -> np.ndarray:
    """(3, 1, 1): that of a random pixel."""
    photo = photos[rng.integers(len(photos))]
    return (
        photo[:, rng.integers(photo.shape[1]), rng.integers(photo.shape[2])].numpy().astype(np.float32)[:, None, None]
    )
