"""Batches of points on a surface with their normals, and as many positions in free space."""

import copy
import os
import warnings
from collections.abc import Sequence

import numpy as np
import torch
from fastai.data.core import DataLoaders
from fastai.torch_core import default_device
from torch import Tensor
from torch.nn.functional import pad
from torch.quasirandom import SobolEngine

from siren_fastai.data import IndexedDL
from siren_fastai.data.indexed import checked_count
from siren_fastai.data.share import batch_size
from siren_fastai.distances.figures import show_points
from siren_fastai.distances.loss import DistanceLoss
from siren_fastai.distances.nearest import nearest_distances

__all__ = ["SurfaceDL", "SurfaceDataLoaders", "SurfacePoints"]

LENGTH_ERROR = 0.01  # of a normal, at most
FREE, FREE_SEED = 1 << 15, 0  # positions in free space
REACH = 1.1  # how far they go in each direction: beyond the box, or its corners would be off by up to 0.3
INSIDE = 0.9  # share of the space around the points that counts as inside: then normals seem to be turned
TENSORS = "coords", "normals", "free", "distances"


class SurfacePoints:
    """Points (n, d) in [-1, 1]^d on a surface with normals (n, d) of length 1 that point outside, on one device.

    `free` are positions (m, d) spread evenly over [-1.1, 1.1]^d, and `distances` (m,) theirs from the nearest points. A
    position p is `p * scale + center` in the user's units.
    """

    n_inp = 1

    def __init__(self, coords: Tensor, normals: Tensor, center: Sequence[float], scale: float, n_free: int):
        self.coords, self.normals, self.center, self.scale = coords, normals, tuple(center), scale
        self.free = (
            SobolEngine(self.dimensions, scramble=True, seed=FREE_SEED).draw(n_free).to(coords).mul(2).sub(1).mul(REACH)
        )
        self.distances = nearest_distances(self.free, coords, normals)
        self.loss_func = DistanceLoss()

    def __len__(self) -> int:
        return len(self.coords)

    def __getitem__(self, index) -> tuple[Tensor, Tensor]:
        """Points (b, d) and their targets (b, 1 + d): distances of 0 and normals."""
        return self.coords[index], pad(self.normals[index], (1, 0))

    def free_at(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Positions (b, d) in free space and their targets (b, 1 + d): distances and zeros."""
        return self.free[index], pad(self.distances[index, None], (0, self.dimensions))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} points of {self.dimensions} dimensions, {self.device})"

    @property
    def dimensions(self) -> int:
        return self.coords.shape[1]

    @property
    def device(self) -> torch.device:
        return self.coords.device

    def new_empty(self) -> "SurfacePoints":
        """The same box without points: what `learn.export` keeps."""
        empty = copy.copy(self)
        for name in TENSORS:
            setattr(empty, name, getattr(self, name)[:0].clone())
        return empty

    def to_(self, device) -> "SurfacePoints":
        """Move the points to `device`, in place."""
        for name in TENSORS:
            setattr(self, name, getattr(self, name).to(device))
        return self


class SurfaceDL(IndexedDL):
    """Batches of `bs` points on the surface and as many of the data's positions in free space, drawn anew.

    Shapes: positions (2 bs, d), targets (2 bs, 1 + d): distances, then normals, which are zeros in free space.
    """

    def do_batch(self, b) -> tuple[Tensor, Tensor]:
        b, data = self.before_batch(b), self.dataset
        drawn = torch.randint(len(data.free), (batch_size(b),), generator=self.device_generator(), device=data.device)
        on, free = self.create_batch(self.own_part(b)), data.free_at(self.share.of(drawn))  # all drew the same
        return tuple(torch.cat(parts) for parts in zip(on, free, strict=True))

    def show_batch(self, b=None, max_n=None, ctxs=None, show=True, unique=False, **kwargs):
        """Draw a batch's positions, scaled to [-1, 1], by the colour of their distances.

        Options of fastai's are without effect; others are those of `show_points`.
        """
        positions, targets = self.one_batch() if b is None else b
        show_points(positions, targets[:, 0], **kwargs)


class SurfaceDataLoaders(DataLoaders):
    """fastai DataLoaders of points on a surface."""

    @classmethod
    def from_points(
        cls,
        points: Tensor | np.ndarray,  # (n, d) on the surface, in any units
        normals: Tensor | np.ndarray,  # (n, d), pointing outside
        margin: float = 0.3,  # free space on each side of the points, as a share of their longest side
        box: Sequence[float] | None = None,  # d starts, then d ends; the space to learn, in place of `margin`
        bs: int = 512,  # points on the surface per batch; as many positions in free space come with them
        n_free: int = FREE,  # positions in free space to draw from, each with its distance from the nearest points
        device: torch.device | str | None = None,  # of all data; None is fastai's default
        path: str | os.PathLike = ".",  # where `learn.save` and `learn.export` write
    ) -> "SurfaceDataLoaders":
        """From points with normals, in two or three dimensions. Positions are scaled so that the box fits [-1, 1]^d.

        The space to learn is a square or a cube around the middle of the points or of `box`. Training and validation
        use the same points and the same positions in free space.
        Raises: ValueError for points and normals that don't belong together, aren't finite or have no extent, normals
        whose length isn't 1, or points outside `box`.
        Warns: if the space around the points counts as inside, as it does if all normals point the wrong way.
        """
        points, normals = _checked(points, "points"), _checked(normals, "normals")
        if points.shape != normals.shape:
            raise ValueError(
                f"`points` and `normals` must have the same shape, got {tuple(points.shape)} and {tuple(normals.shape)}"
            )
        _check_lengths(normals)
        center, scale = _frame(points, margin, box)
        device = default_device() if device is None else torch.device(device)
        coords = ((points - center) / scale).float()
        n_free = checked_count("n_free", n_free)
        data = SurfacePoints(coords, normals.float(), center.tolist(), scale, n_free).to_(device)
        _warn_of_inner_normals(data)
        loaders = (SurfaceDL(data, bs, shuffle=train, device=device) for train in (True, False))
        return cls(*loaders, path=path, device=device)


def _checked(values: Tensor | np.ndarray, name: str) -> Tensor:
    values = torch.as_tensor(values).detach().cpu().double()
    if values.dim() != 2 or values.shape[1] not in (2, 3) or not len(values):
        raise ValueError(f"`{name}` must be (n, 2) or (n, 3) with n of 1 or more, got shape {tuple(values.shape)}")
    if not values.isfinite().all():
        raise ValueError(f"`{name}` must be finite; {int((~values.isfinite()).any(1).sum())} rows aren't: drop them")
    return values


def _check_lengths(normals: Tensor) -> None:
    wrong = (normals.norm(dim=1) - 1).abs() > LENGTH_ERROR
    if wrong.any():
        raise ValueError(
            f"`normals` must have length 1; {int(wrong.sum())} of {len(normals)} haven't: divide by their lengths, and "
            "drop points without a normal"
        )


def _warn_of_inner_normals(data: SurfacePoints) -> None:
    around = ((data.free < data.coords.amin(0)) | (data.free > data.coords.amax(0))).any(1)
    if around.any() and (data.distances[around] < 0).float().mean() > INSIDE:
        warnings.warn(
            "most of the space around the points is inside by their normals, which must point outside: if that isn't "
            "meant, use `-normals`",
            stacklevel=3,
        )


def _frame(points: Tensor, margin: float, box: Sequence[float] | None) -> tuple[Tensor, float]:
    """The middle of the space to learn and half its side."""
    low, high = points.amin(0), points.amax(0)
    if box is not None:
        d = points.shape[1]
        box = torch.as_tensor(box, dtype=torch.float64)
        if box.shape != (2 * d,) or not box.isfinite().all() or not (box[:d] < box[d:]).all():
            raise ValueError(f"`box` must be {d} starts, then {d} greater ends, got {box.tolist()}")
        if (low < box[:d]).any() or (high > box[d:]).any():
            raise ValueError(f"`box` must contain the points, which reach from {low.tolist()} to {high.tolist()}")
        low, high, margin = box[:d], box[d:], 0.0
    if not 0 <= margin < float("inf"):
        raise ValueError(f"`margin` must be 0 or more, got {margin!r}")
    side = float((high - low).max())
    if not side > 0:
        raise ValueError("`points` must not all be the same point")
    return (low + high) / 2, side * (1 + 2 * margin) / 2
