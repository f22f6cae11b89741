"""Training for the codec: a small SIREN on all pixels of a picture, then the same with quantised weights."""

import copy
import math
from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
from fastai.callback.core import Callback
from torch import Tensor, nn

from siren_fastai.callbacks.quantize_aware import QuantizeAware
from siren_fastai.data import PixelDataLoaders
from siren_fastai.learner import PixelLearner, siren_learner
from siren_fastai.optimizers import soap
from siren_fastai.quantize.aware import bake_, is_quantize_aware
from siren_fastai.quantize.quantizers import Quantizer, narrowest, widest
from siren_fastai.quantize.rate import estimated_bits

__all__ = ["BATCH", "Training"]

BATCH = 8192  # pixels per step: a layer of it fits a processor's cache
LR, HIGHEST_LR = 0.05, 2e-3
TUNING, GENTLE = 0.4, 0.08  # of the learning rate, with quantised weights
MORE = 1.2  # times the bits: what a tuning may add at most
TELLING, BETTER = 100, 0.97  # after so many steps a fit has less than this share of a flat picture's error
HALF_LEVEL = 0.5 / 255  # an error that 8 bits hardly show, also of a picture that is flat itself
EPOCHS = 5  # looks at the validation PSNR


@dataclass
class Training:
    """A network and the picture it learns; `fit` and `fine_tune` may be called again, and count their steps.

    values: (h, w, c) float32, in [0, 1], or their difference from `mean`.
    rate: the learning rate of `fit`; None is 0.05 over the last hidden width, at most 2e-3, until a fit has set it.
        Wider networks go astray at higher rates.
    `interrupted` becomes True when Ctrl-C ends a fit early: the network then keeps what it has learned.
    """

    model: nn.Module
    values: Tensor
    device: torch.device | str | None = None
    progress: bool = True
    cbs: list[Callback] = field(default_factory=list)
    rate: float | None = None
    steps: int = 0
    interrupted: bool = False

    def fit(self, steps: int) -> None:
        """Train for about `steps` steps of one cycle of the learning rate, with SOAP.

        A fit of 100 steps or more that goes astray, and ends hardly better than a flat picture, is begun anew with half
        the rate, twice at most; the best one is kept, and `rate` is its rate. All their steps are counted.
        """
        start, first = copy.deepcopy(self.model.state_dict()), self._rate()
        least = BETTER * (self.values.var((0, 1), correction=0).mean().item() + HALF_LEVEL**2)
        best, kept = math.inf, start
        for rate in (first, first / 2, first / 4):
            self.model.load_state_dict(start)
            done, loss = self.steps, self._run(steps, rate, [])
            if rate == first or (loss is not None and loss < best):
                best, kept, self.rate = math.inf if loss is None else loss, copy.deepcopy(self.model.state_dict()), rate
            if loss is None or loss < least or self.steps - done < TELLING:
                break
        self.model.load_state_dict(kept)

    def fine_tune(
        self, quantizers: dict[str, Quantizer], steps: int, budget_bits: float | None = None, gently: bool = False
    ) -> dict[str, Quantizer]:
        """Train with quantised weights; the parameters are quantised after it, by the quantisers that it returns.

        budget_bits: as in `QuantizeAware`. The learning rate is 0.4 of that of `fit`; `gently`, 0.08. The quantisers'
        steps are on the CPU.
        """
        aware = QuantizeAware(quantizers, budget_bits=budget_bits)
        self._run(steps, (GENTLE if gently else TUNING) * self._rate(), [aware])
        found = bake_(self.model) if is_quantize_aware(self.model) else aware.quantizers
        return {name: Quantizer(q.bits, q.step.cpu()) for name, q in found.items()}

    def tune_towards(
        self, share: float, quantizers: dict[str, Quantizer], steps: int, gently: bool
    ) -> dict[str, Quantizer]:
        """`fine_tune` at a price for bits, towards `share` of those that `quantizers` take, at most 1.2.

        The steps begin where they take just these; how many bits a tensor has is free. The model is on the CPU then.
        """
        weights = {name: p.detach().cpu() for name, p in self.model.named_parameters()}
        bits = estimated_bits((weights[name], q.step) for name, q in quantizers.items()).item()
        share = min(share, MORE)
        coarser = 2 ** ((1 - share) * bits / sum(w.numel() for w in weights.values()))  # twice the step: a bit less
        wide = {name: widest(weights[name], coarser * q.step) for name, q in quantizers.items()}
        found = self.fine_tune(wide, steps, share * bits, gently)
        weights = dict(self.model.cpu().named_parameters())
        return {name: narrowest(weights[name], q) for name, q in found.items()}

    def _rate(self) -> float:
        if self.rate is not None:
            return self.rate
        width = [p for p in self.model.parameters() if p.dim() == 2][-1].shape[1]
        return min(LR / width, HIGHEST_LR)

    def _run(self, steps: int, lr: float, cbs: list[Callback]) -> float | None:
        """The mean squared error in the end, infinity for NaN; None if Ctrl-C or a callback ended the fit early."""
        counter, learn = _Steps(), None
        try:
            learn, epochs = self._learner(steps)
            with nullcontext() if self.progress else learn.no_bar(), learn.no_logging():
                learn.fit_fast(epochs, lr, cbs=[*cbs, *self.cbs, counter])
        except KeyboardInterrupt:
            self.interrupted = True
        self.steps += counter.steps
        if self.interrupted or len(learn.recorder.values) < epochs or len(learn.recorder.values[-1]) < 2:
            return None
        loss = learn.recorder.values[-1][1]
        return loss if math.isfinite(loss) else math.inf

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
