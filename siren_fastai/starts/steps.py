"""Gradient steps for many images at once, each with weights of its own, that can be differentiated themselves."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

__all__ = ["errors", "take_steps"]


def take_steps(
    model: nn.Module,  # (p, d) -> (p, c); its own weights aren't used
    weights: Mapping[str, Tensor],  # the first ones, by the names of `model`'s parameters, which all images share
    rates: Mapping[str, Tensor],  # (s,) learning rates of each parameter, one for each step; later steps take the last
    coords: Tensor,  # (p, d)
    values: Tensor,  # (n, p, c)
    steps: int,  # 0 or more
) -> dict[str, Tensor]:
    """Return the weights (n, ...) after `steps` steps of gradient descent on each image's mean squared error.

    The result can be differentiated by `weights` and `rates`, through all steps.
    """

    def loss(own: dict[str, Tensor], target: Tensor) -> Tensor:
        return (functional_call(model, own, (coords,)) - target).square().mean()

    gradient = vmap(grad(loss))
    current = {name: weight.expand(len(values), *weight.shape) for name, weight in weights.items()}
    for step in range(steps):
        gradients = gradient(current, values)
        current = {
            name: w - rates[name][min(step, len(rates[name]) - 1)] * gradients[name] for name, w in current.items()
        }
    return current


def errors(
    model: nn.Module,  # as for `take_steps`
    weights: Mapping[str, Tensor],  # (n, ...) each: those of every image
    coords: Tensor,  # (p, d)
    values: Tensor,  # (n, p, c)
    value_range: tuple[float, float] | None = None,  # predictions are clamped to it, as for a PSNR; None leaves them
) -> Tensor:  # (n,)
    """Return the mean squared error of each image."""

    def error(own: dict[str, Tensor], target: Tensor) -> Tensor:
        output = functional_call(model, own, (coords,))
        output = output if value_range is None else output.clamp(*value_range)
        return (output - target).square().mean()

    return vmap(error)(dict(weights), values)


def as_values(
    images: Tensor,  # (n, c, h, w) uint8, or float in [0, 1]
) -> Tensor:  # (n, h * w, c) float32 in [0, 1]
    """Return images as a network's targets, pixels in raster order.

    Raises: TypeError for anything but a tensor of images; ValueError for none, or values outside [0, 1].
    """
    if not isinstance(images, torch.Tensor) or not (images.dtype == torch.uint8 or images.is_floating_point()):
        kind = images.dtype if isinstance(images, torch.Tensor) else type(images).__name__
        raise TypeError(f"`images` must be a tensor (n, c, h, w) of uint8, or of floats in [0, 1], got {kind}")
    if images.dim() != 4 or not images.numel():
        raise ValueError(f"`images` must be (n, c, h, w) with at least one image, got {tuple(images.shape)}")
    values = images.float() / (255 if images.dtype == torch.uint8 else 1)
    low, high = (float(x) for x in values.aminmax())
    if not (low >= 0 and high <= 1):
        raise ValueError(f"`images` of floats must be in [0, 1], got values from {low:g} to {high:g}")
    return values.flatten(2).transpose(1, 2).contiguous()
