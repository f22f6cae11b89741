"""A surface as triangles: marching cubes, and OBJ files."""

import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from skimage.measure import marching_cubes
from torch import Tensor

from siren_fastai.files import replacing

__all__ = ["save_mesh", "surface_mesh"]

DIGITS = 6  # of a mesh's longest side, at least


def surface_mesh(
    values: Tensor | np.ndarray,  # (n0, n1, n2) distances, at least 2 samples along each axis
    box: Sequence[float],  # positions of the first samples, then of the last: three starts, three ends
) -> tuple[np.ndarray, np.ndarray]:  # vertices (v, 3) in the box's units, and triangles (f, 3) of their indices
    """Triangles where a volume of distances is 0, by marching cubes. Counter-clockwise seen from outside.

    Raises: ValueError if the values aren't a volume or don't change their sign, or for a box that is empty.
    """
    values, box = np.asarray(values), np.asarray(box, dtype=float)
    if values.ndim != 3 or min(values.shape) < 2:
        raise ValueError(f"`values` must be a volume with two samples or more along each axis, got {values.shape}")
    if box.shape != (6,) or not np.isfinite(box).all() or not (box[:3] < box[3:]).all():
        raise ValueError(f"`box` must be three starts, then three greater ends, got {box.tolist()}")
    if not values.min() < 0 < values.max():
        raise ValueError(f"no surface: values go from {values.min():.3g} to {values.max():.3g}, and never through 0")
    spacing = (box[3:] - box[:3]) / (np.array(values.shape) - 1)
    vertices, triangles, *_ = marching_cubes(values, 0.0, spacing=tuple(spacing), gradient_direction="descent")
    return vertices + box[:3], triangles


def save_mesh(
    path: str | os.PathLike,  # an OBJ file to write, such as "torus.obj"
    vertices: np.ndarray,  # (v, 3)
    triangles: np.ndarray,  # (f, 3) indices from 0
) -> Path:
    """Write triangles as a Wavefront OBJ file, which most 3-D programs read; return its path.

    Positions are rounded to a millionth of the mesh's longest side or finer, wherever it lies.
    Raises: ValueError for another suffix than ".obj".
    """
    path = Path(path)
    if path.suffix.lower() != ".obj":
        raise ValueError(f"`path` must end in .obj, got {str(path)!r}")
    vertices = np.asarray(vertices, dtype=float)
    decimals = _decimals(vertices)
    with replacing(path) as temporary, open(temporary, "w", encoding="ascii") as file:
        file.writelines(f"v {x:.{decimals}f} {y:.{decimals}f} {z:.{decimals}f}\n" for x, y, z in vertices)
        file.writelines(f"f {a} {b} {c}\n" for a, b, c in np.asarray(triangles) + 1)
    return path


def _decimals(vertices: np.ndarray) -> int:
    """The digits after the point that keep a millionth of the longest side."""
    side = float(np.ptp(vertices, axis=0).max()) if len(vertices) else 0.0
    return max(0, DIGITS - math.floor(math.log10(side))) if 0 < side < math.inf else DIGITS
