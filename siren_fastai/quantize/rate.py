"""How many bits quantised weights will take, estimated with gradients, and the penalty that training pays for them.

A tensor is modelled as a sample of Laplace's distribution, rounded to multiples of the step: with mean magnitude m, in
steps, a number takes about 0.5 * log2(1 + (2 e m)**2) bits. That is log2(2 e m), the entropy at fine steps, and goes to
0 as m does.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

__all__ = ["RatePenalty", "estimated_bits"]

INITIAL_PENALTY = 0.5  # weight of the first penalty, in losses
MIN_LOSS = 1e-8  # of the loss that the first weight follows from
MAX_PENALTY_RATIO = 1e3  # largest weight, in first weights
MAX_EXCESS = 0.02  # share of bits above or below the budget beyond which the penalty no longer changes faster
DRIFT, RESPONSE = 0.5, 200.0  # exponents per unit of excess: of the weight that is kept, and of this step's alone


def estimated_bits(tensors: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """The estimated bits of all pairs (weight, step) together.

    Shapes: weight any but empty, step () or (rows, 1) as in `Quantizer`; a scalar with gradients for both.
    """
    total = None
    for weight, step in tensors:
        rows = weight.reshape(len(weight), -1) if step.dim() else weight
        size = (rows / step.to(rows.device)).abs().mean()
        bits = 0.5 * weight.numel() * (1 + (2 * math.e * size).square()).log2()
        total = bits if total is None else total.to(size) + bits
    return torch.zeros(()) if total is None else total


class RatePenalty:
    """A penalty on bits, added to a loss, whose weight adapts from call to call until the bits settle at a budget.

    The weight starts at half the first finite loss. It rises while the bits are above the budget and falls while they
    are below it; each step also pays a momentary surcharge, or gets a discount, that damps oscillations.
    Raises: ValueError for a budget that isn't above 0 and finite.
    """

    def __init__(self, budget_bits: float):
        if not 0 < budget_bits < math.inf:
            raise ValueError(f"`budget_bits` must be above 0 and finite, got {budget_bits!r}")
        self.budget_bits, self.weight, self.max_weight = budget_bits, None, None

    def __call__(self, loss: Tensor, bits: Tensor) -> Tensor:
        """`loss` plus the penalty for `bits`, both scalars; then the weight adapts. A loss of NaN comes back as it is.

        Until the first finite loss there is no penalty.
        """
        if self.weight is None:
            if not loss.isfinite():
                return loss
            self.weight = INITIAL_PENALTY * loss.detach().clamp(min=MIN_LOSS)
            self.max_weight = MAX_PENALTY_RATIO * self.weight
        share = bits / self.budget_bits
        excess = (share.detach() - 1).clamp(-MAX_EXCESS, MAX_EXCESS)
        penalized = loss + self.weight * (RESPONSE * excess).exp() * share
        self.weight = torch.minimum(self.max_weight, self.weight * (DRIFT * excess).exp())
        return penalized
