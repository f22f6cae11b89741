"""SIREN: multi-layer perceptrons with sine activations, `sin(omega_0 * (W x + b))`.

Sources: Sitzmann et al. 2020, arXiv:2006.09661 (sec. 3.2; supplement 1.5) and its official code.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["Sine", "SineLayer", "siren_layer", "siren_model", "sine_layers", "scale_widths", "fold_", "unfold_"]


def _phase(x: Tensor, weight: Tensor, bias: Tensor, omega_0: float) -> Tensor:
    return torch.addmm(bias, x, weight.t(), beta=omega_0, alpha=omega_0)


class _SineLinear(torch.autograd.Function):
    """`sin(omega_0 * (x W^T + b))` with omega_0 inside the matrix product: one pass less forward, two less backward."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x, weight, bias, omega_0):
        phase = _phase(x, weight, bias, omega_0)
        return phase.sin(), phase

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, weight, bias, ctx.omega_0 = inputs
        ctx.save_for_backward(x, weight, bias, output[1])
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx, grad, _):
        if grad is None:
            return None, None, None, None
        x, weight, bias, phase = ctx.saved_tensors
        omega_0, (needs_x, needs_weight, needs_bias, _) = ctx.omega_0, ctx.needs_input_grad
        if torch.is_grad_enabled():  # create_graph=True: from the inputs again, so that it is differentiable again
            grad = grad * torch.cos(omega_0 * (x @ weight.t() + bias))
        else:
            grad = phase.cos().mul_(grad)
        return (
            grad @ (omega_0 * weight) if needs_x else None,
            omega_0 * (grad.t() @ x) if needs_weight else None,
            omega_0 * grad.sum(0) if needs_bias else None,
            None,
        )


class Sine(nn.Module):
    """The activation `sin(omega_0 * x)`, element by element; `omega_0` in radians per unit of input."""

    def __init__(self, omega_0: float = 30.0):
        super().__init__()
        self.omega_0 = float(omega_0)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(self.omega_0 * x)

    def extra_repr(self) -> str:
        return f"omega_0={self.omega_0:g}"


class SineLayer(nn.Module):
    """`sin(omega_0 * (gain * x W^T + b))`: a linear layer and its sine.

    `gain` multiplies the input; it is 1 unless an initialisation scheme asks for coordinates of unit deviation.
    Shapes: (..., n_in) -> (..., n_out).
    """

    def __init__(self, n_in: int, n_out: int, omega_0: float = 30.0, bias: bool = True):
        super().__init__()
        self.linear = nn.Linear(n_in, n_out, bias=bias)
        self.omega_0, self.gain = float(omega_0), 1.0

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.gain == 1.0 else self.gain * x
        if self._fusable(x):
            if not torch.is_grad_enabled():  # nothing is kept: the sine takes the product's place
                return _phase(x, self.linear.weight, self.linear.bias, self.omega_0).sin_()
            return _SineLinear.apply(x, self.linear.weight, self.linear.bias, self.omega_0)[0]
        return torch.sin(self.omega_0 * self.linear(x))

    def _fusable(self, x: Tensor) -> bool:
        """Plain operators serve compilers, hooks on `linear`, and mixed precision, which chooses types by operator."""
        linear = self.linear
        hooked = linear._forward_hooks or linear._forward_pre_hooks or torch.compiler.is_compiling()
        plain = x.dim() != 2 or linear.bias is None or x.dtype != linear.weight.dtype
        return not (hooked or plain or torch.is_autocast_enabled(x.device.type))

    def extra_repr(self) -> str:
        return f"omega_0={self.omega_0:g}" + (f", gain={self.gain:.4g}" if self.gain != 1.0 else "")


def siren_layer(n_in: int, n_out: int, omega_0: float = 30.0, first: bool = False, bias: bool = True) -> SineLayer:
    """A sine layer with the official weights: U(+-1/n_in) if `first`, else U(+-sqrt(6/n_in)/omega_0).

    The bias keeps PyTorch's default, U(+-1/sqrt(n_in)), as in the official code. Source: supplement 1.5.
    """
    layer = SineLayer(n_in, n_out, omega_0, bias)
    bound = 1 / n_in if first else math.sqrt(6 / n_in) / omega_0
    nn.init.uniform_(layer.linear.weight, -bound, bound)
    return layer


