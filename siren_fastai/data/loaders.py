"""One signal as fastai DataLoaders: the coordinates, the order, and what is held out for validation."""

import math
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from fastai.data.core import DataLoaders
from fastai.torch_core import default_device
from fastcore.meta import delegates
from torch import Tensor

from siren_fastai.coords import GRIDS, ORDERS, grid_coords, line_coords, pixel_order
from siren_fastai.data.dataset import PixelDataset, Positions
from siren_fastai.data.indexed import IndexedDL, checked_count
from siren_fastai.data.known import as_mask, without_unknown
from siren_fastai.data.loader import PixelDL
from siren_fastai.data.recordings import is_scaled, read_frames, read_sound
from siren_fastai.data.signals import as_signal
from siren_fastai.data.stacked import StackDataLoaders, in_step_
from siren_fastai.datasets.folder import load_images
from siren_fastai.images import load_image

__all__ = ["VALID_BS", "PixelDataLoaders"]

HELD_OUT = 0.05  # of the known samples, for validation where there is a mask
VALID_BS = 16384  # samples per validation batch where the user gives neither `valid_bs` nor a larger `bs`


class PixelDataLoaders(DataLoaders):
    """fastai DataLoaders of one signal: `train` and `valid` over its samples."""

    def __repr__(self) -> str:
        parts = "".join(f"\n  {name}: {dl!r}" for name, dl in zip(("train", "valid"), self.loaders, strict=False))
        return f"{type(self).__name__} on {self.device}{parts}"

    @classmethod
    def from_array(
        cls,
        values: np.ndarray | Tensor,  # (*shape, c), channels last
        bs: int = 1024,  # samples per training batch, at most; more than there are means one batch
        coords: str | Tensor | Callable = "centers",  # a grid, "line", (n, d) in raster order, or a function of `shape`
        order: str = "random",  # "random" each epoch, or fixed: "raster", "serpentine", "zorder", "hilbert", "shuffled"
        repeat: int = 1,  # visits of each sample per epoch
        valid: str | float | np.ndarray | Tensor | None = None,  # "all", a share or a bool array to hold out: see below
        off_grid: bool = False,  # train on random positions with linearly interpolated values (grids only)
        valid_bs: int | None = None,  # samples per validation batch, at most; None is 16384, or `bs` if larger
        value_range: tuple[float, float] | None = None,  # (low, high) that float values are expressed in
        device: torch.device | str | None = None,  # where the signal lives; None is fastai's default device
        path=".",  # where fastai writes models and exports
        mask: np.ndarray | Tensor | None = None,  # bool (*shape), True where samples are known; None is everywhere
        rate: float | None = None,  # samples or frames per second along the first axis, if that is time
        time_scale: float = 1.0,  # frequencies along the first axis that networks start with, relative to the default
    ) -> "PixelDataLoaders":
        """From any signal: (length, c) audio, (height, width, c) images, (depth, height, width, c) volumes or video.

        bool, uint8 and uint16 values are scaled to [0, 1], int16 to [-1, 1]. Floats stay as they are, and their range
        is not guessed: state it as `value_range`, and predictions are clamped to it, plots use it, and `siren_learner`
        reports a PSNR in it. Without a `value_range`, predictions aren't clamped and the default metric is the loss
        only; a `PSNR(data_range, low)` of your own reports what you say. Networks fit values of about unit size best.

        coords: "centers", "corners" and "left" are regular grids on [-1, 1]^d; "line" is one coordinate along `order`.
        valid: "all" validates on every sample; a fraction in (0, 1), drawn at random, or the samples of a bool array
        (*shape) are held out of training. None is "all", or 0.05 with a `mask`: the error at samples that were trained
        on says nothing about the others.
        mask: only known samples are trained on, and `learn.render()` still gives the whole signal: missing data, holes
        and regions of any form, in any number of dimensions. What `values` holds elsewhere, nan for one, is never read,
        unless `valid` is an array that selects it: where the truth is known, `valid=~mask` validates on the hole.
        rate: makes one axis a sound and three a video: `learn.render(rate=60)` renders at any rate.
        time_scale: below 1 for a video that changes slowly from frame to frame, above 1 for one that flickers.
        Raises: TypeError or ValueError for values that are no signal (see `as_signal`) and for bad options.
        """
        mask, valid = _checked_masks(mask, valid, tuple(getattr(values, "shape", ()))[:-1])
        seen = mask if mask is None or not isinstance(valid, Tensor) else mask | valid
        values = values if seen is None else without_unknown(values, seen)
        values, value_range = as_signal(values, value_range)
        bs, valid_bs = checked_count("bs", bs), None if valid_bs is None else checked_count("valid_bs", valid_bs)
        _check_options(coords, order, valid, off_grid, mask)
        device = default_device() if device is None else torch.device(device)
        data = _samples(values, coords, order, value_range, rate, time_scale).to_(device)
        train, held_out = _split(data, mask, valid)
        visits = None if order == "random" else _visits(train, order)
        return cls(
            PixelDL(train, bs, visits is None, visits=visits, repeat=repeat, off_grid=off_grid, device=device),
            PixelDL(held_out, max(bs, VALID_BS) if valid_bs is None else valid_bs, device=device),
            path=path,
            device=device,
        )

    @classmethod
    @delegates(from_array.__func__, but=["value_range"])
    def from_image(
        cls,
        source,  # a path, a Pillow image, an array or a tensor: (h, w), (h, w, 1) or (h, w, 3)
        size: int | tuple[int, int] | None = None,  # an integer for the shorter side, or (height, width)
        mode: str | None = None,  # "gray" or "rgb"; None as it is
        **kwargs,
    ) -> "PixelDataLoaders":
        """From an image, loaded by `load_image`: its values, and so its predictions and PSNR, are in [0, 1].

        The other options are those of `from_array`.
        """
        if "value_range" in kwargs:
            raise TypeError("an image is in [0, 1]: leave `value_range` out, or use `from_array`")
        return cls.from_array(load_image(source, size=size, mode=mode), value_range=(0.0, 1.0), **kwargs)

    @classmethod
    @delegates(from_image.__func__)
    def from_images(
        cls,
        source,  # a folder, a list of files, Pillow images or arrays, or one array (n, h, w, c)
        size: int | tuple[int, int] | None = None,  # of each: an integer for the shorter side, or (height, width)
        mode: str | None = None,  # "gray" or "rgb" for all; None as they are, if they are alike
        **kwargs,
    ) -> StackDataLoaders:  # `names` are those of the files, `fits[i]` the DataLoaders of one image
        """From many images, one network for each in `stack_learner(dls)`; the other options are those of `from_array`.

        Images may have different sizes. `bs` counts the pixels of the largest; a smaller one has as many batches, which
        are smaller and padded to that length. Padding costs time but has no effect (`dls.padding` is its share): where
        it is large, sort images into several calls by size.
        Raises: as `from_image`, naming the image; ValueError for images of gray and of RGB without a `mode`.
        """
        images = load_images(source, size, mode)
        fits = [cls.from_image(image, **kwargs) for _, image in images]
        return StackDataLoaders(in_step_(fits), [Path(name).stem.replace(" ", "_") for name, _ in images])

    @classmethod
    @delegates(from_array.__func__)
    def from_audio(
        cls,
        source,  # the path of a wave file, or samples (n,) or (n, channels)
        rate: int | None = None,  # samples per second of an array; a file states its own
        start: float = 0.0,  # seconds to leave out at the beginning
        seconds: float | None = None,  # length to read, at most; None is all the rest
        value_range: tuple[float, float] = (-1.0, 1.0),  # that floats are expressed in
        **kwargs,
    ) -> "PixelDataLoaders":
        """From a sound, as `load_audio` reads it: the metric is the SNR, and `learn.save_audio` writes it back.

        Integers of an array are scaled as those of a file. The other options are those of `from_array`.
        Raises: ValueError for a file that can't be read, a missing or superfluous `rate`, or a part without samples.
        """
        values, rate = read_sound(source, rate, start, seconds)
        return cls.from_array(values, value_range=value_range, rate=rate, **kwargs)

    @classmethod
    @delegates(from_array.__func__, but=["value_range"])
    def from_frames(
        cls,
        source,  # a folder or a list of images, or an array (frames, h, w) or (frames, h, w, c)
        rate: float | None = None,  # frames per second; None for a volume, whose first axis is no time
        size: int | tuple[int, int] | None = None,  # (height, width) of every frame, or one number for a square
        mode: str | None = None,  # "gray" or "rgb"; None as the frames are
        **kwargs,
    ) -> "PixelDataLoaders":
        """From the frames of a video or the slices of a volume, as `read_frames` reads them; values are in [0, 1].

        `learn.show_results()` draws four of them, `learn.render(rate=60)` renders at another frame rate. Memory: 4
        bytes for each of the three coordinates and each channel of each pixel.
        The other options are those of `from_array`.
        Raises: as `read_frames`, and as `from_array` for floats outside [0, 1].
        """
        if "value_range" in kwargs:
            raise TypeError("frames are in [0, 1]: leave `value_range` out, or use `from_array`")
        values = read_frames(source, size, mode)
        return cls.from_array(values, value_range=None if is_scaled(values) else (0.0, 1.0), rate=rate, **kwargs)

    def test_dl(self, test_items, **kwargs) -> IndexedDL:
        """A loader for predictions: of positions (n, d) in [-1, 1]^d, without targets, or of a `PixelDataset`.

        `learn.get_preds(dl=dls.test_dl(coords))[0]` is the network at any positions, in their order.
        Raises: TypeError for anything but numbers; ValueError for other shapes than (n, d), or for `with_labels`.
        """
        if isinstance(test_items, PixelDataset):
            return self.valid.raster(test_items, **kwargs)
        if kwargs.pop("with_labels", False):
            raise ValueError("`with_labels`: positions have no targets; give `test_dl` a `PixelDataset` that has them")
        positions = Positions(_positions(test_items, self.train_ds.coords.shape[1])).to_(self.device)
        return IndexedDL(positions, **{"bs": self.valid.bs, "device": self.device, **kwargs})


