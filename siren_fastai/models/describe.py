"""A network as plain values: what a file must say to rebuild its layers. The weights are stored separately.

A `Field` is its `config`. Anything else is `{"layer": name, ...}`, nested as the modules are: sequences, a network with
features, one network per cluster, and the layers of every family of networks here.
"""

from collections.abc import Callable

import torch
from torch import nn

from siren_fastai.models.cluster_networks import ClusterNetworks
from siren_fastai.models.encodings import FourierFeatures, PositionalEncoding, RadialBasis
from siren_fastai.models.features import FeatureInput
from siren_fastai.models.field import Field, field_model
from siren_fastai.models.finer import FinerLayer
from siren_fastai.models.gauss import GaussLayer
from siren_fastai.models.grid import ValueGrid
from siren_fastai.models.mlp import ACTIVATIONS, DenseLayer
from siren_fastai.models.siren import Sine, SineLayer
from siren_fastai.models.wire import GaborLayer

__all__ = ["build_model", "describe_model", "shapes_of"]

MAX_DEPTH = 4  # of modules in modules; a network of clusters with features has 3


def _linear(layer: nn.Linear) -> dict:
    return {"n_in": layer.in_features, "n_out": layer.out_features, "bias": layer.bias is not None}


def _width(layer: nn.Module) -> dict:
    return {"n_in": layer.linear.in_features, "n_out": layer.linear.out_features}


def _gabor(layer: GaborLayer) -> dict:
    n_out, n_in = layer.linear.weight.shape[-2:]
    return {"n_in": n_in, "n_out": n_out, "omega_0": layer.omega_0, "sigma_0": layer.sigma_0, "first": layer.first}


def _dense(layer: DenseLayer) -> dict:
    return {**_width(layer), "activation": _activation_name(layer.activation)}


def _dense_layer(n_in: int, n_out: int, activation: str) -> DenseLayer:
    return DenseLayer(n_in, n_out, _activation(activation))


