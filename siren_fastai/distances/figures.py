"""Signed distances as figures: the plane with its surface, slices of a solid, and the points of a batch."""

import numpy as np
from matplotlib import pyplot as plt
from torch import Tensor

__all__ = ["show_distances", "show_points"]

SLICES = 5  # of a solid; odd, so that one goes through its middle
PANEL = 3.0  # inches


def show_distances(
    values: Tensor | np.ndarray,  # (rows, columns), or (slices, rows, columns) of a solid, of which five are drawn
    box: tuple[float, ...],  # positions of the first samples, then of the last
    figsize: tuple[float, float] | None = None,  # inches; None fits the panels
) -> None:
    """Draw distances by colour, red inside and blue outside, and black lines where they are 0."""
    values, d = np.asarray(values), len(box) // 2
    planes, names = [values], [""]
    if d == 3:
        chosen = np.linspace(0, len(values) - 1, SLICES + 2).round().astype(int)[1:-1]
        heights = np.linspace(box[0], box[3], len(values))[chosen]
        planes, names = [values[i] for i in chosen], [f"at {height:.3g}" for height in heights]
    top, left, bottom, right = box[d - 2], box[d - 1], box[-2], box[-1]
    limit = np.abs(values).max() or 1.0
    figure, axes = plt.subplots(
        1, len(planes), figsize=figsize or (PANEL * len(planes) + 1, PANEL), squeeze=False, layout="constrained"
    )
    for ax, plane, name in zip(axes[0], planes, names, strict=True):
        drawn = ax.imshow(plane, cmap="RdBu", vmin=-limit, vmax=limit, extent=(left, right, bottom, top))
        if plane.min() < 0 < plane.max():
            ax.contour(plane, levels=[0], colors="black", extent=(left, right, top, bottom))
        ax.set_title(name)
    figure.colorbar(drawn, ax=axes)


def show_points(
    positions: Tensor,  # (n, d)
    distances: Tensor,  # (n,)
    figsize: tuple[float, float] = (4.5, 4.0),  # inches
) -> None:
    """Draw positions by the colour of their distances: rows go down, and the first of three axes goes to the back."""
    rows, columns = positions[:, -2].cpu(), positions[:, -1].cpu()
    solid = positions.shape[1] == 3
    figure = plt.figure(figsize=figsize, layout="constrained")
    ax = figure.add_subplot(projection="3d" if solid else None)
    limit = float(distances.abs().max()) or 1.0
    places = (columns, positions[:, 0].cpu(), rows) if solid else (columns, rows)
    drawn = ax.scatter(*places, c=distances.cpu(), s=4, cmap="coolwarm_r", vmin=-limit, vmax=limit)
    (ax.invert_zaxis if solid else ax.invert_yaxis)()
    ax.set_aspect("equal")
    figure.colorbar(drawn, ax=ax)
