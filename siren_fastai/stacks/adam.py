"""Adam for stacked weights, with a learning rate for each network."""

from collections.abc import Callable, Sequence
from functools import partial
from inspect import signature

import torch
from fastai.optimizer import OptimWrapper

from siren_fastai.optimizers import adam, adamw, fast_adam

__all__ = ["ELEMENTWISE", "StackedAdam", "stacked_adam"]

ELEMENTWISE = (adam, adamw, fast_adam)  # they treat each number alone, so they can train a stack


class StackedAdam(torch.optim.Optimizer):
    """`torch.optim.Adam` or `AdamW` on parameters (n, ...) of n networks: number i learns at the rate `lr * rates[i]`.

    A schedule sets `lr`, which all networks share; the ratios stay. The arithmetic is element by element, so that a
    network's steps are those that it would take alone.
    Sources: Kingma & Ba 2015, arXiv:1412.6980, algorithm 1; Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2.
    """

    def __init__(
        self,
        params,  # (n, ...) each
        rates: Sequence[float],  # n factors of the learning rate
        lr: float = 1e-3,  # learning rate of a network whose factor is 1
        betas: tuple[float, float] = (0.9, 0.999),  # decay of the averages of the gradient and of its square
        eps: float = 1e-8,  # added to the denominator
        weight_decay: float = 0.0,  # weight decay
        decoupled: bool = False,  # the decay takes `lr * rate * weight_decay` of a weight; else it adds to the gradient
    ):
        self.decoupled, self.rates = decoupled, torch.as_tensor(rates, dtype=torch.float64)
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._step(parameter, group)

    def _step(self, parameter: torch.Tensor, group: dict) -> None:
        state, (beta_1, beta_2) = self.state[parameter], group["betas"]
        if not state:
            rates = self.rates.to(parameter.device, parameter.dtype).view(-1, *[1] * (parameter.dim() - 1))
            state.update(step=0, mean=torch.zeros_like(parameter), square=torch.zeros_like(parameter), rates=rates)
        state["step"] += 1
        grad, decay = parameter.grad, group["weight_decay"]
        if decay and self.decoupled:
            parameter.mul_(1 - group["lr"] * decay * state["rates"])
        elif decay:
            grad = grad.add(parameter, alpha=decay)
        mean = state["mean"].lerp_(grad, 1 - beta_1)
        square = state["square"].mul_(beta_2).addcmul_(grad, grad, value=1 - beta_2)
        scale = (1 - beta_2 ** state["step"]) ** 0.5
        update = mean / square.sqrt().div_(scale).add_(group["eps"])
        size = group["lr"] / (1 - beta_1 ** state["step"])
        parameter.addcmul_(update, state["rates"], value=-size)


def stacked_adam(
    rates: Sequence[float],  # a factor of the learning rate for each network
    like: Callable = adam,  # one of `ELEMENTWISE`, whose other settings are taken
) -> Callable:  # an `opt_func` of fastai's
    """Return an optimiser builder like `adam`, for a stack whose networks' rates differ."""
    sqr_mom = signature(like).parameters["sqr_mom"].default
    return partial(_stacked_adam, rates=tuple(rates), decoupled=like is adamw, sqr_mom=sqr_mom)


def _stacked_adam(params, rates, decoupled, lr=1e-4, mom=0.9, sqr_mom=0.999, eps=1e-8, wd=0.0) -> OptimWrapper:
    options = dict(rates=rates, decoupled=decoupled, betas=(mom, sqr_mom), eps=eps, weight_decay=wd)
    return OptimWrapper(params, StackedAdam, lr=lr, **options)
