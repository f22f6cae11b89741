"""Shapes whose signed distance is known exactly, and points with normals on their surface.

A shape is a function from positions (n, d) to distances (n,): below 0 inside, above 0 outside.
Source of the formulas: Hart 1996, The Visual Computer 12(10), for the torus; a polygon's distance is the least of those
to its edges, with the sign of the even-odd rule; an extrusion combines two exact distances.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from siren_fastai.data.indexed import checked_count

__all__ = ["ball", "extruded", "glyph", "polygon", "surface_points", "torus"]

Shape = Callable[[Tensor], Tensor]
DRAWS = 1 << 15  # positions drawn at a time
MAX_ROUNDS = 1000  # of draws, before a shape counts as having no surface
STEP = 1e-5  # of the central differences that give normals, in float64


def ball(
    radius: float = 0.5,  # above 0
) -> Shape:
    """The distance to a circle, sphere, ... around the origin, in any number of dimensions."""
    _check_above_zero("radius", radius)
    return lambda x: x.norm(dim=1) - radius


def torus(
    major: float = 0.5,  # from the centre to the middle of the tube
    minor: float = 0.2,  # radius of the tube, less than `major`
) -> Shape:
    """The distance to a torus in three dimensions, which lies flat in the last two axes."""
    _check_above_zero("minor", minor)
    if not minor < major:
        raise ValueError(f"`major` must be above `minor`, got {major} and {minor}")

    def distance(x: Tensor) -> Tensor:
        return torch.stack([x[:, 1:].norm(dim=1) - major, x[:, 0]], dim=1).norm(dim=1) - minor

    return distance


def polygon(
    rings: Sequence,  # closed outlines (m, 2), m >= 3, that don't cross; a ring inside another is a hole
) -> Shape:
    """The distance to polygons in the plane. Raises: ValueError for rings that are no finite outlines, or none."""
    rings = [torch.as_tensor(np.asarray(ring), dtype=torch.float64) for ring in rings]
    if not rings or any(ring.dim() != 2 or ring.shape[1] != 2 or len(ring) < 3 for ring in rings):
        found = [tuple(ring.shape) for ring in rings]
        raise ValueError(f"`rings` must be one or more outlines of shape (m, 2), m >= 3, got shapes {found}")
    starts, ends = torch.cat(rings), torch.cat([ring.roll(-1, 0) for ring in rings])
    keep = (starts != ends).any(1)
    if not starts.isfinite().all() or not keep.any():
        raise ValueError("`rings` must be of finite numbers, and not all one point")

    def distance(x: Tensor) -> Tensor:
        a, b = starts[keep].to(x), ends[keep].to(x)
        edge, p = b - a, x[:, None] - a  # (m, 2), (n, m, 2)
        along = ((p * edge).sum(-1) / (edge * edge).sum(-1)).clamp(0, 1)
        least = (p - along[..., None] * edge).square().sum(-1).amin(1).sqrt()
        spans = (a[:, 0] > x[:, None, 0]) != (b[:, 0] > x[:, None, 0])  # the edge crosses the line through the point
        left = p[..., 0] * edge[:, 1] - p[..., 1] * edge[:, 0]
        crossed = (spans & ((left > 0) == (edge[:, 0] > 0))).sum(1)
        return torch.where(crossed % 2 == 1, -least, least)

    return distance


def glyph(
    text: str,  # one or more characters
    height: float = 1.4,  # of the text, or its width where that is greater
) -> Shape:
    """The distance to a text's outlines, upright in (row, col) as images are, in matplotlib's default font.

    Curves are polygons. Raises: ValueError for a text without an outline.
    """
    from matplotlib.font_manager import FontProperties
    from matplotlib.path import Path
    from matplotlib.textpath import text_to_path

    _check_above_zero("height", height)
    vertices, codes = text_to_path.get_text_path(FontProperties(family="DejaVu Sans"), text)
    if not len(vertices):
        raise ValueError(f"`text` must have an outline, got {text!r}")
    rings = Path(vertices, codes).to_polygons()
    low, high = (bound(np.concatenate(rings), axis=0) for bound in (np.min, np.max))
    scale = height / (high - low).max()
    return polygon([(ring - (low + high) / 2)[:-1, ::-1] * (-scale, scale) for ring in rings])


def extruded(
    shape: Shape,  # in the plane
    height: float = 0.4,  # along the new axis, which is the first
) -> Shape:
    """The distance to a plane shape that was given a height, in three dimensions. Exact if the shape's is."""
    _check_above_zero("height", height)

    def distance(x: Tensor) -> Tensor:
        both = torch.stack([shape(x[:, 1:]), x[:, 0].abs() - height / 2], dim=1)
        return both.amax(1).clamp_max(0) + both.clamp_min(0).norm(dim=1)

    return distance


def surface_points(
    shape: Shape,  # an exact distance, whose surface lies in [-1, 1]^d
    n: int,  # points
    d: int,  # dimensions
    shell: float = 0.01,  # points are drawn at distances up to this, then moved onto the surface
    seed: int = 0,  # of the draw
) -> tuple[Tensor, Tensor]:  # (n, d) positions and (n, d) normals of length 1, float32
    """Draw points on a surface, evenly up to the width of the shell, and the normals that point outside.

    Raises: ValueError if nearly no position of [-1, 1]^d is that near to the surface.
    """
    n = checked_count("n", n)
    generator, found, count = torch.Generator().manual_seed(seed), [], 0
    for _ in range(MAX_ROUNDS):
        x = torch.rand(DRAWS, d, generator=generator, dtype=torch.float64) * 2 - 1
        found.append(x[shape(x).abs() < shell])
        count += len(found[-1])
        if count >= n:
            break
    else:
        raise ValueError(f"found {count} of {n} points within {shell} of the surface in [-1, 1]^{d}; raise `shell`")
    x = torch.cat(found)[:n]
    points = x - shape(x)[:, None] * _slopes(shape, x)
    return points.float(), torch.nn.functional.normalize(_slopes(shape, x), dim=1).float()


def _slopes(shape: Shape, x: Tensor) -> Tensor:
    """The gradient (n, d) at positions (n, d), by central differences."""
    steps = torch.eye(x.shape[1], dtype=x.dtype) * STEP
    return torch.stack([(shape(x + step) - shape(x - step)) / (2 * STEP) for step in steps], dim=1)


def _check_above_zero(name: str, value: float) -> None:
    if not (0 < value < math.inf):
        raise ValueError(f"`{name}` must be above 0 and finite, got {value!r}")
