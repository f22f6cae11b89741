"""FINER: variable-periodic activations, `sin(omega_0 (|z| + 1) z)` with z = W x + b.

Source: Liu et al. 2024, arXiv:2312.02434, sec. 3 (activation, first bias U(+-k)) and its official code, whose image
experiment keeps PyTorch's first bias (k = 1/sqrt(n_in)) and treats the factor |z| + 1 as a constant in the gradient.
"""

import math

import torch
from torch import Tensor, nn

from siren_fastai.models.layer import NumberedLayer
from siren_fastai.models.siren import siren_model

__all__ = ["FinerLayer", "finer_model"]


class FinerLayer(NumberedLayer):
    """`sin(omega_0 (|z| + 1) z)` with z = x W^T + b. Shapes: (..., n_in) -> (..., n_out).

    With `scale_gradient=False`, the official default, the gradient treats the factor |z| + 1 as a constant:
    training is as published, but derivatives by the coordinates are not those of the function. `True` gives
    the exact ones.
    """

    numbers = ("omega_0",)

    def __init__(self, n_in: int, n_out: int, omega_0: float = 30.0, scale_gradient: bool = False):
        super().__init__()
        self.linear = nn.Linear(n_in, n_out)
        self.omega_0, self.scale_gradient = float(omega_0), bool(scale_gradient)

    def forward(self, x: Tensor) -> Tensor:
        z = self.linear(x)
        scale = (z if self.scale_gradient else z.detach()).abs() + 1
        return torch.sin(self.omega_0 * scale * z)

    def extra_repr(self) -> str:
        return f"omega_0={self.omega_0:g}, scale_gradient={self.scale_gradient}"


def finer_model(
    n_in: int,  # coordinates
    n_out: int,  # channels
    hidden_features: int = 256,  # width of the hidden layers
    hidden_layers: int = 3,  # layers from width to width
    omega_0: float = 30.0,  # of all layers
    first_bias: float | None = None,  # k; None is 1/sqrt(n_in)
    scale_gradient: bool = False,  # whether the gradient includes that of the factor |z| + 1
) -> nn.Sequential:
    """Return a SIREN with FINER's activation: a SIREN's weights, and a first bias U(+-k) with k = `first_bias`.

    `first_bias` tunes which frequencies the network prefers; None is k = 1/sqrt(n_in). Shapes: (n, n_in) -> (n, n_out).
    """
    plain = siren_model([n_in] + [hidden_features] * (hidden_layers + 1) + [n_out], omega_0, omega_0)
    layers = [FinerLayer(m.linear.in_features, hidden_features, omega_0, scale_gradient) for m in plain[:-1]]
    for layer, sine in zip(layers, plain[:-1], strict=True):
        layer.linear = sine.linear  # FINER keeps a SIREN's weights and later biases
    bound = 1 / math.sqrt(n_in) if first_bias is None else first_bias
    nn.init.uniform_(layers[0].linear.bias, -bound, bound)
    return nn.Sequential(*layers, plain[-1])
