"""What a network shows on a batch: constant outputs, dead and saturated units; and the size of its gradients.

Source: note 004, whose outputs were all black, and once all red.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

__all__ = ["all_finite", "constant_channels", "gradient_norm", "unit_health"]

RECTIFIERS = (nn.ReLU, nn.ReLU6, nn.Threshold)
BOUNDS = {nn.Sigmoid: (0.0, 1.0), nn.Hardsigmoid: (0.0, 1.0), nn.Tanh: (-1.0, 1.0), nn.Hardtanh: (-1.0, 1.0)}
NEAR_BOUND = 0.01  # of the range between the bounds: nearer than this, a unit is saturated


def constant_channels(
    outputs: Tensor,  # (n, c, ...), or (n,) for one channel
    targets: Tensor | None = None,  # (n, c, ...) in the unit of the outputs, or others, such as classes
    share: float = 1e-3,  # of the targets' standard deviation: below it, outputs are constant
) -> Tensor:  # (c,) bool
    """Which channels of the outputs are the same over the whole batch although the targets vary.

    With targets of another unit or none, outputs are constant if all channels vary by less than `share` of the outputs'
    root mean square. A channel with a single value isn't judged.
    """
    outputs = _floats(outputs.detach())
    outputs = outputs[:, None] if outputs.dim() == 1 else outputs
    dims = [d for d in range(outputs.dim()) if d != 1]
    if outputs.numel() < 2 * outputs.shape[1]:
        return torch.zeros(outputs.shape[1], dtype=torch.bool, device=outputs.device)
    deviation = outputs.std(dims, correction=0)
    if targets is not None and targets.is_floating_point() and targets.numel() == outputs.numel():
        reference = _floats(targets.detach()).reshape(outputs.shape).std(dims, correction=0)
        return (deviation <= share * reference) & (reference > 0)
    varied = True if targets is None else (targets != targets.flatten()[0]).any()
    return ((deviation <= share * outputs.square().mean().sqrt()).all() & varied).expand(outputs.shape[1])


def gradient_norm(
    parameters: Iterable[Tensor],
) -> Tensor:  # a scalar, on the device of the gradients
    """The norm of all gradients as one vector; 0 if there are none."""
    norms = [torch.linalg.vector_norm(p.grad, dtype=torch.float32) for p in parameters if p.grad is not None]
    return torch.linalg.vector_norm(torch.stack(norms)) if norms else torch.zeros(())


def all_finite(
    parameters: Iterable[Tensor],
) -> bool:
    """Return whether no value is NaN or infinite."""
    return all(bool(p.isfinite().all()) for p in parameters)


@torch.no_grad()
def unit_health(
    model: nn.Module,  # run once, in the mode that it is in
    *inputs,  # a batch, as the model takes them
) -> dict[str, float]:  # dead_units, saturation: shares in [0, 1]
    """Return the share of dead rectifiers and of saturated bounded units on a batch; nan where there are none.

    A channel of ReLU, ReLU6 or Threshold is dead if it has one value for the whole batch; an output of Sigmoid, Tanh,
    Hardsigmoid or Hardtanh is saturated within 1 % of a bound. Only modules are seen, not functions such as `F.relu`.
    """
    dead, saturated = [], []

    def look(module, _, output):
        if isinstance(module, RECTIFIERS):
            values = output.movedim(1, 0).flatten(1) if output.dim() > 1 else output[None]
            dead.append((values == values[:, :1]).all(1).float())
        else:
            low, high = BOUNDS[type(module)]
            margin = NEAR_BOUND * (high - low)
            saturated.append(((output < low + margin) | (output > high - margin)).float().mean().view(1))

    seen = [m for m in model.modules() if isinstance(m, RECTIFIERS) or type(m) in BOUNDS]
    hooks = [module.register_forward_hook(look) for module in seen]
    try:
        model(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    shares = {"dead_units": dead, "saturation": saturated}
    return {name: float(torch.cat(found).mean()) if found else math.nan for name, found in shares.items()}


def _floats(values: Tensor) -> Tensor:
    return values if values.dtype in (torch.float32, torch.float64) else values.float()
