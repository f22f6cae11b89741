"""Layers of several networks of one shape, computed together: weights stacked, products batched."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from siren_fastai.models.mlp import DenseLayer
from siren_fastai.models.siren import SineLayer

__all__ = ["STACKED", "StackedDense", "StackedLinear", "StackedSine"]


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


class StackedSine(_StackedLayer):
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


class StackedDense(_StackedLayer):
    """n linear layers and their activation, which has no weights."""

    def __init__(self, layers: Sequence[DenseLayer]):
        super().__init__(layers)
        self.activation = copy.deepcopy(layers[0].activation)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.linear(x))


STACKED = {SineLayer: StackedSine, DenseLayer: StackedDense, nn.Linear: StackedLinear}  # for each kind of layer its own
