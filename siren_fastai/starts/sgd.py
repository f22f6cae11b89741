"""Gradient descent at the rates of a learned start, as a PyTorch optimiser."""

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["RatedSGD"]


class RatedSGD(torch.optim.Optimizer):
    """Gradient descent with a rate for each parameter and step: `lr * rate * gradient` is taken from it.

    `lr` is a factor for all: 1 gives the steps that a start was learned for. Later steps take the last rates. There is
    no momentum.
    Raises: ValueError for another number of parameters than of rates.
    """

    def __init__(
        self,
        params,  # parameters, or groups of them
        rates: Sequence[Tensor],  # (steps,) for each parameter, in their order
        lr: float = 1.0,  # factor of the rates
        weight_decay: float = 0.0,  # adds this share of the weights to their gradient
    ):
        super().__init__(params, dict(lr=lr, weight_decay=weight_decay))
        found = sum(len(group["params"]) for group in self.param_groups)
        if found != len(rates):
            raise ValueError(f"the start has rates for {len(rates)} parameters, and the network has {found} to train")
        self.rates = [rate.tolist() for rate in rates]  # not in `state`, which is cleared when weights are drawn again

    @torch.no_grad()
    def step(self, closure=None):
        rates = iter(self.rates)
        for group in self.param_groups:
            for parameter in group["params"]:
                own, state = next(rates), self.state[parameter]
                taken = state.get("step", 0)
                if parameter.grad is not None:
                    rate = group["lr"] * own[min(taken, len(own) - 1)]
                    parameter.sub_(parameter.grad.add(parameter, alpha=group["weight_decay"]), alpha=rate)
                    state["step"] = taken + 1
