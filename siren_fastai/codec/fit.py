"""Training for the codec: a small SIREN on all pixels of a picture, then the same with quantised weights."""

import copy
import math
from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
from fastai.callback.core import Callback
from torch import Tensor, nn

from siren_fastai.callbacks.quantize_aware import QuantizeAware
from siren_fastai.codec.aware import bake_, is_quantize_aware
from siren_fastai.codec.quantize import Quantizer
from siren_fastai.data import PixelDataLoaders
from siren_fastai.learner import PixelLearner, siren_learner
from siren_fastai.optimizers import soap

__all__ = ["BATCH", "Training"]

BATCH = 8192  # pixels per step: a layer of it fits a processor's cache
LR, HIGHEST_LR = 0.05, 2e-3
TUNING, GENTLE = 0.4, 0.08  # of the learning rate, with quantised weights
TELLING, BETTER = 100, 0.97  # after so many steps a fit has less than this share of a flat picture's error
HALF_LEVEL = 0.5 / 255  # an error that 8 bits hardly show, also of a picture that is flat itself
EPOCHS = 5  # looks at the validation PSNR


@dataclass
class Training:
    """A network and the picture it learns; `fit` and `fine_tune` may be called again, and count their steps.

    values: (h, w, c) float32, in [0, 1], or their difference from `mean`.
    `interrupted` becomes True when Ctrl-C ends a fit early: the network then keeps what it has learned.
    """

    model: nn.Module
    values: Tensor
    device: torch.device | str | None = None
    progress: bool = True
    cbs: list[Callback] = field(default_factory=list)
    steps: int = 0
    interrupted: bool = False

    def fit(self, steps: int, lr: float | None = None) -> None:
        """Train for about `steps` steps of one cycle of the learning rate, with SOAP.

        lr: None is 0.05 over the last hidden width, at most 2e-3: wider networks go astray at higher rates. A fit that
        does, and ends hardly better than a flat picture, is begun anew with half the rate, twice at most.
        """
        start, lr = copy.deepcopy(self.model.state_dict()), self._lr() if lr is None else lr
        flat = self.values.var((0, 1), correction=0).mean().item() + HALF_LEVEL**2
        for rate in (lr, lr / 2, lr / 4):
            loss = self._run(steps, rate, [])
            if self.interrupted or steps < TELLING or loss < BETTER * flat:
                return
            if rate > lr / 4:
                self.model.load_state_dict(start)

    def fine_tune(
        self, quantizers: dict[str, Quantizer], steps: int, budget_bits: float | None = None, gently: bool = False
    ) -> dict[str, Quantizer]:
        """Train with quantised weights; the parameters are quantised after it, by the quantisers that it returns.

        budget_bits: as in `QuantizeAware`. The learning rate is 0.4 of what `fit` takes; `gently`, 0.08.
        """
        aware = QuantizeAware(quantizers, budget_bits=budget_bits)
        self._run(steps, (GENTLE if gently else TUNING) * self._lr(), [aware])
        return bake_(self.model) if is_quantize_aware(self.model) else aware.quantizers

    def _lr(self) -> float:
        width = [p for p in self.model.parameters() if p.dim() == 2][-1].shape[1]
        return min(LR / width, HIGHEST_LR)

    def _run(self, steps: int, lr: float, cbs: list[Callback]) -> float:
        """The mean squared error in the end; NaN after Ctrl-C."""
        learn, epochs = self._learner(steps)
        counter = _Steps()
        try:
            with nullcontext() if self.progress else learn.no_bar(), learn.no_logging():
                learn.fit_one_cycle(epochs, lr, cbs=[*cbs, *self.cbs, counter])
        except KeyboardInterrupt:
            self.interrupted = True
        self.steps += counter.steps
        return math.nan if self.interrupted else learn.recorder.values[-1][1]

    def _learner(self, steps: int) -> tuple[PixelLearner, int]:
        """A learner, and the epochs that make about `steps` steps."""
        n = self.values.shape[0] * self.values.shape[1]
        bs = min(n, BATCH)
        passes = max(1, round(steps * bs / n))
        epochs = min(EPOCHS, passes)
        dls = PixelDataLoaders.from_array(self.values, bs=bs, repeat=round(passes / epochs), device=self.device)
        return siren_learner(dls, self.model.to(dls.device), opt_func=soap, moms=(0.9, 0.9, 0.9)), epochs


class _Steps(Callback):
    """Counts optimiser steps, also those of a fit that is interrupted."""

    run_valid, steps = False, 0

    def after_batch(self):
        self.steps += 1
