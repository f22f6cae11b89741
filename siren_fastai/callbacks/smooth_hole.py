"""Keep a signal smooth where no sample is known while a network is fitted to the others."""

import math
import random

import numpy as np
import torch
from fastai.callback.core import Callback
from fastai.callback.training import GradientAccumulation
from torch import Tensor

from siren_fastai.coords import axis_positions
from siren_fastai.data.indexed import checked_count
from siren_fastai.data.known import as_mask
from siren_fastai.roughness import ROUGHNESS, neighbours, roughness

__all__ = ["SmoothHole"]


class SmoothHole(Callback):
    """Add `weight` times the roughness of the hole to the training loss; the validation loss stays as it is.

    In each step the network is evaluated at `count` random positions in the hole and at their neighbours, one sample
    further along each axis, at the rim too: a network that is free there oscillates. Predictions aren't changed.
    Raises: ValueError for a bad `weight`, `kind` or `count`; as a fit begins for loaders that aren't a regular grid, or
    have no mask where `hole` is None.
    """

    order = GradientAccumulation.order - 1  # before the loss is divided among steps or processes

    def __init__(
        self,
        weight: float = 0.02,  # of the roughness in the loss, for values of about unit size
        kind: str = "tv",  # "tv", the total variation, or "membrane", its square
        count: int = 512,  # positions in each step
        hole: np.ndarray | Tensor | None = None,  # bool (*shape), True is smoothed; None is what the data's mask hides
    ):
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < math.inf:
            raise ValueError(f"`weight` must be a finite number of 0 or more, got {weight!r}")
        if kind not in ROUGHNESS:
            raise ValueError(f"`kind` must be one of {tuple(ROUGHNESS)}, got {kind!r}")
        self.weight, self.kind, self.position_count, self.hole = weight, kind, checked_count("count", count), hole

    def before_fit(self):
        data = self.dls.train_ds
        if getattr(data, "grid", None) is None:
            raise ValueError("`SmoothHole` needs samples on a regular grid, such as `PixelDataLoaders.from_image` has")
        if self.hole is None and data.hidden is None:
            raise ValueError(
                "`SmoothHole` needs data with a mask, `PixelDataLoaders(..., mask=known)`, or its own `hole`"
            )
        hole = data.hidden if self.hole is None else as_mask(self.hole, data.shape, "hole").flatten().nonzero()[:, 0]
        axes = [axis_positions(n, data.grid) for n in data.shape]
        index = torch.unravel_index(hole, data.shape)
        self.hole_positions = torch.stack([axis[i] for axis, i in zip(axes, index, strict=True)], 1).to(data.device)
        spacing = [float(axis[1] - axis[0]) if len(axis) > 1 else 2.0 for axis in axes]
        self.spacing = torch.tensor(spacing, device=data.device)
        self.draws = random.Random(random.getrandbits(63))

    def after_loss(self):
        if not (self.training and self.weight and len(self.hole_positions)):
            return
        positions = self._positions()
        values = self.model(positions.flatten(0, 1)).float()
        values = values.view(*positions.shape[:2], *values.shape[1:])
        added = self.weight * roughness(values, self.kind).sum()
        self.learn.loss = self.loss + added.detach()
        self.learn.loss_grad = self.loss_grad + added

    def _positions(self) -> Tensor:
        """Random positions in the hole, not only at its samples, with their neighbours: (d + 1, count, d)."""
        device = self.hole_positions.device
        generator = torch.Generator(device).manual_seed(self.draws.getrandbits(63))
        n, options = self.position_count, dict(generator=generator, device=device)
        near = self.hole_positions[torch.randint(len(self.hole_positions), (n,), **options)]
        offsets = torch.rand(near.shape, **options) - 1  # between the sample before and this one: the rim comes in
        return neighbours(near + offsets * self.spacing, self.spacing)
