"""Many coordinate networks of one shape as one module: their weights stacked, their products batched.

A small network leaves a graphics card idle: its kernels are too short. n of them in one stack take as many kernels as
one does, each n times as long. Every network is computed from its own slice alone, so that one that diverges leaves the
others as they are.
"""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from siren_fastai.models.field import Field
from siren_fastai.models.stacked_layers import STACKED

__all__ = ["Stack", "stack_models", "unstack_models"]


class Stack(nn.Sequential):
    """n networks of one shape that are computed together. `stack_models` makes it, `unstack_models` undoes it.

    Parameters have the names of one network's (`0.linear.weight`, ...) and the number of the network as first axis.
    Shapes: (b, d), positions that all networks read, or (b, n, d), positions for each -> (b, n, c).
    """

    def __init__(self, models: Sequence[nn.Module]):
        chains = _checked_chains(models)
        super().__init__(*(STACKED[type(layers[0])](layers) for layers in zip(*chains, strict=True)))
        self.shells = [copy.deepcopy(model).to("meta") for model in models]  # the networks without weights

    @property
    def n_models(self) -> int:
        return len(self.shells)

    @torch.no_grad()
    def network(self, index: int) -> nn.Module:
        """One network, of the kind that was stacked, with copies of its present weights."""
        model = copy.deepcopy(self.shells[index]).to_empty(device=next(self.parameters()).device)
        for stacked, layer in zip(self, _chain(model), strict=True):
            stacked.copy_to_(index, layer)
        return model

    def forward(self, coords: Tensor) -> Tensor:
        if coords.dim() not in (2, 3) or (coords.dim() == 3 and coords.shape[1] != self.n_models):
            raise ValueError(
                f"expected positions (b, d) for all networks or (b, {self.n_models}, d), got {tuple(coords.shape)}"
            )
        x = coords.expand(self.n_models, -1, -1) if coords.dim() == 2 else coords.transpose(0, 1)
        return super().forward(x).transpose(0, 1)


def stack_models(
    models: Sequence[nn.Module],  # of `siren_model`, `mlp_model`, or a `field_model` of these; at least one
) -> Stack:
    """Return networks of one shape as one module, which holds copies of their weights.

    Each keeps its own omega_0 and gain; some may lack the biases that others have. A stack of float64 networks computes
    in float64.
    Raises: ValueError for no network, or networks that aren't alike; TypeError for layers that don't stack: those that
    do are `SineLayer`, `DenseLayer` and `nn.Linear`.
    """
    return Stack(models)


def unstack_models(
    stack: Stack,  # stays as it is
) -> list[nn.Module]:
    """Return the networks of a stack, each of the kind that was stacked, with copies of their present weights."""
    return [stack.network(index) for index in range(stack.n_models)]


def _chain(model: nn.Module) -> nn.Sequential:
    """The layers of a network, one after the other."""
    return model.net if isinstance(model, Field) else model


def _checked_chains(models: Sequence[nn.Module]) -> list[nn.Sequential]:
    models = list(models)
    if not models:
        raise ValueError("`models` must list at least one network, got none")
    for model in models:
        if type(_chain(model)) is not nn.Sequential:
            raise TypeError(f"a stack is of networks that are plain sequences of layers, got {type(model).__name__}")
        for layer in _chain(model):
            _check_layer(layer)
    first = _form(models[0])
    for index, model in enumerate(models):
        if _form(model) != first:
            raise ValueError(f"a stack is of networks of one shape: number 0 is {first}, number {index} {_form(model)}")
    return [_chain(model) for model in models]


def _check_layer(layer: nn.Module) -> None:
    """Raise TypeError for a layer that computes anything else than its stacked form would."""
    known = ", ".join(kind.__name__ for kind in STACKED)
    for part, kinds in ((layer, STACKED), (getattr(layer, "linear", layer), (nn.Linear,))):
        if type(part) not in kinds:
            name = type(part).__name__
            raise TypeError(f"a stack is of networks whose layers are {known}, got {name}: fit these one by one")


def _form(model: nn.Module) -> list[tuple]:
    """What networks must have in common: the kind and the widths of each layer, and the type of its numbers."""
    forms = []
    for layer in _chain(model):
        linear = getattr(layer, "linear", layer)
        kind = f"{type(layer).__name__}{getattr(layer, 'activation', '')}"
        forms.append((kind, linear.in_features, linear.out_features, str(linear.weight.dtype)))
    return forms
