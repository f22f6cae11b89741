"""Networks fitted to the known pixels around one group of holes, and what they make of the holes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from fastai.callback.core import Callback
from scipy import ndimage
from torch import Tensor, nn

from siren_fastai.callbacks.smooth_hole import SmoothHole
from siren_fastai.coords import grid_coords
from siren_fastai.data import PixelDataLoaders
from siren_fastai.init import init_for_signal_
from siren_fastai.inpainting.baselines import harmonic_fill
from siren_fastai.inpainting.windows import Window
from siren_fastai.models.siren import siren_model
from siren_fastai.schemes import SCHEMES, Rule
from siren_fastai.stacks.learner import stack_learner

__all__ = ["HoleFit"]

UNIT = 64  # pixels: omega_0 is in rad per so many
WIDTHS, STEPS = (64, 128), (60, 600)  # least and greatest: what a larger surrounding lacks, the seams bring
WIDE_PIXELS = 6000  # a network of the least width learns so many; more take wider ones
STEPS_PER_PIXEL = 0.05
BATCH, RATE = 1024, 4e-3  # pixels per step; the learning rate of the least width, in proportion to 1 / width
CHUNK = 1 << 14  # positions predicted at a time


@dataclass(frozen=True)
class HoleFit:
    """How the networks of one window are trained: one for each omega_0, all on the same pixels."""

    window: Window
    omegas: tuple[float, ...]  # the greatest frequencies of the first layers, in rad per 64 pixels
    tv: float = 0.02  # weight of the total variation in the hole
    share: float = 1.0  # of what the networks draw; the rest is the smoothest surface through the rim
    max_steps: int | None = None  # of training; None is as many as the pixels need

    @property
    def width(self) -> int:
        """Of the hidden layers."""
        wanted = WIDTHS[0] * math.sqrt(self.window.near.sum() / WIDE_PIXELS)
        return min(max(16 * round(wanted / 16), WIDTHS[0]), WIDTHS[1])

    @property
    def steps(self) -> int:
        """Training steps."""
        wanted = min(max(round(STEPS_PER_PIXEL * self.window.near.sum()), STEPS[0]), STEPS[1])
        return wanted if self.max_steps is None else min(wanted, self.max_steps)

    @property
    def work(self) -> float:
        """How long it takes, in comparison with other fits."""
        return self.steps * len(self.omegas) * (self.width + 32)

    def run(
        self,
        image: Tensor,  # (h, w, c) float32, the whole; nothing is read where the window has no known pixel
        device: torch.device,  # to train on
        cbs: Sequence[Callback] = (),  # further ones for the fit
    ) -> Tensor:  # (n, rows, columns, c) float32 on the CPU: the window, filled for each omega_0
        """Train the networks and fill the window by each."""
        values = self.window.of(image)
        unknown, values = ~self.window.known, values.masked_fill(~_column(self.window.known), 0.0)
        dls = self._loaders(values, device)
        networks = [self._network(dls.train_ds.values, values.shape, omega_0) for omega_0 in self.omegas]
        prior = [SmoothHole(self.tv, hole=self.window.hole)] if self.tv else []
        rate = RATE * WIDTHS[0] / self.width
        learn = stack_learner(dls, networks, lr=rate, cbs=[*prior, *cbs])
        with learn.no_bar(), learn.no_logging():
            learn.fit_fast(1)
        near = ndimage.binary_dilation(unknown, iterations=1)  # all that the seams depend on
        predicted = _predicted(learn.model, near, device)
        return torch.stack([_seamless(values, ~unknown, near, self.share * each) for each in predicted.unbind(1)])

    def _loaders(self, values: Tensor, device: torch.device) -> PixelDataLoaders:
        """The known pixels near the hole, in an epoch of about `steps` batches."""
        n = int(self.window.near.sum())
        bs = min(n, BATCH)
        repeat = max(1, round(self.steps * bs / n))
        options = dict(bs=bs, repeat=repeat, valid="all", value_range=(0.0, 1.0), device=device)
        return PixelDataLoaders.from_array(values, mask=self.window.near, **options)

    def _network(self, known: Tensor, shape: Sequence[int], omega_0: float) -> nn.Module:
        """A SIREN whose first layer has frequencies up to `omega_0` rad per 64 pixels, along every axis."""
        *size, channels = shape
        side = math.sqrt(math.prod(size))
        first = Rule("power", omega_0 * side / (2 * UNIT), per_omega=1, exponent=1.5)  # 2 UNIT pixels are [-1, 1]
        scheme = replace(SCHEMES["fast"], first=first, first_samples=1.0)  # in proportion to the samples of each axis
        return init_for_signal_(siren_model([2, *[self.width] * 3, channels]), scheme, known, size)


@torch.no_grad()
def _predicted(model: nn.Module, where: np.ndarray, device: torch.device) -> Tensor:
    """The values (p, n, c) of n networks at the p pixels that are True."""
    index = torch.from_numpy(where).flatten()
    coords = grid_coords(where.shape)[index].to(device)
    model.eval()
    return torch.cat([model(part).float().cpu() for part in coords.split(CHUNK)])


def _seamless(values: Tensor, known: np.ndarray, near: np.ndarray, predicted: Tensor) -> Tensor:
    """`values`, and in the hole the prediction (p, c) at the pixels `near`, corrected to meet the values at the rim."""
    drawn = torch.zeros_like(values)
    drawn[torch.from_numpy(near)] = predicted
    return drawn + harmonic_fill(values - drawn, torch.from_numpy(known))


def _column(mask: np.ndarray) -> Tensor:
    return torch.from_numpy(mask)[..., None]
