"""About how many bits quantised weights will take, as a function with gradients: what training may pay for.

A tensor is taken for a sample of Laplace's distribution, rounded to whole steps: of mean size m, in steps, a number has
about 0.5 * log2(1 + (2 e m)**2) bits. That is log2(2 e m), the entropy at fine steps, and goes to 0 as m does.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

__all__ = ["estimated_bits"]


def estimated_bits(tensors: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """The bits of all the (weight, step) together, a scalar with gradients for both.

    Shapes: weight any but empty, step () or (rows, 1) as in `Quantizer`.
    """
    total = torch.zeros(())
    for weight, step in tensors:
        rows = weight.reshape(len(weight), -1) if step.dim() else weight
        size = (rows / step.to(rows.device)).abs().mean()
        total = total.to(size) + 0.5 * weight.numel() * (1 + (2 * math.e * size).square()).log2()
    return total
