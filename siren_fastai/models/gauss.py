"""Coordinate networks with Gaussian activations, `exp(-(sigma_0 (W x + b))^2)`.

Sources: Ramasinghe & Lucey 2022, "Beyond Periodicity", arXiv:2111.15135 (activation); the code of WIRE,
arXiv:2301.05187 (`modules/gauss.py`: sigma_0 = 10 with PyTorch's default initialisation). The code of FINER,
arXiv:2312.02434 (`run_gauss.sh`), takes 30 for images of 512 x 512.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from siren_fastai.models.layer import NumberedLayer

__all__ = ["GaussLayer", "decay", "gauss_model"]

_NEGLIGIBLE = 1e-20  # far below float32's rounding of any sum that it enters


def decay(
    exponent: Tensor,  # any shape, 0 or below
) -> Tensor:
    """Return `exp(exponent)`, with results below 1e-20 set to 0: subnormal numbers slow a CPU 3 to 4 times."""
    return F.threshold(exponent.exp(), _NEGLIGIBLE, 0.0)


class GaussLayer(NumberedLayer):
    """`exp(-(sigma_0 (x W^T + b))^2)`; weights and biases U(+-1/sqrt(n_in)). Shapes: (..., n_in) -> (..., n_out)."""

    numbers = ("sigma_0",)

    def __init__(
        self,
        n_in: int,  # inputs
        n_out: int,  # outputs
        sigma_0: float = 10.0,  # inverse width of the Gaussian
    ):
        super().__init__()
        self.linear = nn.Linear(n_in, n_out)
        self.sigma_0 = float(sigma_0)

    def forward(self, x: Tensor) -> Tensor:
        return decay(-(self.sigma_0 * self.linear(x)).square())

    def extra_repr(self) -> str:
        return f"sigma_0={self.sigma_0:g}"


def gauss_model(
    n_in: int,  # coordinates
    n_out: int,  # channels
    hidden_features: int = 256,  # width of the hidden layers
    hidden_layers: int = 3,  # layers from width to width
    sigma_0: float = 10.0,  # inverse width of the Gaussian
) -> nn.Sequential:
    """Return `hidden_layers + 1` Gaussian layers of one width and a linear output. Shapes: (n, n_in) -> (n, n_out)."""
    widths = [n_in] + [hidden_features] * (hidden_layers + 1)
    layers = [GaussLayer(a, b, sigma_0) for a, b in zip(widths[:-1], widths[1:], strict=True)]
    return nn.Sequential(*layers, nn.Linear(hidden_features, n_out))
