"""A learned start: a network's first weights and the rates of its first steps, and what they were learned from."""

import os
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from siren_fastai.models.describe import build_model
from siren_fastai.models.field import Field
from siren_fastai.models.siren import sine_layers

__all__ = ["START_SUFFIX", "Start", "apply_start_", "is_start_path", "weights_of"]

START_SUFFIX = ".safetensors"


@dataclass(frozen=True, eq=False, repr=False)
class Start:
    """Weights from which images of one family take few steps, and the rates of those steps.

    `weights` and `rates` have the names of the network's parameters (`0.linear.weight`, ...). A rate is that of plain
    gradient descent on the mean squared error of a whole image, with values in [0, 1]; later steps take the last one.
    """

    weights: dict[str, Tensor]
    rates: dict[str, Tensor]  # (steps,) for each parameter
    model: dict  # the network, as `describe_model` describes it
    sines: tuple[tuple[float, float], ...]  # omega_0 and gain of each sine layer
    size: tuple[int, int]  # (height, width) of the images
    family: str = ""  # what the images are
    about: dict = field(default_factory=dict)  # how it was learned: plain values

    @property
    def steps(self) -> int:
        """How many steps it was learned for."""
        return len(next(iter(self.rates.values())))

    def network(self) -> nn.Module:
        """A new network with these weights."""
        with torch.random.fork_rng(devices=[]):
            return apply_start_(build_model(self.model), self)

    def __repr__(self) -> str:
        height, width = self.size
        shapes = ", ".join("x".join(map(str, weight.shape)) for weight in self.weights.values() if weight.dim() > 1)
        return f"a start for {self.family or 'images'} of {height}x{width}, for a network with weights of {shapes}"


def is_start_path(
    scheme: object,  # what a user gave as a scheme
) -> bool:
    """Whether it names a start's file: any path object, or a string that ends in .safetensors."""
    return isinstance(scheme, os.PathLike) or (isinstance(scheme, str) and scheme.endswith(START_SUFFIX))


def weights_of(
    model: nn.Module,  # of `siren_model`, or a `Field`, whose weights have the same names without "net."
) -> dict[str, nn.Parameter]:
    """Return the parameters by the names that a start has for them."""
    return dict((model.net if isinstance(model, Field) else model).named_parameters())


@torch.no_grad()
def apply_start_(
    model: nn.Module,  # changed in place
    start: Start,
) -> nn.Module:  # `model`
    """Give `model` the weights of a start, and its sine layers their omega_0 and gain.

    Raises: ValueError for a network of other layers; nothing is changed then.
    """
    own, layers = weights_of(model), sine_layers(model)
    found, needed = ({name: tuple(w.shape) for name, w in each.items()} for each in (own, start.weights))
    if found != needed or len(layers) != len(start.sines):
        names = [name for name in {**needed, **found} if needed.get(name) != found.get(name)]
        where = f": {names[0]} is {found.get(names[0], 'missing')}, not {needed.get(names[0])}" if names else ""
        raise ValueError(f"this is {start}; `model` has other layers{where}. `start.network()` builds one that fits")
    for name, weight in own.items():
        weight.copy_(start.weights[name])
    for layer, (omega_0, gain) in zip(layers, start.sines, strict=True):
        layer.omega_0, layer.gain = omega_0, gain
    return model
