"""Training batches by number of steps instead of passes over the image."""

import math

import torch
from fastai.torch_core import default_device
from torch import Tensor

from siren_fastai.coords import grid_coords
from siren_fastai.data.dataset import PixelDataset
from siren_fastai.data.loader import PixelDL
from siren_fastai.data.loaders import VALID_BS, PixelDataLoaders

__all__ = ["StepsDL", "step_loaders"]


class StepsDL(PixelDL):
    """A shuffled `PixelDL` whose epoch is exactly `steps` batches of `bs` samples; the last pass may be partial.

    steps: None is a `PixelDL`.
    """

    def __init__(self, dataset: PixelDataset, bs: int = 1024, shuffle: bool = True, steps: int | None = None, **kwargs):
        self.steps = steps
        if steps is not None:
            kwargs["repeat"] = math.ceil(steps * bs / len(dataset))
        super().__init__(dataset, bs, shuffle, **kwargs)

    @property
    def epoch_size(self) -> int:
        return super().epoch_size if self.steps is None else self.steps * self.bs


def step_loaders(
    values: Tensor,  # (h, w, c) float32
    bs: int,  # pixels per training batch, all of them at most
    steps: int,  # training batches in all
    max_epochs: int,  # evaluations of the whole image, at most one per pass over it
    device: torch.device | str | None = None,  # None is fastai's default device
) -> tuple[PixelDataLoaders, int]:
    """Loaders of an image, and the number of epochs in which they make exactly `steps` training batches."""
    shape, n = tuple(values.shape[:2]), values.shape[0] * values.shape[1]
    bs = min(n, bs)
    passes = min(max_epochs, max(1, round(steps * bs / n)))
    epochs = max(count for count in range(1, passes + 1) if steps % count == 0)
    device = default_device() if device is None else torch.device(device)
    data = PixelDataset(grid_coords(shape), values.flatten(0, 1), shape, "centers").to_(device)
    train = StepsDL(data, bs, steps=steps // epochs, device=device)
    return PixelDataLoaders(train, PixelDL(data, VALID_BS, device=device), device=device), epochs