def _positions(items, d: int) -> Tensor:
    """`items` as positions (n, d)."""
    needed = f"`test_items` must be positions (n, {d}) in [-1, 1] or a `PixelDataset`"
    try:
        coords = torch.as_tensor(items, dtype=torch.float32)
    except (TypeError, ValueError):
        raise TypeError(f"{needed}, got {type(items).__name__}; `PixelDataLoaders.from_image` loads images") from None
    if coords.dim() != 2 or coords.shape[1] != d:
        raise ValueError(f"{needed}, got shape {tuple(coords.shape)}; `learn.render(size)` samples a grid of them")
    return coords


def _checked_masks(mask, valid, shape: tuple[int, ...]) -> tuple[Tensor | None, str | float | Tensor]:
    """`mask` and a `valid` that is an array, checked; any other `valid` as it is, and the default for None."""
    mask = None if mask is None else as_mask(mask, shape)
    if isinstance(valid, (np.ndarray, Tensor)):
        return mask, as_mask(valid, shape, "valid")
    if valid is None:
        return mask, "all" if mask is None or mask.sum() == 1 else max(HELD_OUT, 1 / int(mask.sum()))
    return mask, valid


def _check_options(coords, order: str, valid: str | float | Tensor, off_grid: bool, mask: Tensor | None) -> None:
    if order != "random" and order not in ORDERS:
        raise ValueError(f"`order` must be 'random' or one of {ORDERS}, got {order!r}")
    fraction = isinstance(valid, float) and 0 < valid < 1
    if not (fraction or isinstance(valid, Tensor) or valid == "all"):
        raise ValueError(f"`valid` must be 'all', a fraction between 0 and 1 or an array of bool, got {valid!r}")
    if off_grid and not (isinstance(coords, str) and coords in GRIDS):
        raise ValueError(f"`off_grid` needs a regular grid as `coords`, one of {GRIDS}, got {coords!r}")
    if off_grid and mask is not None:
        raise ValueError("`off_grid` interpolates between all samples, and `mask` hides some: leave one of them out")
    if off_grid and (fraction or isinstance(valid, Tensor)):
        raise ValueError("`off_grid` interpolates between all samples, so `valid` must be 'all'")


