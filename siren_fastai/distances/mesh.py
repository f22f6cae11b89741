"""A surface as triangles: marching cubes, and OBJ files."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from skimage.measure import marching_cubes
from torch import Tensor

from siren_fastai.files import replacing

__all__ = ["save_mesh", "surface_mesh"]


def surface_mesh(
    values: Tensor | np.ndarray,  # (n0, n1, n2) distances, at least 2 samples along each axis
    box: Sequence[float],  # positions of the first samples, then of the last: three starts, three ends
) -> tuple[np.ndarray, np.ndarray]:  # vertices (v, 3) in the box's units, and triangles (f, 3) of their indices
    """Triangles where a volume of distances is 0, by marching cubes. Counter-clockwise seen from outside.

    Raises: ValueError if the values aren't a volume or don't change their sign.
    """
    values, box = np.asarray(values), np.asarray(box, dtype=float)
    if values.ndim != 3 or min(values.shape) < 2:
        raise ValueError(f"`values` must be a volume with two samples or more along each axis, got {values.shape}")
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

    Raises: ValueError for another suffix than ".obj".
    """
    path = Path(path)
    if path.suffix.lower() != ".obj":
        raise ValueError(f"`path` must end in .obj, got {str(path)!r}")
    with replacing(path) as temporary, open(temporary, "w", encoding="ascii") as file:
        file.writelines(f"v {x:.6g} {y:.6g} {z:.6g}\n" for x, y, z in vertices)
        file.writelines(f"f {a} {b} {c}\n" for a, b, c in np.asarray(triangles) + 1)
    return path
