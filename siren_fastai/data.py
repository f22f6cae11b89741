"""Signals as fastai DataLoaders: the whole signal lives on one device, a batch is a slice of a permutation made there.

There is no per-pixel Python: `PixelDL` hands `PixelDataset` an index tensor and gets a batch back.
"""

import math
import random
from collections.abc import Callable, Iterator
from functools import partial
from types import MethodType

import numpy as np
import torch
from fastai.data.core import DataLoaders, TfmdDL
from fastai.torch_core import default_device
from torch import Tensor, nn

from siren_fastai.coords import (
    GRIDS,
    ORDERS,
    axis_positions,
    grid_coords,
    line_coords,
    pixel_order,
    random_positions,
    sample_linear,
)
from siren_fastai.figures import show_pictures
from siren_fastai.images import load_image
from siren_fastai.quality import absolute_error, natural_range

__all__ = ["PixelDataset", "PixelDL", "PixelDataLoaders"]


class PixelDataset:
    """The samples of one signal: `coords` (n, d) and `values` (n, c), float32, on one device.

    Indexed with a slice or an index tensor it returns the batch `(coords, values)`. `shape` is the signal's, without
    channels; `pixels` are the raster indices that the samples have in it (None: all, in raster order); `grid` names the
    coordinate convention if the coordinates are a regular grid, else it is None. `value_range` is the (low, high) that
    the values are told in: predictions are cut to it, drawn and judged in it; None is `natural_range(values)`.
    """

    n_inp = 1  # fastai: how many items of a batch are inputs

    def __init__(
        self,
        coords: Tensor,
        values: Tensor,
        shape: tuple[int, ...],
        grid: str | None = None,
        pixels: Tensor | None = None,
        value_range: tuple[float, float] | None = None,
    ):
        if coords.dim() != 2 or values.dim() != 2 or len(coords) != len(values):
            raise ValueError(
                "`coords` and `values` must be (n, d) and (n, c) with the same n, "
                f"got {tuple(coords.shape)} and {tuple(values.shape)}"
            )
        self.coords, self.values, self.shape, self.grid, self.pixels = coords, values, tuple(shape), grid, pixels
        if value_range is None:
            value_range = natural_range(values) if len(values) else (0.0, 1.0)
        self.value_range = _checked_range(value_range)
        self.loss_func = nn.MSELoss()  # fastai's MSELossFlat makes tensors of a subclass, which slows what follows

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index) -> tuple[Tensor, Tensor]:
        return self.coords[index], self.values[index]

    @property
    def n_channels(self) -> int:
        return self.values.shape[1]

    def subset(self, index: Tensor) -> "PixelDataset":
        """The samples at `index`, which are positions in this dataset."""
        pixels = index if self.pixels is None else self.pixels[index]
        return PixelDataset(*self[index], self.shape, self.grid, pixels, self.value_range)

    def new_empty(self) -> "PixelDataset":
        """The same dataset without samples: what `learn.export` keeps."""
        return self.subset(torch.zeros(0, dtype=torch.long, device=self.values.device))

    def to_(self, device) -> "PixelDataset":
        """Move the samples to `device`, in place."""
        self.coords, self.values = self.coords.to(device), self.values.to(device)
        self.pixels = self.pixels if self.pixels is None else self.pixels.to(device)
        return self

    def to_picture(self, values: Tensor) -> Tensor:
        """Samples (n, c) in this dataset's order as a signal (*shape, c); pixels without a sample are nan."""
        if self.pixels is None:
            return values.reshape(*self.shape, -1)
        picture = values.new_full((math.prod(self.shape), values.shape[1]), math.nan)
        picture[self.pixels] = values
        return picture.view(*self.shape, -1)

    def to_unit(self, values: Tensor) -> Tensor:
        """`values` told in [0, 1] instead of `value_range`; they are not cut."""
        low, high = self.value_range
        return (values - low) / (high - low)

    def show_fit(self, target: Tensor, reconstruction: Tensor, **options):
        """Draw two signals (*shape, c), the second cut to `value_range`, and their absolute error."""
        reconstruction = reconstruction.clamp(*self.value_range)
        pictures = {"target": target, "reconstruction": reconstruction, "error": absolute_error(reconstruction, target)}
        return show_pictures(pictures, **{"value_range": self.value_range, **options})


