"""Batches for a stack of networks: for each network those of its own loader, in that loader's order."""

from collections.abc import Iterator, Sequence

import torch
from fastai.data.core import DataLoaders
from torch import Tensor

from siren_fastai.data import PixelDataLoaders, PixelDL

__all__ = ["StackDL", "StackDataLoaders"]


class StackDL:
    """The batches of several `PixelDL`, side by side: (b, n, d) positions and (b, n, c) values for n networks.

    Each loader keeps its own order and random numbers, so a network sees the batches that it would see alone. Where
    all loaders read the same samples in sequence, as in validation, they are (b, d) and, of one signal, (b, c).
    Raises: ValueError for loaders whose batches differ in size or channels.
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
        return self.loaders[0].epoch_size

    def __len__(self) -> int:
        return len(self.loaders[0])

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        if self.coords is None:
            yield from (_side_by_side(batches) for batches in zip(*self.loaders, strict=True))
            return
        networks = torch.arange(len(self.loaders), device=self.device)
        for parts in zip(*(_epoch(dl) for dl in self.loaders), strict=True):
            together = all(isinstance(part, slice) and part == parts[0] for part in parts)
            index = parts[0] if together else torch.stack([self._places(part) for part in parts], 1)
            if self.values.dim() == 2:
                yield self.coords[index], self.values[index]
            else:
                yield self.coords[index], self.values[index] if together else self.values[index, networks]

    def _places(self, part: slice | Tensor) -> Tensor:
        """The samples of a batch, where other networks take theirs in another order."""
        return torch.arange(part.start, part.stop, device=self.device) if isinstance(part, slice) else part

    def _gather(self) -> None:
        """The samples of all loaders in as few tensors as possible, or None where batches aren't an index alone."""
        data = [dl.dataset for dl in self.loaders]
        plain = all(_is_plain(dl) and torch.equal(dl.dataset.coords, data[0].coords) for dl in self.loaders)
        self.coords = data[0].coords if plain else None
        one = all(torch.equal(part.values, data[0].values) for part in data)
        self.values = None if not plain else data[0].values if one else torch.stack([part.values for part in data], 1)

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

    Raises: ValueError for none, or loaders whose batches differ in size or channels.
    """

    def __init__(
        self,
        fits: Sequence[PixelDataLoaders],  # one for each network; the device is that of the first
    ):
        self.fits = list(fits)
        if not self.fits:
            raise ValueError("`fits` must list at least one DataLoaders, got none")
        loaders = (StackDL([dls[i] for dls in self.fits]) for i in (0, 1))
        super().__init__(*loaders, path=self.fits[0].path, device=self.fits[0].device)


def _epoch(dl: PixelDL) -> Iterator[slice | Tensor]:
    """The index of each batch of one epoch, as `dl` itself would draw it."""
    dl.randomize()
    dl.before_iter()
    return dl._batches()


def _is_plain(dl: PixelDL) -> bool:
    """Whether a batch is its index into the dataset, and nothing more."""
    return not (dl.off_grid or dl.before_batch.fs or dl.after_batch.fs) and dl.share.count == 1


def _side_by_side(batches: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    return tuple(torch.stack(parts, 1) for parts in zip(*batches, strict=True))


def _check_alike(loaders: list[PixelDL]) -> None:
    forms = [(_samples(dl), len(dl), dl.dataset.coords.shape[1], dl.dataset.n_channels) for dl in loaders]
    for index, form in enumerate(forms):
        if form != forms[0]:
            raise ValueError(
                "the networks of a stack need epochs of as many samples and batches, coordinates and channels: "
                f"number 0 has {forms[0]}, number {index} has {form}"
            )


def _samples(dl: PixelDL) -> int:
    """Samples of an epoch that end in a batch."""
    return len(dl) * dl.total_bs if dl.drop_last else dl.epoch_size
