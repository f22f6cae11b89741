"""Train a network for the bits that it will be stored in."""

import warnings

import torch
from fastai.callback.core import Callback, TrainEvalCallback
from fastai.learner import Learner
from fastai.optimizer import Lookahead, Optimizer
from torch import Tensor, nn

from siren_fastai.processes import unwrapped
from siren_fastai.quantize.aware import bake_, bits_of, is_quantize_aware, quantize_aware_, release_
from siren_fastai.quantize.quantizers import Quantizer, fit_quantizer
from siren_fastai.quantize.rate import RatePenalty

__all__ = ["QuantizeAware"]

UNTRAINED_SHARE = 0.5  # of a constant's loss: a network above it has learned less than 3 dB


class QuantizeAware(Callback):
    """Compute with quantised weights during a fit, and leave them quantised after it.

    Acts from a fit's first training batch on. After the fit, `quantizers` holds by name what a file stores next to the
    symbols, and a further fit continues from these. `lr_find` changes nothing.
    With `budget_bits`, training descends the loss plus a rate penalty (`quantize.rate.RatePenalty`), so that weights
    and step sizes settle near the budget; the loss that is shown has no penalty in it. The budget that counts falls to
    `budget_bits` during the first `ramp` of the fit, from the bits that the network begins with. Fit a network first,
    then tune it with the penalty: one that has learned nothing loses its weights to the penalty, and a warning says so.
    Ctrl-C skips fastai's `after_fit`: `bake_(learn.model)` then quantises the weights as they are and returns their
    quantisers, or the next fit with this callback continues. SaveModelCallback restores unquantised weights.
    Raises: ValueError for bits outside 2..10, a budget that isn't above 0 and finite or a ramp outside 0..1, at once;
        for names or rows that the network doesn't have, as training begins.
    """

    order = TrainEvalCallback.order + 2  # the network is on its device, and ApplyInit has drawn it

    def __init__(
        self,
        quantizers: dict[str, Quantizer] | int,  # by parameter name; or bits for all, with steps fitted at the start
        learn_steps: bool = True,  # train step sizes too: the optimiser holds their parameters during the fit
        budget_bits: float | None = None,  # about what the symbols may take in all; None: no rate penalty
        ramp: float = 0.5,  # share of the fit during which the budget falls; 0 is for trained networks, without warning
    ):
        if not 0 <= ramp <= 1:
            raise ValueError(f"`ramp` must be a share of the fit from 0 to 1, got {ramp!r}")
        if budget_bits is not None:
            RatePenalty(budget_bits)  # or ValueError
        if not isinstance(quantizers, dict):
            Quantizer(quantizers, torch.ones(()))  # or ValueError
        self.quantizers, self.learn_steps, self.budget_bits, self.ramp = quantizers, learn_steps, budget_bits, ramp
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
        self.first_bits = None
        _add_parameters(self.opt, self.steps)

    def after_loss(self):
        if self.training and self.aware and self.penalty is not None:
            bits = bits_of(unwrapped(self.model))
            self.penalty.budget_bits = self._budget(bits)
            self.learn.loss_grad = self.penalty(self.loss_grad, bits)

    def _budget(self, bits: Tensor) -> float:
        """The budget at this step: from the first bits, if they are above it, down to `budget_bits` in equal ratios."""
        if self.pct_train >= self.ramp:
            return self.budget_bits
        if self.first_bits is None:
            self.first_bits = bits.item()
            _warn_if_untrained(self.learn)
        left = 1 - float(self.pct_train) / self.ramp
        return self.budget_bits * max(1.0, self.first_bits / self.budget_bits) ** left

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


def _warn_if_untrained(learn: Learner) -> None:
    """Compare a batch's loss with that of the batch's mean, which a network reaches that ignores its input."""
    target = learn.yb[0]
    if not target.is_floating_point() or target.shape != learn.pred.shape:
        return
    loss, constant = learn.loss.item(), learn.loss_func(target.mean(0).expand_as(target), target).item()
    if loss > UNTRAINED_SHARE * constant:
        warnings.warn(
            f"`QuantizeAware(budget_bits=...)` got a network that has learned little: its loss is {loss:.3g}, that of "
            f"a constant {constant:.3g}. The rate penalty may leave nothing of it: fit it without this callback first",
            stacklevel=2,
        )


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
