"""Training for the codec: a small SIREN on all pixels of an image, then the same network with quantised weights."""

import copy
import math
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch
from fastai.callback.core import Callback
from torch import Tensor, nn

from siren_fastai.callbacks.quantize_aware import QuantizeAware
from siren_fastai.codec.loader import step_loaders
from siren_fastai.codec.plan import BATCH
from siren_fastai.learner import PixelLearner, siren_learner
from siren_fastai.metrics import PSNR
from siren_fastai.optimizers import soap
from siren_fastai.quantize.aware import bake_, is_quantize_aware
from siren_fastai.quantize.quantizers import Quantizer, narrowest, widest
from siren_fastai.quantize.rate import estimated_bits

__all__ = ["BATCH", "Attempt", "FittedNetwork", "Trainer", "best_attempt"]

RATE_PER_UNIT, MAX_RATE = 0.1, 4e-3  # learning rate times hidden width; wider networks diverge at higher rates
TUNING_RATE, GENTLE_RATE = 0.4, 0.08  # with quantised weights, in learning rates of the fit before
MAX_GROWTH = 1.2  # of the bits: the most that a tuning may add
MIN_STEPS_TO_JUDGE, DIVERGED_RATIO = 100, 0.97  # after so many steps, a fit's error over that of a flat image
HALF_LEVEL = 0.5 / 255  # an error that 8 bits hardly show, for images that are flat themselves
MAX_EPOCHS = 5  # evaluations per fit, at most


@dataclass(frozen=True)
class FittedNetwork:
    """A network after `steps` training steps in all. `interrupted`: Ctrl-C ended its training early.

    model: on the CPU. rate: the learning rate of the fit that was kept; None before any.
    """

    model: nn.Module
    rate: float | None = None
    steps: int = 0
    interrupted: bool = False


@dataclass(frozen=True)
class Attempt:
    """One training run: its network, learning rate and steps, and the mean squared error that it ended with.

    loss: infinity for NaN; None if Ctrl-C or a callback ended the run early.
    """

    model: nn.Module
    rate: float
    steps: int
    loss: float | None
    interrupted: bool = False


def best_attempt(attempts: Iterable[Attempt], converged_loss: float) -> tuple[Attempt, list[Attempt]]:
    """The best attempt, and all that were made: further ones are drawn while the last one diverged.

    An attempt diverged if it ends at `converged_loss` or above after 100 steps or more. An attempt without a loss ends
    the search; it is the best only if it is the first.
    """
    made = []
    for attempt in attempts:
        made.append(attempt)
        if attempt.loss is None or attempt.loss < converged_loss or attempt.steps < MIN_STEPS_TO_JUDGE:
            break
    judged = [attempt for attempt in made if attempt.loss is not None]
    return min(judged, key=lambda attempt: attempt.loss) if judged else made[0], made


