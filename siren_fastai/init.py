"""Drawing the weights of a network by an initialisation scheme, and starting its output at the signal's mean."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from siren_fastai.models.siren import SineLayer, sine_layers
from siren_fastai.schemes import Rule, Scheme, get_scheme
from siren_fastai.starts.files import load_start
from siren_fastai.starts.start import Start, apply_start_, is_start_path

__all__ = ["apply_init_", "center_output_", "init_for_signal_", "output_layer", "scheme_or_start"]

LINE_FREQUENCIES = 90  # rad per unit, at least: up to where the first frequencies reach in one dimension
NYQUIST_SHARE = 0.1  # 33 and 52 dB for chirps up to 4 kHz and 440 Hz at 16 kHz; 0.2 gives 36 and 45


@torch.no_grad()
def apply_init_(
    model: nn.Module,  # changed in place; `unfold_` a folded one first
    scheme: int | str | Path | Scheme | Start,  # number or name in `SCHEMES`, a scheme of your own, a learned start
    generator: torch.Generator | None = None,  # source and device of the random numbers; None is PyTorch's global one
) -> nn.Module:  # `model`
    """Draw every sine layer of `model` and its linear output by `scheme`, and set omega_0 and gain.

    The result depends on the random seed (or `generator`) alone, not on the weights before; no other module changes.
    A generator on the CPU gives the same weights on every device. The output is the last nn.Linear after the sine
    layers, if there is one. A learned start, or the path of its file, draws nothing: see `apply_start_`.

    Raises: ValueError for an unknown scheme, a file that holds no start, a model without sine layers, biases where the
    scheme has none, or (for a scheme that sets omega_0) none where it has some; TypeError for a `generator` of another
    type.
    """
    scheme = scheme_or_start(scheme)
    if isinstance(scheme, Start):
        return apply_start_(model, scheme)
    if not isinstance(generator, torch.Generator | None):
        raise TypeError(f"`generator` must be a torch.Generator, got {generator!r}; torch.Generator().manual_seed(0)?")
    layers, output = _checked_layers(model, scheme)
    for i, layer in enumerate(layers):
        omega_0 = scheme.hidden_omega_0 if i and scheme.hidden_omega_0 is not None else scheme.omega_0
        layer.omega_0 = layer.omega_0 if omega_0 is None else float(omega_0)
        layer.gain = 1.0 if i else float(scheme.gain)
        weight, bias = (scheme.hidden, scheme.hidden_bias) if i else (scheme.first, scheme.first_bias)
        _draw_linear_(layer.linear, weight, bias, layer.omega_0, generator)
    if output is not None:
        _draw_linear_(output, scheme.output, scheme.output_bias, layers[-1].omega_0, generator)
    return model


def scheme_or_start(
    scheme: int | str | Path | Scheme | Start,  # as for `apply_init_`
) -> Scheme | Start:
    """Return what a number, a name or the path of a start's file stands for.

    Raises: as `get_scheme` and `load_start`.
    """
    if isinstance(scheme, Start):
        return scheme
    return load_start(scheme) if is_start_path(scheme) else get_scheme(scheme)


def _checked_layers(model: nn.Module, scheme: Scheme) -> tuple[list[SineLayer], nn.Linear | None]:
    layers, output = sine_layers(model), output_layer(model)
    if not layers:
        found = ", ".join(f"{k} {name}" for name, k in Counter(type(m).__name__ for m in model.modules()).items())
        raise ValueError(f"`model` must have sine layers, as siren_model(...) builds them; found {found}")
    for i, layer in enumerate(layers):
        rule, exists = (scheme.hidden_bias if i else scheme.first_bias), layer.linear.bias is not None
        if exists and rule is None:
            raise ValueError(
                f"the scheme has no biases, but sine layer {i} has one: "
                "build it with siren_model(..., bias=False), ending in a linear layer"
            )
        if not exists and rule is not None and scheme.omega_0 is not None:
            raise ValueError(f"the scheme draws biases, but sine layer {i} has none: build it with bias=True")
    for linear in [*(layer.linear for layer in layers), output]:
        if linear is not None and not isinstance(linear.weight, nn.Parameter):
            raise ValueError(f"the weight of {linear} is computed by a parametrisation: apply the scheme before that")
    return layers, output


def output_layer(
    model: nn.Module,  # any module
) -> nn.Linear | None:
    """Return the last nn.Linear of `model` after its sine layers, in the order of `modules()`, or None without one."""
    inside = {id(layer.linear) for layer in sine_layers(model)}
    linears = [m for m in model.modules() if isinstance(m, nn.Linear)]
    return linears[-1] if linears and id(linears[-1]) not in inside else None


def _draw_linear_(
    linear: nn.Linear, weight: Rule, bias: Rule | None, omega_0: float, generator: torch.Generator | None
) -> None:
    _draw_(linear.weight, weight, weight.size(linear.in_features, omega_0), generator)
    if linear.bias is not None and bias is not None:
        _draw_(linear.bias, bias, bias.size(linear.in_features, omega_0), generator)


def _draw_(tensor: Tensor, rule: Rule, size: float, generator: torch.Generator | None) -> None:
    device = tensor.device if generator is None else generator.device
    dtype = torch.promote_types(tensor.dtype, torch.float32)  # half precision is drawn in float32, then rounded
    if rule.law == "linspace":
        values = torch.linspace(-size, size, len(tensor), dtype=dtype, device=device)
        values = values.view(-1, *[1] * (tensor.dim() - 1))
    elif rule.law in ("ball", "power"):
        values = torch.empty(tensor.shape, dtype=dtype, device=device).normal_(generator=generator)
        length = torch.empty(len(tensor), 1, dtype=dtype, device=device).uniform_(generator=generator)
        length **= 1 / tensor.shape[1] if rule.law == "ball" else rule.exponent
        values *= size * length / values.norm(dim=1, keepdim=True)
    elif rule.law == "normal":
        values = torch.empty(tensor.shape, dtype=dtype, device=device).normal_(0, size, generator=generator)
    else:
        values = torch.empty(tensor.shape, dtype=dtype, device=device).uniform_(-size, size, generator=generator)
    tensor.copy_(values)


def init_for_signal_(
    model: nn.Module,  # changed in place
    scheme: int | str | Scheme,  # as for `apply_init_`
    values: Tensor,  # (..., c) the signal that it will learn
    shape: Sequence[float] | None = None,  # samples of the whole signal along each coordinate; None doesn't follow them
) -> nn.Module:  # `model`
    """`apply_init_`, and for a scheme that says `for_signal`, such as "fast", what follows from the signal.

    The output layer, if there is one, starts at the mean of `values`. The first layer's frequencies follow `shape`:
    - of an image or a volume: along each axis they are proportional to the samples, if the scheme says which number its
      own are for (`first_samples`), since detail of some pixels has higher frequencies where more pixels share [-1, 1].
      With more samples than that (in the geometric mean) they rise no further: the network holds no more detail;
    - in one dimension: uniform up to a tenth of the Nyquist frequency, or to 90 rad per unit if that is more.
    Inputs after the coordinates, such as cluster labels, leave these frequencies as they are: their weights are uniform
    with the coordinates' deviation.

    Raises: as `apply_init_` and `center_output_`.
    """
    scheme = scheme_or_start(scheme)
    if isinstance(scheme, Start) or not scheme.for_signal:
        return apply_init_(model, scheme)
    if shape is not None and len(shape) == 1:
        scheme = replace(scheme, first=_line_rule(shape[0]), first_samples=None)
    apply_init_(model, scheme)
    if shape is not None:
        _draw_further_inputs_(model, scheme.first, len(shape))
        if scheme.first_samples is not None:
            mean = math.prod(shape) ** (1 / len(shape))
            _stretch_first_(model, [n / max(mean, scheme.first_samples) for n in shape])
    return model if output_layer(model) is None else center_output_(model, values)


def _line_rule(n_samples: float) -> Rule:
    """The first layer's rule for a signal in one dimension."""
    nyquist = math.pi * n_samples / 2  # rad per unit
    return Rule("ball", max(LINE_FREQUENCIES, NYQUIST_SHARE * nyquist), per_omega=1)


