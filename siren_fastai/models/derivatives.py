"""Derivatives of a network by its coordinates, as modules: fit them, and the network is what has these derivatives.

They are exact for every network, and can be trained: automatic differentiation, and for plain SIRENs the chain rule.
Source: Sitzmann et al. 2020, arXiv:2006.09661, sec. 4.1 (images from gradients and Laplacians).
"""

import torch
from torch import Tensor, nn

from siren_fastai.models.chain_rule import has_written_slopes, written_slopes
from siren_fastai.models.finer import FinerLayer

__all__ = ["GradientOf", "LaplacianOf", "check_slopes", "derivative", "differentiable"]


class GradientOf(nn.Module):
    """The derivatives of `network` by each of its d inputs, in values per unit of the coordinates.

    They are computed without gradients too (`torch.no_grad`, validation, `render`) and in `torch.inference_mode`. A
    derivative of this one, `GradientOf(GradientOf(network))`, is the Hessian.
    Each row must depend on its own input only, so batch norm in training mode gives wrong derivatives.
    Shapes: (n, d) -> (n, c * d), the d derivatives of channel 0 first; `.view(n, c, d)` splits them.
    Raises: ValueError for FINER layers that leave a factor out of their gradient; set their `scale_gradient`.
    """

    def __init__(
        self,
        network: nn.Module,  # maps coordinates (n, d) to values (n, c)
    ):
        super().__init__()
        check_slopes(network)
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        _check_coords(x)
        if has_written_slopes(self.network, x):
            return written_slopes(self.network, x)
        kept = torch.is_grad_enabled()
        with torch.inference_mode(False), torch.enable_grad():
            x = differentiable(x, kept)
            values = self.network(x)
            if values.dim() != 2:
                raise ValueError(f"`network` must give values (n, c), got shape {tuple(values.shape)}")
            parts = [derivative(values[:, k], x, kept, last=k == values.shape[1] - 1) for k in range(values.shape[1])]
            return torch.cat(parts, dim=1)


class LaplacianOf(nn.Module):
    """The sum over the d inputs of the second derivatives of `network`, for each channel.

    It is computed without gradients too, as `GradientOf` is, and costs c * d + c backward passes.
    Shapes: (n, d) -> (n, c).
    Raises: as `GradientOf`.
    """

    def __init__(
        self,
        network: nn.Module,  # maps coordinates (n, d) to values (n, c), twice differentiable
    ):
        super().__init__()
        check_slopes(network)
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        _check_coords(x)
        kept = torch.is_grad_enabled()
        with torch.inference_mode(False), torch.enable_grad():
            x = differentiable(x, kept)
            slopes = GradientOf(self.network)(x)
            d, last = x.shape[1], slopes.shape[1] - 1
            curvatures = [derivative(slopes[:, k], x, kept, last=k == last)[:, k % d] for k in range(last + 1)]
            return torch.stack(curvatures, dim=1).view(len(x), (last + 1) // d, d).sum(2)


def check_slopes(network: nn.Module) -> None:
    """Raise ValueError if a network has FINER layers that leave a factor out of their gradient."""
    if any(isinstance(layer, FinerLayer) and not layer.scale_gradient for layer in network.modules()):
        raise ValueError(
            "FINER's layers leave the factor |z| + 1 out of their gradient, so that it isn't the network's slope: "
            "set `layer.scale_gradient = True`, or `finer_model(..., scale_gradient=True)`"
        )


def _check_coords(x: Tensor) -> None:
    if x.dim() != 2 or not x.is_floating_point():
        raise ValueError(f"coordinates must be floats (n, d), got {x.dtype} of shape {tuple(x.shape)}")


def differentiable(
    x: Tensor,  # coordinates (n, d)
    kept: bool,  # whether gradients are on
) -> Tensor:
    """Coordinates to differentiate by: `x` itself where it is a part of a graph that goes on, else a copy."""
    if kept and x.requires_grad:
        return x
    return (x.clone() if x.is_inference() else x.detach()).requires_grad_()


def derivative(
    values: Tensor,  # (n,), computed from `x`
    x: Tensor,  # (n, d), of `differentiable`
    kept: bool,  # makes the derivatives differentiable
    last: bool = True,  # frees the graph, unless it is kept
) -> Tensor:  # (n, d)
    """The derivatives of `values` by `x`, each of its own row."""
    if not values.requires_grad:  # constant: the slope of a linear network with frozen weights
        return torch.zeros_like(x)
    return torch.autograd.grad(
        values.sum(), x, create_graph=kept, retain_graph=kept or not last, allow_unused=True, materialize_grads=True
    )[0]
