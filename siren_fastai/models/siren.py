"""SIREN: multi-layer perceptrons with sine activations, `sin(omega_0 * (W x + b))`.

Sources: Sitzmann et al. 2020, arXiv:2006.09661 (sec. 3.2; supplement 1.5) and its official code.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

from siren_fastai.models.layer import NumberedLayer

__all__ = ["Sine", "SineLayer", "check_dims", "is_hooked", "sine_layers", "siren_layer", "siren_model"]


MAX_HIDDEN_OMEGA, HIDDEN_OMEGA = 100.0, 30.0  # the greatest that hidden layers share by default, and else theirs
GLOBAL_HOOKS = (
    torch_module._global_forward_hooks,
    torch_module._global_forward_pre_hooks,
    torch_module._global_backward_hooks,
    torch_module._global_backward_pre_hooks,
)


def _phase(x: Tensor, weight: Tensor, bias: Tensor, omega_0: float) -> Tensor:
    return torch.addmm(bias, x, weight.t(), beta=omega_0, alpha=omega_0)


class _SineLinear(torch.autograd.Function):
    """`sin(omega_0 * (x W^T + b))` with omega_0 inside the matrix product: one pass less forward, two backward."""

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


class Sine(NumberedLayer):
    """The activation `sin(omega_0 * x)`, element by element, for networks that are put together by hand.

    Schemes, `fold_` and the codec work on `SineLayer`, which holds its linear layer too.
    A saved state restores omega_0.
    """

    numbers = ("omega_0",)

    def __init__(
        self,
        omega_0: float = 30.0,  # radians per unit of input
    ):
        super().__init__()
        self.omega_0 = float(omega_0)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(self.omega_0 * x)

    def extra_repr(self) -> str:
        return f"omega_0={self.omega_0:g}"


class SineLayer(NumberedLayer):
    """`sin(omega_0 * (gain * x W^T + b))`: a linear layer and its sine.

    `gain` multiplies the input; it is 1 unless an initialisation scheme asks for coordinates of unit deviation.
    A saved state restores omega_0 and gain too.
    Shapes: (..., n_in) -> (..., n_out).
    """

    numbers = ("omega_0", "gain")

    def __init__(
        self,
        n_in: int,  # inputs
        n_out: int,  # outputs
        omega_0: float = 30.0,  # radians per unit of the linear layer's output
        bias: bool = True,  # whether the linear layer has a bias
    ):
        super().__init__()
        self.linear = nn.Linear(n_in, n_out, bias=bias)
        self.omega_0, self.gain = float(omega_0), 1.0

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.gain == 1.0 else self.gain * x
        if self.fusable(x):
            if not torch.is_grad_enabled():  # nothing is kept: the sine takes the product's place
                return _phase(x, self.linear.weight, self.linear.bias, self.omega_0).sin_()
            return _SineLinear.apply(x, self.linear.weight, self.linear.bias, self.omega_0)[0]
        return torch.sin(self.omega_0 * self.linear(x))

    def phase(self, x: Tensor) -> Tensor:
        """The sine's argument; for layers that are `fusable`."""
        return _phase(x if self.gain == 1.0 else self.gain * x, self.linear.weight, self.linear.bias, self.omega_0)

    def fusable(self, x: Tensor) -> bool:
        """Whether one fused operator gives what `linear` and a sine would.

        Plain operators serve compilers and tracers, mixed precision, which chooses types by operator, and a `linear`
        that does more than multiply: a subclass, or one with hooks.
        """
        linear = self.linear
        if getattr(linear.forward, "__func__", None) is not nn.Linear.forward or is_hooked(linear):
            return False
        plain = x.dim() != 2 or linear.bias is None or x.dtype != linear.weight.dtype
        recorded = torch.compiler.is_compiling() or torch.jit.is_tracing()
        return not (plain or recorded or torch.is_autocast_enabled(x.device.type))

    def extra_repr(self) -> str:
        return f"omega_0={self.omega_0:g}" + (f", gain={self.gain:.4g}" if self.gain != 1.0 else "")


def is_hooked(module: nn.Module) -> bool:
    """Whether a call of `module` runs anything besides `forward`: the test of PyTorch's `Module.__call__`."""
    own = module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    return bool(own) or any(GLOBAL_HOOKS)


def siren_layer(
    n_in: int,  # inputs
    n_out: int,  # outputs
    omega_0: float = 30.0,  # radians per unit of the linear layer's output
    first: bool = False,  # whether it reads the coordinates
    bias: bool = True,  # whether it has a bias
) -> SineLayer:
    """Return a sine layer with the official weights: U(+-1/n_in) if `first`, else U(+-sqrt(6/n_in)/omega_0).

    The bias keeps PyTorch's default, U(+-1/sqrt(n_in)), as in the official code.
    Source: arXiv:2006.09661, supplement 1.5.
    """
    layer = SineLayer(n_in, n_out, omega_0, bias)
    bound = 1 / n_in if first else math.sqrt(6 / n_in) / omega_0
    nn.init.uniform_(layer.linear.weight, -bound, bound)
    return layer


def siren_model(
    dims: Sequence[int],  # every width, from the coordinates' dimension to the number of channels
    omega_0: float = 30.0,  # of the first sine layer
    hidden_omega_0: float | None = None,  # of the other sine layers; None is `omega_0`, or 30 if that is above 100
    bias: bool = True,  # whether the sine layers have biases; a linear output always has one
    final: str = "linear",  # the last layer: "linear" as in the official code, or "sine" as in Siren-fastai2
) -> nn.Sequential:
    """Return a SIREN with layers of the widths `dims`, drawn as in the official code.

    Sound needs an omega_0 in the thousands, of the first layer alone: hidden layers with as much don't train, so they
    get the 30 of the official code's audio experiment. `fast_model` chooses for a signal by its number of samples.
    `siren_model([2, 256, 128, 64, 32, 3])` has 44 099 parameters. They are named `0.linear.weight`, ...,
    `<last>.weight`.
    Shapes: (n, dims[0]) -> (n, dims[-1]).
    Raises: TypeError for `dims` that are not a list; ValueError for fewer than two, widths below 1, omega_0 <= 0 or an
    unknown `final`.
    """
    dims = check_dims(dims)
    if hidden_omega_0 is None:
        hidden_omega_0 = omega_0 if omega_0 <= MAX_HIDDEN_OMEGA else HIDDEN_OMEGA
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


def check_dims(
    dims: Sequence[int],  # widths from input to output
) -> list[int]:
    """Return `dims` as a list. Raises: TypeError unless it is one; ValueError for fewer than two or widths below 1."""
    if isinstance(dims, str) or not isinstance(dims, Sequence):
        raise TypeError(f"`dims` must be a list of widths such as [2, 256, 128, 64, 32, 3], got {dims!r}")
    if len(dims) < 2 or any(not isinstance(n, int) or isinstance(n, bool) or n < 1 for n in dims):
        raise ValueError(f"`dims` must list at least two integer widths of 1 or more, got {list(dims)!r}")
    return list(dims)


def sine_layers(
    model: nn.Module,  # any module
) -> list[SineLayer]:
    """Return the sine layers of `model`, in the order of `modules()`."""
    return [m for m in model.modules() if isinstance(m, SineLayer)]
