"""Batches for a stack of networks: for each network those of its own loader, in that loader's order."""

import math
from collections.abc import Iterator, Sequence

import torch
from fastai.data.core import DataLoaders
from fastcore.meta import delegates
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from siren_fastai.data.indexed import checked_count
from siren_fastai.data.loader import PixelDL
from siren_fastai.figures import show_pairs

__all__ = ["StackDL", "StackDataLoaders", "in_step_"]


class StackDL:
    """The batches of several `PixelDL`, side by side: (b, n, d) positions and (b, n, c) values for n networks.

    Each loader keeps its own order and random numbers, so a network sees the batches that it would see alone. Where
    all loaders read the same samples in sequence, as in validation, they are (b, d) and, of one signal, (b, c).
    Signals of different sizes are padded: a batch is as long as the longest of the networks', and what a shorter one
    lacks is at position 0 with values nan (`padded` is True). The number of batches must be the same, see `in_step_`.
    Raises: ValueError for loaders that differ in their number of batches, coordinates or channels.
    """

    n_inp = 1

    def __init__(
        self,
        loaders: Sequence[PixelDL],  # one for each network
    ):
        self.loaders = list(loaders)
        _check_alike(self.loaders)
        self._gather()

    @property
    def dataset(self):
        """The samples of the first network."""
        return self.loaders[0].dataset

    @property
    def device(self) -> torch.device:
        return self.dataset.device

    @property
    def n(self) -> int:
        """Samples per epoch, of the longest signal."""
        return max(dl.epoch_size for dl in self.loaders)

    @property
    def padded(self) -> bool:
        """Whether batches have places without samples."""
        return len({_samples(dl) for dl in self.loaders}) > 1

    def __len__(self) -> int:
        return len(self.loaders[0])

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        if self.coords is None:
            yield from (_side_by_side(batches) for batches in zip(*self.loaders, strict=True))
            return
        networks = torch.arange(len(self.loaders), device=self.device)
        for parts in zip(*(_epoch(dl) for dl in self.loaders), strict=True):
            together = all(isinstance(part, slice) and part == parts[0] for part in parts)
            index = parts[0] if together else self._places(parts)
            yield tuple(
                samples[index] if together or samples.dim() == 2 else samples[index, networks]
                for samples in (self.coords, self.values)
            )

    def _places(self, parts: Sequence[slice | Tensor]) -> Tensor:
        """The samples (b, n) of a batch where networks take theirs in different orders; the last one is for padding."""
        places = [
            torch.arange(part.start, part.stop, device=self.device) if isinstance(part, slice) else part
            for part in parts
        ]
        return pad_sequence(places, padding_value=len(self.values) - 1) if self.padded else torch.stack(places, 1)

    def _gather(self) -> None:
        """The samples of all loaders in as few tensors as possible, or None where batches aren't an index alone."""
        data = [dl.dataset for dl in self.loaders]
        self.coords = self.values = None
        if not all(_is_plain(dl) for dl in self.loaders):
            return
        coords, values = [part.coords for part in data], [part.values for part in data]
        if len(set(map(len, data))) > 1:
            rows = max(map(len, data)) + 1  # the last row is padding for all
            coords, values = [_longer(x, rows, 0.0) for x in coords], [_longer(x, rows, math.nan) for x in values]
        self.coords, self.values = _once(coords), _once(values)

    def to(self, device) -> "StackDL":
        """Move the samples to `device`."""
        for dl in self.loaders:
            dl.to(device)
        self._gather()
        return self

    def new(self, **kwargs) -> "StackDL":
        """As fastai's: the same loaders with some arguments changed."""
        return StackDL([dl.new(**kwargs) for dl in self.loaders])

    def one_batch(self) -> tuple[Tensor, Tensor]:
        """The first batch of an epoch."""
        return next(iter(self))