def _samples(values: Tensor, coords, order: str, value_range, rate, time_scale) -> PixelDataset:
    """The whole signal (*shape, c) as samples in raster order."""
    shape, grid, line = tuple(values.shape[:-1]), None, None
    if isinstance(coords, str) and coords in GRIDS:
        grid, coords = coords, grid_coords(shape, coords)
    elif isinstance(coords, str) and coords == "line":
        line = "raster" if order in ("random", "shuffled") else order
        coords = line_coords(shape, line)
    elif isinstance(coords, str):
        raise ValueError(f"`coords` must be one of {(*GRIDS, 'line')}, a tensor or a function, got {coords!r}")
    else:
        coords = torch.as_tensor(coords(shape) if callable(coords) else coords).float()
        if coords.dim() != 2 or len(coords) != math.prod(shape):
            raise ValueError(f"`coords` must be ({math.prod(shape)}, d) for shape {shape}, got {tuple(coords.shape)}")
    return PixelDataset(
        coords,
        values.reshape(-1, values.shape[-1]),
        shape,
        grid=grid,
        value_range=value_range,
        line=line,
        rate=rate,
        time_scale=time_scale,
    )


def _split(data: PixelDataset, mask: Tensor | None, valid: str | float | Tensor) -> tuple[PixelDataset, PixelDataset]:
    """Training and validation samples; a held-out share is drawn by the seed of `random`, as fastai's splitters are."""
    if mask is None and isinstance(valid, str):
        return data, data
    known = torch.ones(len(data), dtype=torch.bool) if mask is None else mask.flatten()
    train, held_out = _parts(known, valid)
    data.hidden = None if mask is None else (~known).nonzero()[:, 0]
    first = data.subset(train.to(data.device))
    return first, first if held_out is train else data.subset(held_out.to(data.device))