# name: (type, how a layer is described, what builds it from that)
LAYERS: dict[str, tuple[type[nn.Module], Callable, Callable]] = {
    "linear": (nn.Linear, _linear, lambda n_in, n_out, bias: nn.Linear(n_in, n_out, bias)),
    "sine_layer": (SineLayer, lambda m: _linear(m.linear), lambda n_in, n_out, bias: SineLayer(n_in, n_out, bias=bias)),
    "sine": (Sine, lambda m: {"omega_0": m.omega_0}, Sine),
    "dense_layer": (DenseLayer, _dense, _dense_layer),
    "gauss_layer": (GaussLayer, lambda m: {**_width(m), "sigma_0": m.sigma_0}, GaussLayer),
    "finer_layer": (
        FinerLayer,
        lambda m: {**_width(m), "omega_0": m.omega_0, "scale_gradient": m.scale_gradient},
        FinerLayer,
    ),
    "gabor_layer": (GaborLayer, _gabor, GaborLayer),
    "positional_encoding": (
        PositionalEncoding,
        lambda m: {"n_in": m.n_out // (1 + 2 * len(m.octaves)), "n_frequencies": len(m.octaves)},
        PositionalEncoding,
    ),
    "fourier_features": (
        FourierFeatures,
        lambda m: dict(zip(("n_features", "n_in"), m.frequencies.shape, strict=True)),
        FourierFeatures,
    ),
    "radial_basis": (
        RadialBasis,
        lambda m: dict(zip(("n_centres", "n_in"), m.centres.shape, strict=True)),
        RadialBasis,
    ),
    "value_grid": (ValueGrid, lambda m: {"shape": list(m.shape), "n_out": m.values.shape[-1]}, ValueGrid),
}


def describe_model(
    model: nn.Module,
) -> dict:
    """Return plain values from which `build_model` rebuilds the layers of `model`, without the weights.

    The omega_0 and gain of sine layers are not in it: `sine_layers` finds them.
    Raises: TypeError for a module that is none of this library's layers, `nn.Linear` or a common activation.
    """
    if isinstance(model, Field):
        return _describe_field(model)
    if isinstance(model, FeatureInput):
        name = "cluster_networks" if isinstance(model, ClusterNetworks) else "features"
        return {"layer": name, "shape": list(model.features.shape), "layers": [describe_model(m) for m in model]}
    if type(model) is nn.Sequential:
        return {"layer": "sequential", "layers": [describe_model(m) for m in model]}
    for name, (kind, describe, _) in LAYERS.items():
        if type(model) is kind:
            return {"layer": name, **describe(model)}
    return {"layer": "activation", "name": _activation_name(model)}


def build_model(
    description: dict,  # of `describe_model`, perhaps through JSON
    depth: int = MAX_DEPTH,
) -> nn.Module:
    """Return a network with the layers of `description`; its weights are drawn, or empty, and wait for others.

    Raises: ValueError or TypeError for a description of another form.
    """
    if not isinstance(description, dict) or depth < 0:
        raise ValueError(f"`model` must be the description of a network, got {description!r:.80}")
    if "layer" not in description:
        return _build_field(description)
    settings = dict(description)
    name = settings.pop("layer")
    if name in LAYERS:
        return _build_layer(name, settings)
    if name == "activation":
        return _activation(settings["name"])
    if name == "edited_field":
        return Field(build_model(settings["net"], depth - 1), dict(settings["config"]))
    layers = [build_model(layer, depth - 1) for layer in settings["layers"]]
    if name == "sequential":
        return nn.Sequential(*layers)
    shape = _checked_shape(settings["shape"])
    if name == "features":
        return FeatureInput(nn.Sequential(*layers), torch.empty(shape))
    if name == "cluster_networks":
        return ClusterNetworks(layers, torch.empty(shape[:-1], dtype=torch.int64))
    raise ValueError(f"`model` has a layer of an unknown kind {name!r:.40}")


def shapes_of(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor in the state dict."""
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def _describe_field(model: Field) -> dict:
    """Its `config`, unless the layers were changed after it was built, as `ScaleWidths` does."""
    with torch.device("meta"):
        built = field_model(**model.config)
    if shapes_of(built) == shapes_of(model):
        return dict(model.config)
    return {"layer": "edited_field", "config": dict(model.config), "net": describe_model(model.net)}


def _build_field(config: dict) -> Field:
    if config.get("n_parameters") is not None:
        raise ValueError("`model` must be the settings of a network, without `n_parameters`")
    return field_model(**config)


def _build_layer(name: str, settings: dict) -> nn.Module:
    if "shape" in settings:
        settings["shape"] = _checked_shape(settings["shape"])
    for key, value in settings.items():
        if key.startswith("n_") and (type(value) is not int or value < 1) and key != "n_frequencies":
            raise ValueError(f"`{key}` of a layer must be an integer of 1 or more, got {value!r:.40}")
    if name == "positional_encoding" and not 0 <= settings["n_frequencies"] <= 64:
        raise ValueError(f"`n_frequencies` must be from 0 to 64, got {settings['n_frequencies']!r:.40}")
    return LAYERS[name][2](**settings)


def _checked_shape(shape: list) -> tuple[int, ...]:
    if not isinstance(shape, list) or not 1 <= len(shape) <= 9 or any(type(n) is not int or n < 1 for n in shape):
        raise ValueError(f"the shape of a layer must be up to 9 integers of 1 or more, got {shape!r:.80}")
    return tuple(shape)


def _activation_name(module: nn.Module) -> str:
    for name, (kind, _) in ACTIVATIONS.items():
        if type(module) is kind and repr(module) == repr(kind()):
            return name
    raise TypeError(
        f"a network with a {type(module).__name__} cannot be described in a file without code: use the layers of "
        "`siren_fastai.models`, `nn.Linear` and plain activations, or `learn.export`, which writes a pickle"
    )


def _activation(name: str) -> nn.Module:
    if name not in ACTIVATIONS:
        raise ValueError(f"an activation must be one of {', '.join(ACTIVATIONS)}, got {name!r:.40}")
    return ACTIVATIONS[name][0]()