class PixelDL(TfmdDL):
    """Batches of a `PixelDataset`, indexed whole, at most `bs` samples each and of nearly equal size.

    `shuffle=True` draws a new permutation each epoch; `order` is a fixed one instead. `repeat` visits the signal that
    often per epoch. `off_grid=True` trains on random positions with linearly interpolated values.
    """

    def __init__(self, dataset, bs=1024, shuffle=False, order=None, repeat=1, off_grid=False, num_workers=0, **kwargs):
        self.order, self.repeat, self.off_grid = order, repeat, off_grid
        kwargs.pop("drop_last", None)  # no batch is ever dropped or left short
        super().__init__(dataset, bs=bs, shuffle=shuffle, num_workers=0, **kwargs)

    def __len__(self) -> int:
        return math.ceil(len(self.dataset) * self.repeat / self.bs)

    def get_idxs(self) -> Tensor:
        """Sample indices of one epoch, on the dataset's device. Shuffling follows fastai's rule: seeded by `random`."""
        n, device = len(self.dataset), self.dataset.values.device
        if not self.shuffle:
            order = torch.arange(n) if self.order is None else self.order
            return order.to(device).repeat(self.repeat)
        generator = torch.Generator(device).manual_seed(self.rng.getrandbits(63))
        draw = partial(
            torch.randperm, n, generator=generator, device=device, dtype=torch.int32
        )  # half of int64's bytes
        return draw() if self.repeat == 1 else torch.cat([draw() for _ in range(self.repeat)])

    def __iter__(self):
        self.randomize()
        self.before_iter()
        for index in self._batches():
            yield self.after_batch(self._off_grid_batch(index) if self.off_grid else self.dataset[index])
        self.after_iter()

    def _batches(self) -> Iterator[slice | Tensor]:
        """Index of each batch; slices where the samples are taken as they stand."""
        count, n = len(self), len(self.dataset) * self.repeat
        replaced = not isinstance(self.get_idxs, MethodType)  # fastai's get_preds fixes the order so
        if self.shuffle or replaced or self.order is not None or self.repeat > 1:
            return iter(self.get_idxs().tensor_split(count) if count else ())
        return (slice(i * n // count, (i + 1) * n // count) for i in range(count))

    def _off_grid_batch(self, index) -> tuple[Tensor, Tensor]:
        """As many random positions as `index` has samples, with the signal's values there."""
        data = self.dataset
        generator = torch.Generator(data.values.device).manual_seed(self.rng.getrandbits(63))
        coords = random_positions(len(data.values[index]), len(data.shape), generator, data.values.device)
        return coords, sample_linear(data.to_picture(data.values), coords, data.grid)

    def new(self, dataset=None, cls=None, **kwargs):
        """As fastai's: the same loader with some arguments changed. A shuffled copy of a fixed order is shuffled."""
        fits = dataset is None or len(dataset) == len(self.dataset)  # an exported loader is empty and keeps no order
        own = dict(order=self.order if fits else None, repeat=self.repeat, off_grid=self.off_grid)
        return super().new(dataset, cls, **{**own, **kwargs})

    def _one_pass(self):
        """fastai's trial batch, without asking for a sample: an exported, empty dataset has none."""
        self._n_inp, self._types = 1, {tuple: [Tensor, Tensor]}

    def to(self, device) -> "PixelDL":
        self.dataset.to_(device)
        self.device = device
        return self

    def one_batch(self) -> tuple[Tensor, Tensor]:
        """The first batch of an epoch. Raises: ValueError if the dataset is empty, as after `load_learner`."""
        if not len(self):
            raise ValueError("this loader holds no samples (an exported learner keeps none); give it new data")
        return next(iter(self))

    def show_batch(self, b=None, max_n=None, show=True, **kwargs):
        """Draw a batch's samples at their pixels beside the whole signal; `figsize` and others as `show_pictures`."""
        data = self.dataset
        coords, values = self.one_batch() if b is None else b
        pictures = {"batch": self._place(coords, values), "target": data.to_picture(data.values)}
        return show_pictures(pictures, **{"value_range": data.value_range, **kwargs})

    def show_results(self, b, out, max_n=None, **kwargs):
        """Draw target, reconstruction and absolute error at the samples of the batch `b`, predicted as `out`."""
        return self.dataset.show_fit(self._place(*b), self._place(b[0], out), **kwargs)

    def _place(self, coords: Tensor, values: Tensor) -> Tensor:
        """`values` (n, c) as a signal, each at the pixel nearest to its position; nan elsewhere."""
        if self.dataset.grid is None:
            raise ValueError("these coordinates are no regular grid, so a batch has no place in the picture")
        axes = [axis_positions(n, self.dataset.grid) for n in self.dataset.shape]
        where = [
            torch.bucketize(x.contiguous(), (a[1:] + a[:-1]) / 2) for a, x in zip(axes, coords.cpu().T, strict=True)
        ]
        picture = torch.full((*self.dataset.shape, values.shape[1]), math.nan)
        picture[tuple(where)] = values.detach().float().cpu()
        return picture


class PixelDataLoaders(DataLoaders):
    """fastai DataLoaders of one signal: `train` and `valid` over its samples."""

    @classmethod
    def from_image(
        cls, source, size: int | tuple[int, int] | None = None, mode: str | None = None, **options
    ) -> "PixelDataLoaders":
        """From a picture: a path, PIL image, array or tensor, (h, w), (h, w, 1) or (h, w, 3).

        `size` and `mode` are those of `load_image`; the other options are those of `from_array`.
        """
        return cls.from_array(load_image(source, size=size, mode=mode), **options)

    @classmethod
    def from_array(
        cls,
        values,
        bs: int = 1024,
        coords: str | Tensor | Callable = "centers",
        order: str = "random",
        repeat: int = 1,
        valid: str | float = "all",
        off_grid: bool = False,
        valid_bs: int | None = None,
        value_range: tuple[float, float] | None = None,
        device=None,
        path=".",
    ) -> "PixelDataLoaders":
        """From any signal (*shape, c): (length, c) in 1-D, (height, width, c) in 2-D, (depth, height, width, c) in 3-D.

        values: array or tensor of numbers; float32 is used as it is, without a copy, other types become float32.
            Networks fit values of about unit size best: bring others there, such as a uint8 picture's 0..255, first.
        bs: samples per training batch at most; more than there are means one batch of all.
        coords: "centers", "corners" or "left" (regular grids on [-1, 1]^d), "line" (one coordinate along `order`),
            a tensor (n, d) in raster order, or a function from `shape` to one.
        order: "random" (a new permutation each epoch), or the fixed "raster", "serpentine", "hilbert", "shuffled".
        repeat: visits of each sample per epoch.
        valid: "all" judges on every sample, a fraction in (0, 1) holds that share out of training.
        off_grid: train on uniform random positions with linearly interpolated values (grids only).
        value_range: the (low, high) that values are told in, kept as `dls.train_ds.value_range`: what is rendered or
            drawn is cut to it, and the default metric judges in it. None is the first of [0, 1], [-1, 1] and, for whole
            numbers such as a uint8 picture's, [0, 255] that holds the whole signal, else its own extremes.
        device: where the signal lives; None is fastai's default device.
        """
        values = _checked_values(values)
        shape = tuple(values.shape[:-1])
        _check_options(bs, order, repeat, valid)
        grid = coords if isinstance(coords, str) and coords in GRIDS else None
        if off_grid and grid is None:
            raise ValueError(f"`off_grid` needs a regular grid as `coords`, one of {GRIDS}, got {coords!r}")
        if off_grid and valid != "all":
            raise ValueError(
                "`off_grid` interpolates between all samples, so `valid` must be 'all'; judge off the grid"
            )
        device = default_device() if device is None else torch.device(device)
        samples = PixelDataset(
            _coords_of(coords, shape, order), values.reshape(-1, values.shape[-1]), shape, grid, value_range=value_range
        )
        train, held_out = _split(samples.to_(device), valid)
        fixed = None if order == "random" else _order_of(train, order)
        return cls(
            PixelDL(train, bs, fixed is None, order=fixed, repeat=repeat, off_grid=off_grid, device=device),
            PixelDL(held_out, valid_bs or max(bs, 16384), device=device),
            path=path,
            device=device,
        )


def _checked_values(values) -> Tensor:
    values = torch.as_tensor(values if isinstance(values, Tensor) else np.ascontiguousarray(values))
    if values.dim() < 2 or values.numel() == 0:
        raise ValueError(
            f"`values` must be (*shape, channels) with at least one sample, got {tuple(values.shape)}; "
            "give a one-channel signal a last axis of 1"
        )
    if values.is_complex():
        raise TypeError("`values` must be real, got complex numbers; stack real and imaginary parts as two channels")
    values = values.detach().float().contiguous()
    if not values.isfinite().all():
        raise ValueError("`values` must be finite, got nan or infinity; replace them or leave those samples out")
    return values


def _checked_range(value_range) -> tuple[float, float]:
    low, high = (float(x) for x in value_range)
    if not -math.inf < low < high < math.inf:
        raise ValueError(f"`value_range` must be (low, high) with low below high, got {value_range!r}")
    return low, high


def _check_options(bs, order, repeat, valid) -> None:
    for name, number in (("bs", bs), ("repeat", repeat)):
        if not isinstance(number, int) or number < 1:
            raise ValueError(f"`{name}` must be a whole number of 1 or more, got {number!r}")
    if order != "random" and order not in ORDERS:
        raise ValueError(f"`order` must be 'random' or one of {ORDERS}, got {order!r}")
    if valid != "all" and not (isinstance(valid, float) and 0 < valid < 1):
        raise ValueError(f"`valid` must be 'all' or a fraction between 0 and 1, got {valid!r}")


def _coords_of(coords, shape: tuple[int, ...], order: str) -> Tensor:
    if isinstance(coords, str):
        if coords in GRIDS:
            return grid_coords(shape, coords)
        if coords != "line":
            raise ValueError(f"`coords` must be one of {(*GRIDS, 'line')}, a tensor or a function, got {coords!r}")
        return line_coords(shape, "raster" if order in ("random", "shuffled") else order)
    coords = torch.as_tensor(coords(shape) if callable(coords) else coords).float()
    if coords.dim() != 2 or len(coords) != math.prod(shape):
        raise ValueError(f"`coords` must be ({math.prod(shape)}, d) for shape {shape}, got {tuple(coords.shape)}")
    return coords


def _split(data: PixelDataset, valid: str | float) -> tuple[PixelDataset, PixelDataset]:
    """Training and validation samples; a held-out share is drawn by the seed of `random`, as fastai's splitters are."""
    if valid == "all":
        return data, data
    n = len(data)
    held_out = round(valid * n)
    if not 0 < held_out < n:
        raise ValueError(
            f"`valid`={valid} leaves {held_out} of {n} samples for validation; both parts need one or more"
        )
    generator = torch.Generator().manual_seed(random.getrandbits(63))
    index = torch.randperm(n, generator=generator).to(data.values.device)
    return data.subset(index[held_out:].sort().values), data.subset(index[:held_out].sort().values)


def _order_of(data: PixelDataset, order: str) -> Tensor:
    """The fixed order as positions in `data`, which may hold a part of the signal."""
    visits = pixel_order(data.shape, order, seed=random.getrandbits(31))
    if data.pixels is None:
        return visits
    position = torch.full((math.prod(data.shape),), -1).scatter_(0, data.pixels.cpu(), torch.arange(len(data)))
    return position[visits][position[visits] >= 0]
