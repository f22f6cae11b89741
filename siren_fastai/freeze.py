"""Freezing parameters, chosen by a pattern of their names or by the number of their layer.

A frozen parameter has `requires_grad` False *and* `grad` None: optimisers skip a parameter only when its `grad` is
None; with a gradient of zero, momentum and weight decay would still move it.
"""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from numbers import Integral

from torch import Tensor, nn

__all__ = ["freeze_", "match_parameters", "unfreeze_"]

Patterns = str | int | Iterable[str | int]


def match_parameters(
    model: nn.Module,
    patterns: Patterns,  # globs over `named_parameters()`, such as '0.*' or '*.bias', or layer numbers; one or many
) -> dict[str, nn.Parameter]:  # by name, in the model's order
    """The parameters of `model` that match any of `patterns`.

    A layer number chooses the parameters of `model[i]` (-1 is the last). A wrapper around one module is looked into;
    elsewhere the children are counted. Shared parameters are found under each of their names.
    Raises: ValueError for no pattern or one that matches nothing; TypeError for anything but strings and integers.
    """
    parameters = dict(model.named_parameters(remove_duplicate=False))
    matched = set()
    for pattern in _as_list(patterns):
        if isinstance(pattern, str):
            found = {name for name in parameters if fnmatchcase(name, pattern)}
        else:
            ids = {id(p) for p in _layer(model, pattern).parameters()}
            found = {name for name, p in parameters.items() if id(p) in ids}
        if not found:
            raise ValueError(f"`patterns`: {pattern!r} matches no parameter; names are {list(parameters)}")
        matched |= found
    return {name: p for name, p in parameters.items() if name in matched}


def _as_list(patterns: Patterns) -> list[str | int]:
    listed = list(patterns) if isinstance(patterns, Iterable) and not isinstance(patterns, str) else [patterns]
    for pattern in listed:
        if isinstance(pattern, bool) or not isinstance(pattern, (str, Integral)):
            raise TypeError(f"`patterns` must be names such as '0.*' or layer numbers such as 0, got {pattern!r}")
    if not listed:
        raise ValueError(f"`patterns` must hold at least one name or layer number, got {patterns!r}")
    return listed


def _layer(model: nn.Module, index: int) -> nn.Module:
    layers = _layers(model)
    while len(layers) == 1 and _layers(layers[0]):  # a wrapper: compiled, parallel, or a class around one Sequential
        layers = _layers(layers[0])
    if not -len(layers) <= index < len(layers):
        raise ValueError(f"`patterns`: there is no layer {index}; the model has {len(layers)}, counted from 0")
    return layers[index]


def _layers(module: nn.Module) -> list[nn.Module]:
    return list(module) if isinstance(module, (nn.Sequential, nn.ModuleList)) else list(module.children())


def freeze_(
    model: nn.Module,
    patterns: Patterns,  # as for `match_parameters`
) -> list[nn.Parameter]:  # those that were trainable, for `unfreeze_`
    """Freeze the parameters that match `patterns`.

    They stay bit-identical under optimisers that treat each parameter separately. One with memory across parameters
    (L-BFGS, Lookahead's slow weights) can move them once more: clear its state.
    Raises: as `match_parameters`; then nothing was frozen.
    """
    matched = {id(p): p for p in match_parameters(model, patterns).values()}.values()
    frozen = [p for p in matched if p.requires_grad]
    for parameter in matched:
        parameter.requires_grad_(False).grad = None
    return frozen


def unfreeze_(
    parameters: nn.Module | Tensor | Iterable[nn.Parameter],  # what `freeze_` returned, or a model for all of its own
) -> list[nn.Parameter]:  # those that were frozen
    """Make parameters trainable.

    Raises: TypeError for anything but a module or parameters.
    """
    if isinstance(parameters, nn.Module):
        parameters = [p for p in parameters.parameters() if p.is_floating_point() or p.is_complex()]
    parameters = [parameters] if isinstance(parameters, (Tensor, str)) else list(parameters)
    for parameter in parameters:
        if not isinstance(parameter, Tensor):
            raise TypeError(f"`parameters` must be a module or what freeze_() returned, got {parameter!r}")
    freed = [p for p in parameters if not p.requires_grad]
    for parameter in freed:
        parameter.requires_grad_(True)
    return freed
