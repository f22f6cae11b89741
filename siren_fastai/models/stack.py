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
from siren_fastai.models.mlp import DenseLayer
from siren_fastai.models.siren import SineLayer

__all__ = ["Stack", "StackedLinear", "stack_models", "unstack_models"]

STACKABLE = (SineLayer, DenseLayer, nn.Linear)


class _Sine(torch.autograd.Function):
    """The sine, whose backward pass multiplies in place: a pass over the activations less."""

    @staticmethod
    def forward(ctx, phase):
        ctx.save_for_backward(phase)
        return phase.sin()

    @staticmethod
    def backward(ctx, grad):
        (phase,) = ctx.saved_tensors
        return grad * phase.cos() if torch.is_grad_enabled() else phase.cos().mul_(grad)


class StackedLinear(nn.Module):
    """n linear layers, `x[i] W[i]^T + b[i]`, as one batched product.

    weight: (n, n_out, n_in). bias: (n, 1, n_out), or None if no layer has one; where only some have, the others' is 0.
    Shapes: (n, b, n_in) -> (n, b, n_out).
    """

    def __init__(
        self,
        layers: Sequence[nn.Linear],  # of one shape; their weights are copied
    ):
        super().__init__()
        self.weight = nn.Parameter(torch.stack([layer.weight.detach() for layer in layers]))
        biased = [layer.bias is not None for layer in layers]
        zeros = self.weight.new_zeros(self.weight.shape[1])
        biases = [zeros if layer.bias is None else layer.bias.detach() for layer in layers]
        self.bias = nn.Parameter(torch.stack(biases)[:, None]) if any(biased) else None
        mask = self.weight.new_tensor(biased).view(-1, 1, 1)
        self.register_buffer("biased", None if all(biased) or not any(biased) else mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.scaled(x)

    def scaled(
        self,
        x: Tensor,  # (n, b, n_in)
        weight_scale: Tensor | None = None,  # (n, 1, 1), multiplies each layer's weight
        bias_scale: Tensor | None = None,  # (n, 1, 1), multiplies each layer's bias
    ) -> Tensor:
        """The layers' outputs, with weights and biases multiplied by numbers of their own."""
        weight, bias = self.weight, self.bias
        weight = (weight if weight_scale is None else weight * weight_scale).transpose(1, 2)
        if bias is None:
            return torch.bmm(x, weight)
        bias = bias if self.biased is None else bias * self.biased
        return torch.baddbmm(bias if bias_scale is None else bias * bias_scale, x, weight)

    def copy_to_(self, index: int, layer: nn.Linear) -> None:
        """Copy the weights of layer `index` to `layer`."""
        layer.weight.copy_(self.weight[index])
        if layer.bias is not None:
            layer.bias.copy_(self.bias[index, 0])

    def extra_repr(self) -> str:
        n, n_out, n_in = self.weight.shape
        return f"{n} of {n_in} to {n_out}, bias={self.bias is not None}"


class _StackedLayer(nn.Module):
    """Layers that hold a linear one, as `linear`; its parameters have the same names as in one network."""

    def __init__(self, layers: Sequence[nn.Module]):
        super().__init__()
        self.linear = StackedLinear([layer.linear for layer in layers])

    def copy_to_(self, index: int, layer: nn.Module) -> None:
        self.linear.copy_to_(index, layer.linear)


class _StackedSine(_StackedLayer):
    """n sine layers, each with an omega_0 and a gain of its own. A saved state restores them too."""

    def __init__(self, layers: Sequence[SineLayer]):
        super().__init__(layers)
        for name in ("weight_scale", "bias_scale"):
            self.register_buffer(name, self.linear.weight.new_empty(len(layers), 1, 1), persistent=False)
        self.set_extra_state({name: [getattr(m, name) for m in layers] for name in SineLayer.numbers})

    def get_extra_state(self) -> dict[str, list[float]]:
        return {"omega_0": self.omega_0, "gain": self.gain}

    def set_extra_state(self, state: dict[str, list[float]]) -> None:
        self.omega_0, self.gain = list(state["omega_0"]), list(state["gain"])
        scales = [omega_0 * gain for omega_0, gain in zip(self.omega_0, self.gain, strict=True)]
        self.weight_scale.copy_(torch.tensor(scales, dtype=torch.float64).view(-1, 1, 1))
        self.bias_scale.copy_(torch.tensor(self.omega_0, dtype=torch.float64).view(-1, 1, 1))

    def _apply(self, fn, recurse=True):
        super()._apply(fn, recurse)
        self.set_extra_state(self.get_extra_state())  # not rounded twice where the weights become float64
        return self

    def forward(self, x: Tensor) -> Tensor:
        phase = self.linear.scaled(x, self.weight_scale, self.bias_scale)
        return _Sine.apply(phase) if torch.is_grad_enabled() else phase.sin_()

    def copy_to_(self, index: int, layer: SineLayer) -> None:
        super().copy_to_(index, layer)
        layer.omega_0, layer.gain = self.omega_0[index], self.gain[index]


class _StackedDense(_StackedLayer):
    """n linear layers and their activation, which has no weights."""

    def __init__(self, layers: Sequence[DenseLayer]):
        super().__init__(layers)
        self.activation = copy.deepcopy(layers[0].activation)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.linear(x))


class Stack(nn.Sequential):
    """n networks of one shape that are computed together. `stack_models` makes it, `unstack_models` undoes it.

    Parameters have the names of one network's (`0.linear.weight`, ...) and the number of the network as first axis.
    Shapes: (b, d), positions that all networks read, or (b, n, d), positions for each -> (b, n, c).
    """

    def __init__(self, models: Sequence[nn.Module]):
        chains = _checked_chains(models)
        super().__init__(*(_stacked(layers) for layers in zip(*chains, strict=True)))
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


def _stacked(layers: Sequence[nn.Module]) -> nn.Module:
    kinds = {SineLayer: _StackedSine, DenseLayer: _StackedDense, nn.Linear: StackedLinear}
    return kinds[type(layers[0])](layers)


def _chain(model: nn.Module) -> nn.Sequential:
    """The layers of a network, one after the other."""
    return model.net if isinstance(model, Field) else model


def _checked_chains(models: Sequence[nn.Module]) -> list[nn.Sequential]:
    models = list(models)
    if not models:
        raise ValueError("`models` must list at least one network, got none")
    for model in models:
        if not isinstance(_chain(model), nn.Sequential):
            raise TypeError(f"a stack is of networks that are sequences of layers, got {type(model).__name__}")
        strange = [type(layer).__name__ for layer in _chain(model) if type(layer) not in STACKABLE]
        if strange:
            known = ", ".join(kind.__name__ for kind in STACKABLE)
            raise TypeError(f"a stack is of networks whose layers are {known}, got {strange[0]}: fit these one by one")
    first = _form(models[0])
    for index, model in enumerate(models):
        if _form(model) != first:
            raise ValueError(f"a stack is of networks of one shape: number 0 is {first}, number {index} {_form(model)}")
    return [_chain(model) for model in models]


def _form(model: nn.Module) -> list[tuple]:
    """What networks must have in common: the kind and the widths of each layer, and the type of its numbers."""
    forms = []
    for layer in _chain(model):
        linear = getattr(layer, "linear", layer)
        kind = f"{type(layer).__name__}{getattr(layer, 'activation', '')}"
        forms.append((kind, linear.in_features, linear.out_features, str(linear.weight.dtype)))
    return forms