@dataclass(frozen=True)
class Trainer:
    """Trains networks on the values of an image. Its methods leave the networks that they are given as they are.

    Shapes: values (h, w, c) float32, in [0, 1] or the difference from a mean colour.
    """

    values: Tensor
    device: torch.device | str | None = None
    progress: bool = True
    cbs: tuple[Callback, ...] = ()

    def fit(self, network: FittedNetwork, steps: int) -> FittedNetwork:
        """Train for `steps` steps of one cycle of the learning rate, with SOAP.

        The learning rate is the network's, by default 0.1 / its last hidden width and at most 4e-3. A fit of 100 steps
        or more that ends hardly better than a flat image has diverged: it is restarted with half the rate, twice at
        most, and the best of them is kept. Steps of all of them count.
        """
        first = _rate_of(network)
        converged = DIVERGED_RATIO * (self.values.var((0, 1), correction=0).mean().item() + HALF_LEVEL**2)
        attempts = (self._run(network.model, steps, rate) for rate in (first, first / 2, first / 4))
        best, made = best_attempt(attempts, converged)
        steps = network.steps + sum(attempt.steps for attempt in made)
        return FittedNetwork(best.model, best.rate, steps, network.interrupted or made[-1].interrupted)

    def fine_tune(
        self,
        network: FittedNetwork,
        quantizers: dict[str, Quantizer],
        steps: int,
        budget_bits: float | None = None,
        gently: bool = False,
    ) -> tuple[FittedNetwork, dict[str, Quantizer]]:
        """Train with quantised weights; the network that comes back is quantised by the quantisers next to it.

        budget_bits: as in `QuantizeAware`. The learning rate is 0.4 of the fit's, or 0.08 of it if `gently`.
        """
        aware = QuantizeAware(quantizers, budget_bits=budget_bits, ramp=0.0)
        share = GENTLE_RATE if gently else TUNING_RATE
        attempt = self._run(network.model, steps, share * _rate_of(network), aware)
        found = bake_(attempt.model) if is_quantize_aware(attempt.model) else aware.quantizers
        tuned = replace(
            network,
            model=attempt.model,
            steps=network.steps + attempt.steps,
            interrupted=network.interrupted or attempt.interrupted,
        )
        return tuned, {name: Quantizer(q.bits, q.step.cpu()) for name, q in found.items()}

    def tune_towards(
        self, network: FittedNetwork, quantizers: dict[str, Quantizer], share: float, steps: int, gently: bool = False
    ) -> tuple[FittedNetwork, dict[str, Quantizer]]:
        """`fine_tune` with a rate penalty, towards `share` of the bits that `quantizers` take, at most 1.2.

        Training starts from steps at which the symbols take about that many bits; how many bits a tensor has is free.
        """
        weights = {name: p.detach() for name, p in network.model.named_parameters()}
        bits = estimated_bits((weights[name], q.step) for name, q in quantizers.items()).item()
        share = min(share, MAX_GROWTH)
        coarser = 2 ** ((1 - share) * bits / sum(w.numel() for w in weights.values()))  # twice the step: a bit less
        wide = {name: widest(weights[name], coarser * q.step) for name, q in quantizers.items()}
        tuned, found = self.fine_tune(network, wide, steps, share * bits, gently)
        weights = dict(tuned.model.named_parameters())
        return tuned, {name: narrowest(weights[name], q) for name, q in found.items()}

    def _run(self, model: nn.Module, steps: int, lr: float, *cbs: Callback) -> Attempt:
        """Train a copy of `model`."""
        counter, learn, interrupted, epochs = _Steps(), None, False, 0
        model = copy.deepcopy(model)
        try:
            dls, epochs = step_loaders(self.values, BATCH, steps, MAX_EPOCHS, self.device)
            options = dict(opt_func=soap, moms=(0.9, 0.9, 0.9), metrics=PSNR(clamp=False))
            learn = siren_learner(dls, model.to(dls.device), **options)
            with nullcontext() if self.progress else learn.no_bar(), learn.no_logging():
                learn.fit_fast(epochs, lr, cbs=[*cbs, *self.cbs, counter])
        except KeyboardInterrupt:
            interrupted = True
        loss = None if interrupted else _final_loss(learn, epochs)
        return Attempt(model.cpu(), lr, counter.steps, loss, interrupted)


def _rate_of(network: FittedNetwork) -> float:
    """The learning rate to fit `network` at."""
    if network.rate is not None:
        return network.rate
    width = [p for p in network.model.parameters() if p.dim() == 2][-1].shape[1]
    return min(RATE_PER_UNIT / width, MAX_RATE)


def _final_loss(learn: PixelLearner, epochs: int) -> float | None:
    """The validation loss after the last epoch, infinity for NaN; None if a callback ended the fit before."""
    rows = learn.recorder.values
    if len(rows) < epochs or len(rows[-1]) < 2:
        return None
    return rows[-1][1] if math.isfinite(rows[-1][1]) else math.inf


class _Steps(Callback):
    """Counts optimiser steps, also those of a fit that is interrupted."""

    run_valid, steps = False, 0

    def after_batch(self):
        self.steps += 1
