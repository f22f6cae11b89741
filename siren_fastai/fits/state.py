"""A trained network with what it needs to be rendered and trained further: made from a learner, opened in a learner."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from siren_fastai.coords import region_size
from siren_fastai.data import PixelDataLoaders
from siren_fastai.fits.packing import load_optimizer_
from siren_fastai.gradient_learner import GradientLearner
from siren_fastai.learner import PixelLearner, siren_learner
from siren_fastai.page.save import save_page
from siren_fastai.render import render

__all__ = ["UNIT", "Checkpoint", "checkpoint_of"]

UNIT = (0.0, 1.0)


@dataclass
class Checkpoint:
    """A network, the grid of the signal it fits, and the state of its training."""

    model: nn.Module
    size: tuple[int, ...]  # of the signal, without channels
    grid: str | None = "centers"  # None: positions that aren't a regular grid
    value_range: tuple[float, float] | None = UNIT  # of the network's values; None: not stated
    epoch: int = 0
    seed: int = 0
    options: dict = field(default_factory=dict)
    optimizer: object = None  # its `state_dict()`: nested dicts, lists and tuples of tensors and plain values
    output_range: tuple[float, float] | None = UNIT  # of what `render` returns; None: as the network has them

    @property
    def kind(self) -> str:
        """The family of the network, such as "siren", or else the name of its type."""
        return getattr(self.model, "kind", type(self.model).__name__)

    @property
    def channels(self) -> int:
        """How many values the network has at a position."""
        with torch.no_grad():
            like = next(self.model.parameters())
            return self.model(like.new_zeros(1, len(self.size)))[0].numel()

    def render(
        self,
        size: int | Sequence[int] | None = None,  # as for `learn.render`; None: as it was fitted
        region: Sequence[float] | None = None,  # as for `siren_fastai.render.render`
    ) -> Tensor:
        """Return the signal at `size`, or a region of it: (*size, c) float32 in `output_range`, on the CPU.

        Raises: ValueError for a network of positions that aren't a regular grid: call `model` with positions (n, d).
        """
        if self.grid is None:
            raise ValueError("this network was fitted to positions that aren't a regular grid: call `.model(coords)`")
        size = self.size if size is None and region is None else region_size(self.size, region, size)
        values = render(self.model, size, region, self.grid, clamp=None)
        if self.value_range is None or self.output_range is None:
            return values
        (low, high), (first, last) = self.value_range, self.output_range
        if (low, high) != (first, last):
            values.sub_(low).mul_((last - first) / (high - low)).add_(first)
        return values.clamp_(first, last)

    def to_html(
        self,
        path: str | os.PathLike,  # the file to write, such as "cat.html"
        title: str | None = None,  # shown in a corner; None is the file's name
        psnr: float | None = None,  # in dB, shown there too; None is not known
        weights: str = "auto",  # "float16", "float32", or "auto": as `siren_fastai.page.save.page_html` chooses
    ) -> Path:
        """Write the image as a web page with endless zoom, one file that loads nothing, and return its path.

        Raises: TypeError or ValueError for a signal that isn't an image on a regular grid, or a network that a page
            can't draw, as `siren_fastai.page.save.save_page`.
        """
        if len(self.size) != 2 or self.grid is None:
            raise ValueError("a page shows an image, whose positions are a regular grid of two axes: use `render`")
        values = UNIT if self.value_range is None else self.value_range
        options = {"grid": self.grid, "value_range": values, "psnr": psnr, "weights": weights}
        return save_page(self.model, path, self.size, title, **options)

    def learner(
        self,
        dls: PixelDataLoaders,  # of the same kind of signal
        **kwargs,  # of `siren_learner`; the same `opt_func` as before
    ) -> PixelLearner:
        """Return a learner that trains the network further; the optimiser starts from its stored state, if any.

        Raises: ValueError for data of other dimensions or channels, or the state of another optimiser.
        """
        data = dls.train_ds
        found, wanted = (data.coords.shape[1], data.n_channels), (len(self.size), self.channels)
        if self.grid is not None and found != wanted:
            raise ValueError(f"the network has {wanted[0]} coordinates and {wanted[1]} channels, `dls` {found}")
        learn = siren_learner(dls, self.model, **kwargs)
        return learn if self.optimizer is None else load_optimizer_(learn, self.optimizer)


def checkpoint_of(
    learn: PixelLearner,
) -> Checkpoint:
    """Return the learner's network, data grid and optimiser state as a `Checkpoint`; nothing is copied.

    `epoch` counts the rows of `MetricHistory`, and is 0 without it. Of a `GradientLearner` it is a copy of the network
    that is the signal, and has no optimiser state.
    Raises: TypeError for data that are no signal on a grid, such as points on a surface.
    """
    if not hasattr(learn.dls.train_ds, "grid"):
        raise TypeError("a checkpoint keeps one signal of a grid: keep this learner by `learn.save` or `learn.export`")
    data, state = learn.dls.train_ds, None if learn.opt is None else learn.opt.state_dict()
    epochs = len(learn.metric_history.rows) if hasattr(learn, "metric_history") else 0
    if isinstance(learn, GradientLearner):
        return Checkpoint(learn.signal_network(), data.signal.shape, data.signal.grid, epoch=epochs)
    return Checkpoint(
        learn.model, data.shape, data.grid, data.value_range, epochs, optimizer=state, output_range=data.value_range
    )
