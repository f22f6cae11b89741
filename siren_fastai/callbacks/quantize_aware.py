"""Train a network for the bits that it will be stored in."""

import torch
from fastai.callback.core import Callback, TrainEvalCallback
from fastai.optimizer import Lookahead, Optimizer
from torch import nn

from siren_fastai.processes import unwrapped
from siren_fastai.quantize.aware import bake_, bits_of, is_quantize_aware, quantize_aware_, release_
from siren_fastai.quantize.quantizers import Quantizer, fit_quantizer
from siren_fastai.quantize.rate import RatePenalty

__all__ = ["QuantizeAware"]


class QuantizeAware(Callback):
    """Compute with quantised weights during a fit, and leave them quantised after it.

    Acts from a fit's first training batch on. After the fit, `quantizers` holds by name what a file stores next to the
    symbols, and a further fit continues from these. `lr_find` changes nothing.
    With `budget_bits`, training descends the loss plus a rate penalty (`quantize.rate.RatePenalty`), so that weights
    and step sizes settle near the budget; the loss that is shown has no penalty in it.
    Ctrl-C skips fastai's `after_fit`: `bake_(learn.model)` then quantises the weights as they are and returns their
    quantisers, or the next fit with this callback continues. SaveModelCallback restores unquantised weights.
    Raises: ValueError for bits outside 2..10 or a budget that isn't above 0 and finite, at once; for names or rows
        that the network doesn't have, as training begins.
    """

    order = TrainEvalCallback.order + 2  # the network is on its device, and ApplyInit has drawn it

    def __init__(
        self,
        quantizers: dict[str, Quantizer] | int,  # by parameter name; or bits for all, with steps fitted at the start
        learn_steps: bool = True,  # train step sizes too: the optimiser holds their parameters during the fit
        budget_bits: float | None = None,  # about what the symbols may take in all; None: no rate penalty
    ):
        if budget_bits is not None:
            RatePenalty(budget_bits)  # or ValueError
        if not isinstance(quantizers, dict):
            Quantizer(quantizers, torch.ones(()))  # or ValueError
        self.quantizers, self.learn_steps, self.budget_bits = quantizers, learn_steps, budget_bits
        self.aware, self.steps, self.penalty = False, [], None

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
        self.penalty = None if self.budget_bits is None else RatePenalty(self.budget_bits)
        _add_parameters(self.opt, self.steps)

    def after_loss(self):
        if self.training and self.aware and self.penalty is not None:
            self.learn.loss_grad = self.penalty(self.loss_grad, bits_of(unwrapped(self.model)))

    def after_fit(self):
        if self.aware:
            quantizers = self._end(bake_)
            if not hasattr(self, "lr_finder"):
                self.quantizers = quantizers

    def _end(self, how) -> dict[str, Quantizer]:
        _remove_parameters(self.opt, self.steps)
        self.aware, self.steps, self.penalty = False, [], None
        model = unwrapped(self.model)  # its names are those of one process
        return how(model) if is_quantize_aware(model) else self.quantizers  # else baked by hand


def _groups(opt) -> list[list[nn.Parameter]]:
    """The optimiser's own lists of parameters, to be changed in place."""
    inner = getattr(opt, "opt", opt)
    return [g["params"] for g in inner.param_groups] if hasattr(inner, "param_groups") else list(opt.param_lists)


def _add_parameters(opt, parameters: list[nn.Parameter]) -> None:
    """Add to the last group with vectors, where there is one: the other groups of Muon accept matrices alone.

    fastai creates the optimiser before any callback can act in a fit, and schedules already have a value per group.
    """
    groups = _groups(opt)
    vectors = [group for group in groups if any(p.dim() == 1 for p in group)]
    (vectors or groups[:1])[-1].extend(parameters)
    inner = getattr(opt, "opt", opt)
    if isinstance(inner, Optimizer):  # fastai's, which after loading (lr_find) has no state for new parameters
        inner.state.update({parameter: {} for parameter in parameters})
    _forget_slow_weights(opt)


def _remove_parameters(opt, parameters: list[nn.Parameter]) -> None:
    ids = {id(p) for p in parameters}
    for group in _groups(opt):
        for i in reversed(range(len(group))):
            if id(group[i]) in ids:
                del group[i]
    for parameter in parameters:
        for state in (opt.state, getattr(opt, "opt", opt).state):
            state.pop(parameter, None)
    _forget_slow_weights(opt)


def _forget_slow_weights(opt) -> None:
    """Lookahead's slow copies are matched to parameters by position, which has changed."""
    if isinstance(opt, Lookahead):
        opt.slow_weights = None
