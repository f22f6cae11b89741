"""ReLU networks on encoded coordinates: NeRF's positional encoding, random Fourier features, radial basis functions.

Sources: Mildenhall et al. 2020 (NeRF), arXiv:2003.08934, sec. 5.1, eq. 4; Tancik et al. 2020, arXiv:2006.10739, sec. 4
and 6.1; Sitzmann et al. 2020, arXiv:2006.09661, supplement (baselines "ReLU P.E." and "RBF-ReLU") and its official
code.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from siren_fastai.models.gauss import decay
from siren_fastai.models.mlp import mlp_model

__all__ = [
    "FourierFeatures",
    "PositionalEncoding",
    "RadialBasis",
    "fourier_model",
    "nerf_frequencies",
    "nerf_model",
    "rbf_model",
]

_NERF_FREQUENCIES = 10  # L for positions, arXiv:2003.08934, sec. 5.1


def nerf_frequencies(
    sidelength: int | Sequence[int] | None = None,  # sides of the image in pixels; None is not known
) -> int:
    """Return how many octaves an image needs: floor(log2(S/4)) for S its shorter side, at least 0; 10 for None.

    6 at 256 pixels, 7 at 512. Source: the Nyquist rule of the official SIREN code; 10 is NeRF's own choice.
    """
    if sidelength is None:
        return _NERF_FREQUENCIES
    shortest = sidelength if isinstance(sidelength, int) else min(sidelength)
    return max(0, (shortest // 4).bit_length() - 1)


class PositionalEncoding(nn.Module):
    """`[x, sin(2^i pi x), cos(2^i pi x)]` for i below `n_frequencies`. Has no parameters.

    Shapes: (..., d) -> (..., d + 2 d n_frequencies). Source: arXiv:2003.08934, eq. 4.
    """

    def __init__(
        self,
        n_in: int,  # coordinates
        n_frequencies: int,  # octaves
    ):
        super().__init__()
        self.n_out = n_in * (1 + 2 * n_frequencies)
        octaves = math.pi * 2.0 ** torch.arange(n_frequencies)
        self.register_buffer("octaves", octaves, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        phase = (x[..., None, :] * self.octaves[:, None]).flatten(-2)
        return torch.cat([x, phase.sin(), phase.cos()], dim=-1)


class FourierFeatures(nn.Module):
    """`[cos(2 pi B v), sin(2 pi B v)]` with v = (x + 1)/2 in [0, 1] and a fixed B drawn from N(0, sigma_0^2).

    `sigma_0` is in cycles per image. B is stored with the weights: without it they are useless.
    Shapes: (..., d) -> (..., 2 n_features). Source: arXiv:2006.10739, sec. 4, "Gaussian".
    """

    def __init__(
        self,
        n_in: int,  # coordinates
        n_features: int = 256,  # random frequencies
        sigma_0: float = 10.0,  # their standard deviation
    ):
        super().__init__()
        self.n_out = 2 * n_features
        self.register_buffer("frequencies", torch.randn(n_features, n_in) * sigma_0)

    def forward(self, x: Tensor) -> Tensor:
        phase = math.pi * (x + 1) @ self.frequencies.t()
        return torch.cat([phase.cos(), phase.sin()], dim=-1)


class RadialBasis(nn.Module):
    """`exp(-(sigma |x - c|^2)^2)` around learned centres c.

    The centres start in U(-1, 1), each centre's sigma at `sigma_0`. The distance is squared twice, as in the
    official SIREN code. Shapes: (..., d) -> (..., n_centres).
    """

    def __init__(
        self,
        n_in: int,  # coordinates
        n_centres: int = 1024,  # basis functions
        sigma_0: float = 10.0,  # where each sigma starts
    ):
        super().__init__()
        self.n_out = n_centres
        self.centres = nn.Parameter(nn.init.uniform_(torch.empty(n_centres, n_in), -1, 1))
        self.sigmas = nn.Parameter(torch.full((n_centres,), float(sigma_0)))

    def forward(self, x: Tensor) -> Tensor:
        squares = x.square().sum(-1, keepdim=True) + self.centres.square().sum(-1)
        distances = squares - 2 * x @ self.centres.t()  # |x - c|^2 without the (n, n_centres, d) differences
        return decay(-(self.sigmas * distances).square())


def nerf_model(
    n_in: int,  # coordinates
    n_out: int,  # channels
    hidden_features: int = 256,  # width of the hidden layers
    hidden_layers: int = 3,  # layers from width to width
    n_frequencies: int = _NERF_FREQUENCIES,  # octaves of the encoding
) -> nn.Sequential:
    """Return a ReLU network on NeRF's positional encoding. Shapes: (n, n_in) -> (n, n_out)."""
    encoding = PositionalEncoding(n_in, n_frequencies)
    return nn.Sequential(encoding, *mlp_model(encoding.n_out, n_out, hidden_features, hidden_layers))


def rbf_model(
    n_in: int,  # coordinates
    n_out: int,  # channels
    hidden_features: int = 256,  # width of the hidden layers
    hidden_layers: int = 3,  # layers from width to width
    n_centres: int = 1024,  # radial basis functions
    sigma_0: float = 10.0,  # where their widths start
) -> nn.Sequential:
    """Return a ReLU network on radial basis functions. Shapes: (n, n_in) -> (n, n_out)."""
    encoding = RadialBasis(n_in, n_centres, sigma_0)
    return nn.Sequential(encoding, *mlp_model(n_centres, n_out, hidden_features, hidden_layers))


def fourier_model(
    n_in: int,  # coordinates
    n_out: int,  # channels
    hidden_features: int = 256,  # width of the hidden layers
    hidden_layers: int = 3,  # layers from width to width
    n_features: int = 256,  # random frequencies
    sigma_0: float = 10.0,  # their standard deviation, in cycles per image
) -> nn.Sequential:
    """Return a ReLU network on random Fourier features: drawn as its authors do.

    Weights are Xavier normal, biases N(0, 0.01^2). Their sigmoid at the output is left out, so that all families
    fit the same targets.
    Shapes: (n, n_in) -> (n, n_out).
    Source: arXiv:2006.10739, sec. 6.1 (sigma of 10 for natural images, 256 features) and its demonstration notebook.
    """
    encoding = FourierFeatures(n_in, n_features, sigma_0)
    layers = mlp_model(encoding.n_out, n_out, hidden_features, hidden_layers)
    for linear in (m for m in layers.modules() if isinstance(m, nn.Linear)):
        nn.init.xavier_normal_(linear.weight)
        nn.init.normal_(linear.bias, std=0.01)
    return nn.Sequential(encoding, *layers)
