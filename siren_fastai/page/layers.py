"""A network as plain layers, which the page's shader and its emulation know: `act(weight x + bias)`, one after another.

Every family of `siren_fastai.models` but the value grid is such a chain. What a layer computes besides the matrix
product is named by its steps; complex numbers of WIRE are pairs of neighbouring units.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from siren_fastai.models.encodings import FourierFeatures, PositionalEncoding, RadialBasis
from siren_fastai.models.finer import FinerLayer
from siren_fastai.models.gauss import GaussLayer
from siren_fastai.models.mlp import ACTIVATIONS, DenseLayer
from siren_fastai.models.siren import Sine, SineLayer
from siren_fastai.models.wire import GaborLayer

__all__ = ["Layer", "Step", "layers_of"]

Step = tuple  # the name of a function of `siren_fastai.page.steps`, and its numbers
ADVICE = "`render` draws it as an image of any size"
NAMES = {kind: name for name, (kind, _) in ACTIVATIONS.items()}
ENCODINGS = ("encoding", "radial")  # steps of a layer that reads positions


@dataclass(frozen=True)
class Layer:
    """One layer, in float64. Shapes: weight (n_out, n_in), bias (n_out,).

    steps: what the sum goes through. "radial" stands for `exp(-(bias |x - weight|^2)^2)`, row by row, in its place.
    """

    weight: Tensor
    bias: Tensor
    steps: tuple[Step, ...] = ()


def layers_of(
    net: nn.Module,  # a layer, or a sequence of layers
) -> list[Layer]:
    """Return the layers of a network of any family but the grid.

    Raises: TypeError for a layer that isn't known; ValueError for an encoding that isn't the first layer, an activation
    before any layer, or weights that aren't finite.
    """
    layers: list[Layer] = []
    for module in _flat(net):
        if type(module) in NAMES or type(module) is Sine:
            if not layers:
                raise ValueError(f"the network starts with an activation, {module}, which a page can't draw: {ADVICE}")
            last = layers.pop()
            layers.append(Layer(last.weight, last.bias, (*last.steps, _activation(module))))
            continue
        layer = _translated(module)
        if layers and layer.steps and layer.steps[0][0] in ENCODINGS:
            raise ValueError(f"an encoding of positions must be the first layer, got {module} later: {ADVICE}")
        layers.append(_reordered(layer) if layers and _is_paired(layers[-1]) else layer)
    if not layers:
        raise ValueError("the network has no layers")
    numbers = (number for layer in layers for _, *numbers in layer.steps for number in numbers)
    if not all(map(math.isfinite, numbers)):
        raise ValueError("the network's settings, such as `omega_0`, must be finite")
    if not all(bool(part.isfinite().all()) for layer in layers for part in (layer.weight, layer.bias)):
        raise ValueError("the network's weights hold NaN or infinite values: its training diverged")
    return layers


def _flat(net: nn.Module) -> list[nn.Module]:
    return [m for part in net for m in _flat(part)] if type(net) is nn.Sequential else [net]


def _translated(module: nn.Module) -> Layer:
    translate = TRANSLATIONS.get(type(module))
    if translate is None:
        raise TypeError(
            f"a page can't draw a network with a {type(module).__name__}: it knows sine, dense, Gaussian, FINER and "
            f"WIRE layers and encodings of positions; {ADVICE}"
        )
    return translate(module)


def _affine(linear: nn.Module, steps: tuple[Step, ...] = (), gain: float = 1.0) -> Layer:
    weight = linear.weight.detach().cpu().double()
    bias = weight.new_zeros(len(weight)) if linear.bias is None else linear.bias.detach().cpu().double()
    return Layer(gain * weight, bias, steps)


def _activation(module: nn.Module) -> Step:
    if type(module) is Sine:
        return ("sine", module.omega_0)
    if type(module) not in NAMES or repr(module) != repr(type(module)()):
        raise TypeError(f"a page can't draw the activation {module}: it knows {', '.join(ACTIVATIONS)}; {ADVICE}")
    return (NAMES[type(module)],)


def _gabor(layer: GaborLayer) -> Layer:
    """Rows in pairs: the real and the imaginary part of each unit in turn. Real sums have an imaginary part of 0."""
    step = ("gabor", layer.omega_0, layer.sigma_0)
    if layer.first:
        real = _affine(layer.linear)
        weight, bias = (
            torch.stack([part, torch.zeros_like(part)], 1).flatten(0, 1) for part in (real.weight, real.bias)
        )
        return Layer(weight, bias, (step,))
    (real, imaginary), bias = layer.linear.weight.detach().cpu().double(), layer.linear.bias.detach().cpu().double()
    rows = torch.stack([torch.cat([real, -imaginary], 1), torch.cat([imaginary, real], 1)], 1)
    return Layer(rows.flatten(0, 1), bias.t().flatten(), (step,))


def _positional(encoding: PositionalEncoding) -> Layer:
    """The positions as they are, then the sines, then the cosines as sines a quarter turn later."""
    octaves = math.pi * 2.0 ** torch.arange(len(encoding.octaves), dtype=torch.float64)
    n_in = encoding.n_out // (1 + 2 * len(octaves))
    unit = torch.eye(n_in, dtype=torch.float64)
    waves = (octaves[:, None, None] * unit).flatten(0, 1)
    turn = torch.full((len(waves),), math.pi / 2, dtype=torch.float64)
    weight = torch.cat([unit, waves, waves])
    return Layer(weight, torch.cat([turn.new_zeros(n_in + len(waves)), turn]), (("encoding", n_in),))


def _fourier(encoding: FourierFeatures) -> Layer:
    waves = math.pi * encoding.frequencies.detach().cpu().double()
    phase = waves.sum(1)  # the positions are shifted by 1
    return Layer(torch.cat([waves, waves]), torch.cat([phase + math.pi / 2, phase]), (("sine", 1.0),))


def _radial(encoding: RadialBasis) -> Layer:
    centres, sigmas = encoding.centres.detach().cpu().double(), encoding.sigmas.detach().cpu().double()
    return Layer(centres, sigmas, (("radial",),))


def _is_paired(layer: Layer) -> bool:
    return layer.steps[-1:] != () and layer.steps[-1][0] == "gabor"


def _reordered(layer: Layer) -> Layer:
    """The layer for inputs in pairs, where it had all real parts first."""
    halves = layer.weight.chunk(2, dim=1)
    return Layer(torch.stack(halves, 2).flatten(1), layer.bias, layer.steps)


TRANSLATIONS: dict[type[nn.Module], Callable[[nn.Module], Layer]] = {
    nn.Linear: _affine,
    SineLayer: lambda m: _affine(m.linear, (("sine", m.omega_0),), m.gain),
    DenseLayer: lambda m: _affine(m.linear, (_activation(m.activation),)),
    GaussLayer: lambda m: _affine(m.linear, (("gauss", m.sigma_0),)),
    FinerLayer: lambda m: _affine(m.linear, (("finer", m.omega_0),)),
    GaborLayer: _gabor,
    PositionalEncoding: _positional,
    FourierFeatures: _fourier,
    RadialBasis: _radial,
}
