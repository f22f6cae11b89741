"""What a network costs to compute, in floating-point operations."""

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["forward_flops", "training_flops"]


@torch.no_grad()
def forward_flops(
    model: nn.Module,  # (n, d) -> (n, c); it stays as it is
    coords: Tensor,  # (n, d)
) -> int:
    """Return the floating-point operations of the matrix products in one evaluation at `coords`.

    A product and a sum count as two. Sines and other work that grows with the widths, not with their products, is left
    out, as PyTorch's counter does.
    """
    with FlopCounterMode(display=False) as counter:
        model(coords)
    return counter.get_total_flops()


def training_flops(
    model: nn.Module,  # (n, d) -> (n, c); its gradients stay as they are
    coords: Tensor,  # (n, d)
) -> int:
    """Return the operations of one training step on `coords`: forward, backward to the weights, and between layers.

    A chain of linear layers takes 6 operations per weight and sample, less 2 for each weight of the first layer, whose
    inputs need no gradient; frozen layers take fewer.
    """
    weights = [p for p in model.parameters() if p.requires_grad]
    with torch.enable_grad(), FlopCounterMode(display=False) as counter:
        torch.autograd.grad(model(coords).sum(), weights, allow_unused=True)
    return counter.get_total_flops()
