"""Batches of one signal's samples: fixed orders, repeated passes, positions off the grid, and drawing."""

import math

import torch
from fastai.torch_core import TensorImage
from fastcore.foundation import L
from fastcore.meta import delegates
from torch import Tensor

from siren_fastai.coords import axis_positions, random_positions, sample_linear
from siren_fastai.data.dataset import PixelDataset
from siren_fastai.data.indexed import IndexedDL, checked_count
from siren_fastai.data.share import batch_size
from siren_fastai.figures import figure_pixels, show_pictures

__all__ = ["PixelDL"]


class PixelDL(IndexedDL):
    """Batches of a `PixelDataset`, `bs` samples at most and of nearly equal size."""

    @delegates(IndexedDL.__init__)
    def __init__(
        self,
        dataset: PixelDataset,  # the samples of one signal
        bs: int = 1024,  # samples per batch, at most
        shuffle: bool = False,  # draw a new permutation each epoch
        visits: Tensor | None = None,  # (n,) sample indices, a fixed order without `shuffle`; None is raster order
        repeat: int = 1,  # visits of each sample per epoch
        off_grid: bool = False,  # random positions instead of the samples', with linearly interpolated values
        n_batches: int | None = None,  # batches per epoch; None is as many as `bs` needs
        **kwargs,
    ):
        if n_batches is not None and kwargs.get("drop_last"):
            raise ValueError("`n_batches` leaves no remainder, so it doesn't go with `drop_last`: give one of them")
        self.n_batches = None if n_batches is None else checked_count("n_batches", n_batches)
        self.visits, self.repeat, self.off_grid = visits, checked_count("repeat", repeat), off_grid
        super().__init__(dataset, bs=bs, shuffle=shuffle, **kwargs)

    def shown_options(self) -> dict:
        own = {"repeat": self.repeat} if self.repeat > 1 else {}
        own |= {"off_grid": True} if self.off_grid else {}
        return super().shown_options() | ({} if self.visits is None else {"visits": "fixed"}) | own

    def __len__(self) -> int:
        return super().__len__() if self.n_batches is None else min(self.n_batches, self.epoch_size)

    @property
    def epoch_size(self) -> int:
        return self.n * self.repeat

    @property
    def in_raster_order(self) -> bool:
        """Whether an epoch visits each sample once, in the dataset's order."""
        return not self.shuffle and self.visits is None and self.repeat == 1 and not self.off_grid

    def get_idxs(self) -> Tensor:
        if self.shuffle:
            generator = self.device_generator()
            return torch.cat([self.permutation(generator) for _ in range(self.repeat)])
        visits = torch.arange(self.n) if self.visits is None else self.visits[: self.n]
        return visits.to(self.dataset.device).repeat(self.repeat)

    def _in_sequence(self) -> bool:
        return super()._in_sequence() and self.visits is None and self.repeat == 1

    def do_batch(self, b) -> tuple[Tensor, Tensor]:
        return self._off_grid_batch(self.before_batch(b)) if self.off_grid else super().do_batch(b)

    def _off_grid_batch(self, index) -> tuple[Tensor, Tensor]:
        """As many random positions as `index` has samples, with the signal's values there; this process' part."""
        data, generator = self.dataset, self.device_generator()
        coords = self.own_part(random_positions(batch_size(index), len(data.shape), generator, data.device))
        return coords, sample_linear(data.to_picture(data.values), coords, data.grid)

    def new(self, dataset=None, cls=None, **kwargs) -> "PixelDL":
        """As fastai's: the same loader with some arguments changed. A shuffled copy of a fixed order is shuffled."""
        fits = dataset is None or len(dataset) == len(self.dataset)  # an exported loader is empty and keeps no order
        own = dict(visits=self.visits if fits else None, repeat=self.repeat, off_grid=self.off_grid)
        if fits and not kwargs.keys() & {"bs", "batch_size"}:
            own["n_batches"] = self.n_batches
        return super().new(dataset, cls, **{**own, **kwargs})

    def raster(self, dataset: PixelDataset | None = None, **kwargs) -> "PixelDL":
        """A loader of the same batch size that visits each sample once, in the dataset's order."""
        plain = dict(shuffle=False, drop_last=False, visits=None, repeat=1, off_grid=False)
        return self.new(dataset, **{**plain, **kwargs})

    def show_batch(self, b=None, max_n=None, show=True, **kwargs):
        """Draw a batch's samples at their pixels, and the whole signal; `figsize` and others as for `show_pictures`."""
        data = self.dataset
        coords, values = self.one_batch() if b is None else b
        pictures = {"batch": self.place(coords, values), "target": data.to_picture(data.values)}
        return show_pictures(pictures, **{"value_range": data.display_range, **kwargs})

    def show_results(self, b, out, max_n=None, show=True, **kwargs):
        """Draw target, reconstruction and absolute error at the samples of the batch `b`, predicted as `out`.

        With `show=False`, nothing is drawn, and what fastai's loggers expect is returned: input, target, the sample
        and the output, each as an image of the drawing.
        """
        target, reconstruction = self.place(*b), self.dataset.clamp(self.place(b[0], out))
        if show:
            return self.dataset.show_fit(target, reconstruction, **kwargs)
        options = {"value_range": self.dataset.display_range, **kwargs}
        target, reconstruction = (
            TensorImage(torch.from_numpy(figure_pixels(show_pictures({title: signal}, **options))).permute(2, 0, 1))
            for title, signal in (("target", target), ("reconstruction", reconstruction))
        )
        return target, target, L([(target, target)]), L([(reconstruction,)])

    def place(self, coords: Tensor, values: Tensor) -> Tensor:
        """`values` (n, c) as a signal, each at the pixel nearest to its position; nan elsewhere."""
        if self.dataset.grid is None:
            raise ValueError(
                "these coordinates aren't a regular grid, so a batch has no place in the image; "
                "`TensorBoardCallback(log_preds=False)` draws none"
            )
        axes = [axis_positions(n, self.dataset.grid) for n in self.dataset.shape]
        where = [
            torch.bucketize(x.contiguous(), (a[1:] + a[:-1]) / 2) for a, x in zip(axes, coords.cpu().T, strict=True)
        ]
        picture = torch.full((*self.dataset.shape, values.shape[1]), math.nan)
        picture[tuple(where)] = values.detach().float().cpu()
        return picture
