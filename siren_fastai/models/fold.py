"""Moving omega_0 of sine layers into their weights and back: the same function, trained differently."""

import torch
from torch import nn

from siren_fastai.models.siren import SineLayer, sine_layers

__all__ = ["fold_", "unfold_"]


@torch.no_grad()
def fold_(
    model: nn.Module,  # changed in place
) -> nn.Module:  # `model`
    """Move omega_0 (and gain) of every sine layer into its weights: the same function, with omega_0 = 1.

    Training differs afterwards: an Adam step of lr in the folded weight is a step of lr/omega_0 in the plain one.
    """
    for layer in sine_layers(model):
        _rescale_(layer, layer.omega_0 * layer.gain, layer.omega_0)
        layer.omega_0, layer.gain = 1.0, 1.0
    return model


@torch.no_grad()
def unfold_(
    model: nn.Module,  # changed in place
    omega_0: float = 30.0,  # of every sine layer afterwards
) -> nn.Module:  # `model`
    """Rewrite every sine layer with this `omega_0` and a gain of 1, the same function: the inverse of `fold_`.

    Raises: ValueError for omega_0 <= 0.
    """
    if not omega_0 > 0:
        raise ValueError(f"`omega_0` must be above 0, got {omega_0!r}")
    for layer in sine_layers(model):
        _rescale_(layer, layer.omega_0 * layer.gain / omega_0, layer.omega_0 / omega_0)
        layer.omega_0, layer.gain = float(omega_0), 1.0
    return model


def _rescale_(layer: SineLayer, weight: float, bias: float) -> None:
    layer.linear.weight.mul_(weight)
    if layer.linear.bias is not None:
        layer.linear.bias.mul_(bias)
