"""Scaling the hidden widths of a network that exists already."""

import math

import torch
from torch import nn

from siren_fastai.models.siren import SineLayer, sine_layers

__all__ = ["scale_widths_"]


@torch.no_grad()
def scale_widths_(model: nn.Module, mult: float) -> nn.Module:
    """Multiply every hidden width of a chain of linear layers by `mult`, in place; inputs and outputs stay.

    Sine layers are drawn by the official rule with their own omega_0, other linear layers by PyTorch's default; the
    width is rounded and at least 1. Batch normalisation between the layers is widened too.
    Raises: ValueError for mult <= 0, fewer than two linear layers, or layers that do not follow one another.
    """
    if not mult > 0:
        raise ValueError(f"`mult` must be above 0, got {mult!r}")
    linears = [m for m in model.modules() if isinstance(m, nn.Linear)]
    _check_chain(model, linears)
    widths = [max(1, round(m.out_features * mult)) for m in linears[:-1]]
    _scale_norms_(model, linears, widths)
    for layer, n_in, n_out in zip(linears, [None, *widths], [*widths, None], strict=True):
        layer.in_features, layer.out_features = n_in or layer.in_features, n_out or layer.out_features
        layer.weight = nn.Parameter(layer.weight.new_empty(layer.out_features, layer.in_features))
        if layer.bias is not None:
            layer.bias = nn.Parameter(layer.bias.new_empty(layer.out_features))
        layer.reset_parameters()
    _redraw_sines_(model)
    return model


def _check_chain(model: nn.Module, linears: list[nn.Linear]) -> None:
    if len(linears) < 2:
        raise ValueError(f"`model` needs two linear layers or more to have a hidden width, got {len(linears)}")
    for a, b in zip(linears, linears[1:], strict=False):
        if a.out_features != b.in_features:
            raise ValueError(
                f"`model` must be a chain of linear layers; one gives {a.out_features} values, the next reads "
                f"{b.in_features}. Build the wider network with `scale_widths(dims, mult)` instead"
            )
    known = (nn.Linear, nn.BatchNorm1d, SineLayer)
    for name, module in model.named_modules():
        if any(True for _ in module.parameters(recurse=False)) and not isinstance(module, known):
            raise ValueError(f"`model` must be a chain of linear layers, but {name!r} is a {type(module).__name__}")


def _scale_norms_(model: nn.Module, linears: list[nn.Linear], widths: list[int]) -> None:
    width, wider = None, dict(zip(map(id, linears), widths, strict=False))
    for parent in list(model.modules()):
        for name, module in list(parent.named_children()):
            if isinstance(module, nn.Linear):
                width = wider.get(id(module))
            elif isinstance(module, nn.BatchNorm1d) and width is not None:
                like = module.running_mean if module.running_mean is not None else next(model.parameters())
                fresh = nn.BatchNorm1d(
                    width,
                    module.eps,
                    module.momentum,
                    module.affine,
                    module.track_running_stats,
                    like.device,
                    like.dtype,
                )
                setattr(parent, name, fresh)


def _redraw_sines_(model: nn.Module) -> None:
    for i, layer in enumerate(sine_layers(model)):
        n_in = layer.linear.in_features
        bound = math.sqrt(6 / n_in) / layer.omega_0 if i else 1 / n_in
        nn.init.uniform_(layer.linear.weight, -bound, bound)
    last = list(model.modules())[-1]
    if sine_layers(model) and isinstance(last, nn.Linear):
        bound = math.sqrt(6 / last.in_features) / sine_layers(model)[-1].omega_0
        nn.init.uniform_(last.weight, -bound, bound)