@torch.no_grad()
def _draw_further_inputs_(model: nn.Module, rule: Rule, d: int) -> None:
    """Draw the first layer anew if it has inputs after the `d` coordinates: the coordinates' weights by themselves."""
    layer = sine_layers(model)[0]
    weight = layer.linear.weight
    if weight.shape[1] > d:
        coords = torch.empty_like(weight[:, :d])
        _draw_(coords, rule, rule.size(d, layer.omega_0), None)
        bound = 3**0.5 * coords.std(correction=0)
        weight.copy_(torch.cat([coords, torch.empty_like(weight[:, d:]).uniform_(-1, 1) * bound], dim=1))


@torch.no_grad()
def _stretch_first_(model: nn.Module, factors: Sequence[float]) -> None:
    """Multiply the first layer's weights of each coordinate; those of further inputs by the geometric mean."""
    weight = sine_layers(model)[0].linear.weight
    others = [math.prod(factors) ** (1 / len(factors))] * (weight.shape[1] - len(factors))
    weight *= weight.new_tensor([*factors, *others])


@torch.no_grad()
def center_output_(
    model: nn.Module,  # changed in place; its output layer is that of `output_layer`
    values: Tensor,  # (..., c) the signal that it will learn
) -> nn.Module:  # `model`
    """Set the output layer's bias to the mean of `values`, so that a fit starts near the signal's mean colour.

    Raises: ValueError if the output layer has no bias or another number of outputs than `values` has channels.
    """
    output = output_layer(model)
    if output is None or output.bias is None or len(output.bias) != values.shape[-1]:
        raise ValueError(
            f"`model` must end in a linear layer with a bias and {values.shape[-1]} outputs, one per channel of "
            f"`values`, got {output}"
        )
    output.bias.copy_(values.reshape(-1, values.shape[-1]).mean(0))
    return model
