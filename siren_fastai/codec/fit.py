"""Training for the codec: a small SIREN on all pixels of a picture, then the same with quantised weights."""

from collections.abc import Callable
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
from siren_fastai.optimizers import adam, soap

__all__ = ["BATCH", "Training"]

BATCH = 8192  # pixels per step: a layer of it fits a processor's cache
LR, HIGHEST_LR = 0.04, 2e-3
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

        lr: None is 0.04 over the last hidden width, at most 2e-3: wider networks go astray at higher rates.
        """
        width = [p for p in self.model.parameters() if p.dim() == 2][-1].shape[1]
        self._run(steps, min(LR / width, HIGHEST_LR) if lr is None else lr, soap, [])

    def fine_tune(self, quantizers: dict[str, Quantizer], steps: int, lr: float = 3e-4) -> dict[str, Quantizer]:
        """Train with quantised weights; the parameters are quantised after it, by the quantisers that it returns."""
        aware = QuantizeAware(quantizers)
        self._run(steps, lr, adam, [aware])
        return bake_(self.model) if is_quantize_aware(self.model) else aware.quantizers

    def _run(self, steps: int, lr: float, opt_func: Callable, cbs: list[Callback]) -> None:
        learn, epochs = self._learner(steps, opt_func)
        counter = _Steps()
        try:
            with nullcontext() if self.progress else learn.no_bar(), learn.no_logging():
                learn.fit_one_cycle(epochs, lr, cbs=[*cbs, *self.cbs, counter])
        except KeyboardInterrupt:
            self.interrupted = True
        self.steps += counter.steps

    def _learner(self, steps: int, opt_func: Callable) -> tuple[PixelLearner, int]:
        """A learner, and the epochs that make about `steps` steps."""
        n = self.values.shape[0] * self.values.shape[1]
        bs = min(n, BATCH)
        passes = max(1, round(steps * bs / n))
        epochs = min(EPOCHS, passes)
        dls = PixelDataLoaders.from_array(self.values, bs=bs, repeat=round(passes / epochs), device=self.device)
        return siren_learner(dls, self.model.to(dls.device), opt_func=opt_func, moms=(0.9, 0.9, 0.9)), epochs


class _Steps(Callback):
    """Counts optimiser steps, also those of a fit that is interrupted."""

    run_valid, steps = False, 0

    def after_batch(self):
        self.steps += 1
