"""WIRE: complex Gabor wavelets as activation, `exp(i omega_0 z - (sigma_0 |z|)^2)` with complex z = W x + b.

Complex numbers are kept as pairs of real ones: features are (..., 2h), the h real parts, then the h imaginary parts,
and weights have a leading axis of 2. Every stored number is then a real parameter, counted once, and any optimiser
works (fastai's second moments are wrong for complex tensors).
Source: Saragadam et al. 2023, arXiv:2301.05187, sec. 3, and its official code (widths divided by sqrt(2), PyTorch's
default initialisation, omega_0 = 20 and sigma_0 = 30 recommended for images).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from siren_fastai.models.gauss import decay
from siren_fastai.models.layer import NumberedLayer

__all__ = ["ComplexLinear", "GaborLayer", "wire_model", "wire_width"]


class ComplexLinear(nn.Module):
    """`x W^T + b` for complex x, W and b held as real pairs; both parts start from U(+-1/sqrt(n_in)).

    Shapes: (..., 2 n_in) -> (..., 2 n_out); weight (2, n_out, n_in), bias (2, n_out).
    """

    def __init__(self, n_in: int, n_out: int):
        super().__init__()
        bound = 1 / math.sqrt(n_in)
        self.weight = nn.Parameter(nn.init.uniform_(torch.empty(2, n_out, n_in), -bound, bound))
        self.bias = nn.Parameter(nn.init.uniform_(torch.empty(2, n_out), -bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        real, imaginary = self.weight
        block = torch.cat([torch.cat([real, -imaginary], 1), torch.cat([imaginary, real], 1)])
        return F.linear(x, block, self.bias.flatten())


class GaborLayer(NumberedLayer):
    """`exp(i omega_0 z - (sigma_0 |z|)^2)` with z = x W^T + b, complex unless `first` (coordinates are real).

    Shapes: (..., n_in if first else 2 n_in) -> (..., 2 n_out).
    """

    numbers = ("omega_0", "sigma_0")

    def __init__(self, n_in: int, n_out: int, omega_0: float = 20.0, sigma_0: float = 30.0, first: bool = False):
        super().__init__()
        self.linear = nn.Linear(n_in, n_out) if first else ComplexLinear(n_in, n_out)
        self.omega_0, self.sigma_0, self.first = float(omega_0), float(sigma_0), first

    def forward(self, x: Tensor) -> Tensor:
        z = self.linear(x)
        real, imaginary = (z, None) if self.first else z.chunk(2, dim=-1)
        exponent = -(self.sigma_0**2) * real.square()
        if imaginary is not None:  # i omega_0 (u + iv) = i omega_0 u - omega_0 v
            exponent = exponent - self.sigma_0**2 * imaginary.square() - self.omega_0 * imaginary
        envelope, phase = decay(exponent), self.omega_0 * real
        return torch.cat([envelope * phase.cos(), envelope * phase.sin()], dim=-1)

    def extra_repr(self) -> str:
        return f"omega_0={self.omega_0:g}, sigma_0={self.sigma_0:g}"


def wire_width(
    hidden_features: int,  # real units
) -> int:
    """Return how many complex units have the parameters of about `hidden_features` real ones.

    floor(h/sqrt(2)), at least 1.
    """
    return max(1, int(hidden_features / math.sqrt(2)))


def wire_model(
    n_in: int,  # coordinates
    n_out: int,  # channels
    hidden_features: int = 256,  # width of the hidden layers
    hidden_layers: int = 3,  # layers from width to width
    omega_0: float = 20.0,  # frequency of the wavelet
    sigma_0: float = 30.0,  # inverse width of the wavelet
) -> nn.Sequential:
    """Return Gabor layers of `wire_width(hidden_features)` complex units and the real part of a complex linear output.

    The real part needs no imaginary bias, so the output is one real layer on the 2h numbers, drawn from U(+-1/sqrt(h)).
    With w complex units and l `hidden_layers` it has w (n_in + 1) + 2 l w (w + 1) + n_out (2 w + 1) real parameters.
    Shapes: (n, n_in) -> (n, n_out).
    """
    width = wire_width(hidden_features)
    first = GaborLayer(n_in, width, omega_0, sigma_0, first=True)
    hidden = [GaborLayer(width, width, omega_0, sigma_0) for _ in range(hidden_layers)]
    output = nn.Linear(2 * width, n_out)
    for tensor in (output.weight, output.bias):
        nn.init.uniform_(tensor, -1 / math.sqrt(width), 1 / math.sqrt(width))
    return nn.Sequential(first, *hidden, output)
