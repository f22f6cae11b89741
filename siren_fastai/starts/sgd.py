"""Gradient descent at the rates of a learned start, as a PyTorch optimiser."""

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["RatedSGD"]


class RatedSGD(torch.optim.Optimizer):
    """Gradient descent in which every number has a rate of its own: a step takes `lr * rate * gradient`.

    `lr` is a factor for all: 1 gives the steps that a start was learned for. There is no momentum.
    Raises: ValueError for rates that don't have the shapes of the parameters, in their order.
    """

    def __init__(
        self,
        params,  # parameters, or groups of them
        rates: Sequence[Tensor],  # one tensor for each parameter
        lr: float = 1.0,  # factor of the rates
        weight_decay: float = 0.0,  # adds this share of the weights to their gradient
    ):
        super().__init__(params, dict(lr=lr, weight_decay=weight_decay))
        owned = [parameter for group in self.param_groups for parameter in group["params"]]
        found, needed = [tuple(p.shape) for p in owned], [tuple(rate.shape) for rate in rates]
        if found != needed:
            raise ValueError(f"the start has rates for parameters of {needed}, got parameters of {found}")
        self.rates = [rate.detach().to(parameter) for rate, parameter in zip(rates, owned, strict=True)]

    @torch.no_grad()
    def step(self, closure=None):
        rates = iter(self.rates)  # not in `state`, which fastai clears when the weights are drawn again
        for group in self.param_groups:
            for parameter, rate in zip(group["params"], rates, strict=False):
                if parameter.grad is not None:
                    grad = parameter.grad.add(parameter, alpha=group["weight_decay"])
                    parameter.addcmul_(rate, grad, value=-group["lr"])