class StackDataLoaders(DataLoaders):
    """The DataLoaders of several fits as one: `train` and `valid` give every network its own batches.

    Raises: ValueError for none, or loaders that differ in their number of batches, coordinates or channels.
    """

    def __init__(
        self,
        fits: Sequence[DataLoaders],  # of one signal, for each network; the device is that of the first
        names: Sequence[str] | None = None,  # of the signals; None numbers them
    ):
        self.fits = list(fits)
        if not self.fits:
            raise ValueError("`fits` must list at least one DataLoaders, got none")
        self.names = _distinct([f"signal_{i}" for i in range(len(self.fits))] if names is None else names)
        if len(self.names) != len(self.fits):
            raise ValueError(f"`names` must have one for each of the {len(self.fits)} signals, got {len(self.names)}")
        loaders = (StackDL([dls[i] for dls in self.fits]) for i in (0, 1))
        super().__init__(*loaders, path=self.fits[0].path, device=self.fits[0].device)

    @property
    def padding(self) -> float:
        """The share of training's samples that are padding: what different sizes cost, from 0 to below 1."""
        sizes = [dl.epoch_size for dl in self.train.loaders]
        return 1 - sum(sizes) / (len(sizes) * max(sizes)) if max(sizes) else 0.0

    def new_empty(self) -> "StackDataLoaders":
        """The same signals without samples: what `learn.export` keeps."""
        return type(self)([dls.new_empty() for dls in self.fits], self.names)

    @delegates(show_pairs, but=["pairs", "labels", "ranges"])
    def show_batch(
        self,
        b=None,  # a batch of `train`; None is the next one
        max_n: int = 9,  # signals, at most
        **kwargs,
    ) -> Figure:
        """Draw a training batch's samples at their pixels above the whole signals, each with its name.

        Raises: ValueError for a `max_n` below 1, or coordinates that aren't a regular grid.
        """
        coords, values = self.train.one_batch() if b is None else b
        pairs = {}
        for i, name in enumerate(self.names[: checked_count("max_n", max_n)]):
            dl, (own, drawn) = self.train.loaders[i], (x[:, i] if x.dim() == 3 else x for x in (coords, values))
            known = ~drawn[:, 0].isnan()
            pairs[name] = dl.place(own[known], drawn[known]), dl.dataset.to_picture(dl.dataset.values)
        ranges = [dls.train_ds.display_range for dls in self.fits[: len(pairs)]]
        return show_pairs(pairs, ("batch", "target"), ranges, **kwargs)

    def __repr__(self) -> str:
        sizes = sorted({tuple(dls.train_ds.shape) for dls in self.fits})
        shown = ", ".join("x".join(map(str, size)) for size in sizes[:4]) + (", ..." if len(sizes) > 4 else "")
        return f"{type(self).__name__}({len(self.fits)} signals of {shown}, {self.padding:.0%} padding, {self.device})"


def in_step_(
    fits: Sequence[DataLoaders],  # of one signal each
) -> Sequence[DataLoaders]:  # `fits`, for chaining
    """Give signals of different sizes as many batches per epoch as the largest has: smaller ones get smaller batches.

    Raises: ValueError for a signal that has fewer samples than there are batches.
    """
    for i in (0, 1):
        loaders = [dls[i] for dls in fits]
        count = max(map(len, loaders))
        for number, dl in enumerate(loaders):
            if dl.epoch_size < count:
                raise ValueError(
                    f"signal {number} has {dl.epoch_size} samples, fewer than the {count} batches of the largest: "
                    "choose a larger `bs`, or leave it out"
                )
            if len(dl) != count:
                dl.n_batches, dl.bs = count, math.ceil(dl.epoch_size / count)
    return fits


def _epoch(dl: PixelDL) -> Iterator[slice | Tensor]:
    """The index of each batch of one epoch, as `dl` itself would draw it."""
    dl.randomize()
    dl.before_iter()
    return dl._batches()


def _is_plain(dl: PixelDL) -> bool:
    """Whether a batch is its index into the dataset, and nothing more."""
    return not (dl.off_grid or dl.before_batch.fs or dl.after_batch.fs) and dl.share.count == 1


def _side_by_side(batches: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Positions and values (b, n, ...) of n batches; shorter ones are padded with position 0 and values nan."""
    coords, values = zip(*batches, strict=True)
    return pad_sequence(coords), pad_sequence(values, padding_value=math.nan)


def _once(parts: Sequence[Tensor]) -> Tensor:
    """The samples (N, ...) that all share, or each one's (N, n, ...)."""
    return parts[0] if all(torch.equal(part, parts[0]) for part in parts) else torch.stack(list(parts), 1)


def _longer(samples: Tensor, rows: int, value: float) -> Tensor:
    return torch.cat([samples, samples.new_full((rows - len(samples), samples.shape[1]), value)])


def _distinct(names: Sequence[str]) -> list[str]:
    """The names, numbered from 2 where one was there before: no two files of a folder are the same."""
    found: list[str] = []
    for name in names:
        number, candidate = 2, name
        while candidate in found:
            number, candidate = number + 1, f"{name}_{number}"
        found.append(candidate)
    return found


def _check_alike(loaders: list[PixelDL]) -> None:
    forms = [(len(dl), dl.dataset.coords.shape[1], dl.dataset.n_channels, _dropped(dl)) for dl in loaders]
    for index, form in enumerate(forms):
        if form != forms[0]:
            raise ValueError(
                "the networks of a stack need epochs of as many batches, coordinates and channels, and none or all of "
                f"one `drop_last`: number 0 has {forms[0]}, number {index} has {form}"
            )


def _samples(dl: PixelDL) -> int:
    """Samples of an epoch that end in a batch."""
    return len(dl) * dl.total_bs if dl.drop_last else dl.epoch_size


def _dropped(dl: PixelDL) -> int:
    """How many samples `drop_last` leaves out."""
    return dl.epoch_size - _samples(dl)