def siren_model(
    dims: Sequence[int],
    omega_0: float = 30.0,
    hidden_omega_0: float | None = None,
    bias: bool = True,
    final: str = "linear",
) -> nn.Sequential:
    """A SIREN whose layers have the widths `dims`, from the coordinates' dimension to the number of channels.

    `siren_model([2, 256, 128, 64, 32, 3])` has 44 099 parameters. `omega_0` is that of the first layer and, unless
    `hidden_omega_0` is given, of the others. `bias=False`: no biases in sine layers (the output keeps its own).
    `final="sine"` ends in a sine as Siren-fastai2 does, `"linear"` in a linear layer as the official code does.

    Shapes: (n, dims[0]) -> (n, dims[-1]). Parameters are named `0.linear.weight`, ..., `<last>.weight`.
    Raises: ValueError for fewer than two dims, widths below 1, omega_0 <= 0 or an unknown `final`.
    """
    dims = _checked_dims(dims)
    hidden_omega_0 = omega_0 if hidden_omega_0 is None else hidden_omega_0
    if not (omega_0 > 0 and hidden_omega_0 > 0):
        raise ValueError(f"`omega_0` and `hidden_omega_0` must be above 0, got {omega_0!r} and {hidden_omega_0!r}")
    if final not in ("linear", "sine"):
        raise ValueError(f"`final` must be 'linear' or 'sine', got {final!r}")
    layers: list[nn.Module] = [
        siren_layer(n_in, n_out, hidden_omega_0 if i else omega_0, first=i == 0, bias=bias)
        for i, (n_in, n_out) in enumerate(zip(dims[:-2], dims[1:-1], strict=True))
    ]
    last_omega_0 = hidden_omega_0 if layers else omega_0
    if final == "sine":
        return nn.Sequential(*layers, siren_layer(*dims[-2:], last_omega_0, first=not layers))
    output = nn.Linear(*dims[-2:])
    bound = math.sqrt(6 / dims[-2]) / last_omega_0
    nn.init.uniform_(output.weight, -bound, bound)
    return nn.Sequential(*layers, output)


def _checked_dims(dims: Sequence[int]) -> list[int]:
    if isinstance(dims, str) or not isinstance(dims, Sequence):
        raise TypeError(f"`dims` must be a list of widths such as [2, 256, 128, 64, 32, 3], got {dims!r}")
    if len(dims) < 2 or any(not isinstance(n, int) or isinstance(n, bool) or n < 1 for n in dims):
        raise ValueError(f"`dims` must list at least two whole widths of 1 or more, got {list(dims)!r}")
    return list(dims)


def sine_layers(model: nn.Module) -> list[SineLayer]:
    """The sine layers of `model`, in forward order."""
    return [m for m in model.modules() if isinstance(m, SineLayer)]


def scale_widths(dims: Sequence[int], mult: float) -> list[int]:
    """The hidden widths of `dims` times `mult`, rounded, at least 1; inputs and outputs stay.

    `scale_widths([2, 256, 128, 64, 32, 3], 2)` is `[2, 512, 256, 128, 64, 3]` (174 211 parameters).
    """
    dims = _checked_dims(dims)
    if not mult > 0:
        raise ValueError(f"`mult` must be above 0, got {mult!r}")
    return [dims[0], *(max(1, round(n * mult)) for n in dims[1:-1]), dims[-1]]


@torch.no_grad()
def fold_(model: nn.Module) -> nn.Module:
    """Move omega_0 (and gain) of every sine layer into its weights: the same function, with omega_0 = 1.

    Training differs afterwards: an Adam step of lr in the folded weight is one of lr/omega_0 in the plain one.
    """
    for layer in sine_layers(model):
        _rescale_(layer, layer.omega_0 * layer.gain, layer.omega_0)
        layer.omega_0, layer.gain = 1.0, 1.0
    return model


@torch.no_grad()
def unfold_(model: nn.Module, omega_0: float = 30.0) -> nn.Module:
    """The inverse of `fold_`: rewrite every sine layer with this `omega_0` and gain 1, the same function."""
    if not omega_0 > 0:
        raise ValueError(f"`omega_0` must be above 0, got {omega_0!r}")
    for layer in sine_layers(model):
        _rescale_(layer, layer.omega_0 * layer.gain / omega_0, layer.omega_0 / omega_0)
        layer.omega_0, layer.gain = float(omega_0), 1.0
    return model


def _rescale_(layer: SineLayer, weight: float, bias: float) -> None:
    layer.linear.weight.mul_(weight)
    if layer.linear.bias is not None:
        layer.linear.bias.mul_(bias)
