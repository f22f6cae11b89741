"""Scaling the hidden widths of a network: of a list of widths, or of a network that exists already."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from siren_fastai.models.siren import SineLayer, check_dims

__all__ = ["scale_widths", "scale_widths_"]


def scale_widths(
    dims: Sequence[int],  # widths from input to output, as `siren_model` takes them
    mult: float,  # above 0
) -> list[int]:
    """Return `dims` with the hidden widths times `mult`, rounded, at least 1; inputs and outputs stay.

    `scale_widths([2, 256, 128, 64, 32, 3], 2)` is `[2, 512, 256, 128, 64, 3]` (174 211 parameters).
    Raises: ValueError for mult <= 0 or widths below 1.
    """
    dims = check_dims(dims)
    if not mult > 0:
        raise ValueError(f"`mult` must be above 0, got {mult!r}")
    return [dims[0], *(max(1, round(n * mult)) for n in dims[1:-1]), dims[-1]]


@torch.no_grad()
def scale_widths_(
    model: nn.Module,  # changed in place: a chain of linear layers, as `siren_model` builds it
    mult: float,  # above 0
) -> nn.Module:  # `model`
    """Multiply every hidden width of a chain of linear layers by `mult`; inputs and outputs stay.

    The layers are drawn again at the scale that they had: weights uniform with the old ones' deviation times
    sqrt(old inputs / new inputs), the rule of the official code, PyTorch and the scheme "fast"; biases uniform with the
    old ones' mean and deviation; the output's bias stays. The first layer's rows, a SIREN's frequencies, keep the law
    of the old ones: each is an old row, mirrored along some axes, with a slightly different length. `apply_init_`
    afterwards draws by a scheme exactly.
    Widths are rounded and at least 1. Batch normalisation between the layers is widened too. What comes before the
    first linear layer, such as embeddings or an encoding of the coordinates, stays as it is.
    Raises: ValueError for mult <= 0, fewer than two linear layers, or layers that do not follow one another.
    """
    if not mult > 0:
        raise ValueError(f"`mult` must be above 0, got {mult!r}")
    linears = [m for m in model.modules() if isinstance(m, nn.Linear)]
    _check_chain(model, linears)
    widths = [max(1, round(m.out_features * mult)) for m in linears[:-1]]
    _scale_norms_(model, linears, widths)
    for layer, n_in, n_out in zip(linears, [None, *widths], [*widths, None], strict=True):
        scale = (layer.in_features / (n_in or layer.in_features)) ** 0.5
        layer.in_features, layer.out_features = n_in or layer.in_features, n_out or layer.out_features
        layer.weight = nn.Parameter(
            _rows_like(layer.weight, layer.out_features)
            if n_in is None
            else scale * _uniform_like(layer.weight, layer.out_features, layer.in_features)
        )
        if layer.bias is not None and n_out:
            layer.bias = nn.Parameter(layer.bias.mean() + _uniform_like(layer.bias, n_out))
    return model


def _rows_like(weight: Tensor, count: int) -> Tensor:
    """New rows by the law of those of `weight`: mirrored along axes by chance, with lengths between neighbouring ones.

    No old row is used again before all are. Shapes: (n, k) -> (count, k).
    """
    lengths, order = weight.norm(dim=1).sort()
    n, like = len(order), dict(device=weight.device)
    ranks = torch.cat([torch.randperm(n, **like) for _ in range(math.ceil(count / n))])[:count]
    places = (ranks + torch.rand(count, **like) - 0.5).clamp(0, n - 1)
    drawn = torch.lerp(lengths[places.floor().long()], lengths[places.ceil().long()], places.frac().to(weight))
    factors = torch.where(lengths[ranks] > 0, drawn / lengths[ranks], 0)
    signs = 1 - 2 * torch.randint(2, (count, weight.shape[1]), **like)
    return weight[order[ranks]] * signs * factors[:, None]


def _uniform_like(values: Tensor, *shape: int) -> Tensor:
    """Random numbers around 0 with the deviation of `values`."""
    return values.new_empty(shape).uniform_(-1, 1) * (3**0.5 * values.std(correction=0))


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
    named = list(model.named_modules())
    first = next(i for i, (_, module) in enumerate(named) if module is linears[0])
    for name, module in named[first:]:
        if any(True for _ in module.parameters(recurse=False)) and not isinstance(module, known):
            raise ValueError(
                f"`model` must be a chain of linear layers after its first one, but {name!r} is a "
                f"{type(module).__name__}. Build the wider network by hand instead"
            )


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