def _parts(known: Tensor, valid: str | float | Tensor) -> tuple[Tensor, Tensor]:
    """The raster indices to train on and to validate on, in order, of samples that are `known` (n,)."""
    index = known.nonzero()[:, 0]
    if isinstance(valid, str):
        return index, index
    if isinstance(valid, Tensor):
        train = (known & ~valid.flatten()).nonzero()[:, 0]
        if not len(train):
            raise ValueError("`valid` holds out every known sample: leave some to train on")
        return train, valid.flatten().nonzero()[:, 0]
    held_out, n = round(valid * len(index)), len(index)
    if not 0 < held_out < n:
        raise ValueError(
            f"`valid`={valid} leaves {held_out} of {n} samples for validation; both parts need one or more"
        )
    order = torch.randperm(n, generator=torch.Generator().manual_seed(random.getrandbits(63)))
    return index[order[held_out:].sort().values], index[order[:held_out].sort().values]


def _visits(data: PixelDataset, order: str) -> Tensor:
    """The fixed order as positions in `data`, which may hold a part of the signal."""
    visits = pixel_order(data.shape, order, seed=random.getrandbits(31))
    if data.pixels is None:
        return visits
    position = torch.full((math.prod(data.shape),), -1).scatter_(0, data.pixels.cpu(), torch.arange(len(data)))
    return position[visits][position[visits] >= 0]
