"""Train a network for the bits that it will be stored in."""

import math

import torch
from fastai.callback.core import Callback, TrainEvalCallback
from fastai.optimizer import Lookahead, Optimizer
from torch import nn

from siren_fastai.quantize.aware import bake_, bits_of, is_quantize_aware, quantize_aware_, release_
from siren_fastai.quantize.quantizers import Quantizer, fit_quantizer

__all__ = ["QuantizeAware"]

FIRST, LEAST, DEAREST = 0.5, 1e-8, 1e3  # the first price of the budget, in losses; the least loss; the last price
SLOWLY, AT_ONCE, EXCESS = 0.5, 200.0, 0.02  # exponents of the price for a share of bits beyond the budget, up to EXCESS


class QuantizeAware(Callback):
    """Compute with quantised weights during a fit, and leave them quantised after it.

    quantizers: a `Quantizer` for each parameter to quantise, by name; or a number of bits for every parameter, whose
    steps are then fitted as training begins. Steps are trained too unless `learn_steps=False`: the optimiser holds
    their parameters during the fit. Acts from a fit's first training batch on. After the fit `quantizers` holds what a
    file stores beside the symbols, by name, and a further fit goes on from these. `lr_find` leaves no trace.
    budget_bits: what the symbols may take in all, about (`quantize.rate.estimated_bits`). Bits then have a price in the
    loss that training descends, not in the one that is shown; it rises while they are too many and falls while they
    are too few, so that weights and steps settle near the budget. None: bits are free.
    Ctrl-C skips fastai's `after_fit`: then `bake_(learn.model)` quantises the weights as they are and returns their
    quantisers, or the next fit with this callback goes on. SaveModelCallback brings back unquantised weights after it.
    Raises: ValueError for bits outside 2..10 or a budget that is not above 0 and finite, at once; for names or rows
        that are not the network's, as it begins.
    """

    order = TrainEvalCallback.order + 2  # the network is on its device, and ApplyInit has drawn it

    def __init__(
        self, quantizers: dict[str, Quantizer] | int, learn_steps: bool = True, budget_bits: float | None = None
    ):
        if budget_bits is not None and not 0 < budget_bits < math.inf:
            raise ValueError(f"`budget_bits` must be above 0 and finite, got {budget_bits!r}")
        if not isinstance(quantizers, dict):
            Quantizer(quantizers, torch.ones(()))  # or ValueError
        self.quantizers, self.learn_steps, self.aware, self.steps = quantizers, learn_steps, False, []
        self.budget_bits, self.price, self.dearest = budget_bits, None, None

    def before_fit(self):
        if self.aware:  # a fit was interrupted
            self._end(release_)

    def before_train(self):
        if self.aware:
            return
        quantizers = self.quantizers
        if not isinstance(quantizers, dict):
            quantizers = {name: fit_quantizer(p, quantizers) for name, p in self.model.named_parameters()}
        self.steps, self.aware = quantize_aware_(self.model, quantizers, self.learn_steps), True
        _add_parameters(self.opt, self.steps)

    def after_loss(self):
        if self.training and self.aware and self.budget_bits is not None:
            self._charge()

    def _charge(self):
        """Add the bits at their price, which has a slow part, kept from step to step, and one for the moment."""
        share = bits_of(self.model) / self.budget_bits
        if self.price is None:
            loss = self.loss_grad.detach()
            if not loss.isfinite():
                return
            self.price = FIRST * loss.clamp(min=LEAST)
            self.dearest = DEAREST * self.price
        excess = (share.detach() - 1).clamp(-EXCESS, EXCESS)
        self.learn.loss_grad = self.loss_grad + self.price * (AT_ONCE * excess).exp() * share
        self.price = torch.minimum(self.dearest, self.price * (SLOWLY * excess).exp())

    def after_fit(self):
        if self.aware:
            quantizers = self._end(bake_)
            if not hasattr(self, "lr_finder"):
                self.quantizers = quantizers

    def _end(self, how) -> dict[str, Quantizer]:
        _remove_parameters(self.opt, self.steps)
        self.aware, self.steps, self.price, self.dearest = False, [], None, None
        return how(self.model) if is_quantize_aware(self.model) else self.quantizers  # else baked by hand


def _add_parameters(opt, parameters: list[nn.Parameter]) -> None:
    """To the last group with vectors, where there is one: the other groups of Muon take matrices alone.

    fastai makes the optimiser before any callback can act in a fit, and schedules have a value for each group of then.
    """
    groups = list(opt.param_lists)
    vectors = [group for group in groups if any(p.dim() == 1 for p in group)]
    (vectors or groups[:1])[-1].extend(parameters)
    inner = getattr(opt, "opt", opt)
    if isinstance(inner, Optimizer):  # fastai's, which after loading (lr_find) has no state for new parameters
        inner.state.update({parameter: {} for parameter in parameters})
    _forget_slow_weights(opt)


def _remove_parameters(opt, parameters: list[nn.Parameter]) -> None:
    ids = {id(p) for p in parameters}
    for group in opt.param_lists:
        for i in reversed(range(len(group))):
            if id(group[i]) in ids:
                del group[i]
    for parameter in parameters:
        for state in (opt.state, getattr(opt, "opt", opt).state):
            state.pop(parameter, None)
    _forget_slow_weights(opt)


def _forget_slow_weights(opt) -> None:
    """They belong to other weights, and to each parameter by its place."""
    if isinstance(opt, Lookahead):
        opt.slow_weights = None
