"""The families of coordinate networks: how each is built, and its settings with their published values.

Each family's file names the source of its activation, initialisation and settings.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from torch import nn

from siren_fastai.models.encodings import fourier_model, nerf_frequencies, nerf_model, rbf_model
from siren_fastai.models.finer import finer_model
from siren_fastai.models.gauss import gauss_model
from siren_fastai.models.grid import grid_model
from siren_fastai.models.mlp import ACTIVATIONS, mixed_model, mlp_model
from siren_fastai.models.siren import siren_model
from siren_fastai.models.wire import wire_model

__all__ = ["FAMILIES", "Family", "settings_of"]


@dataclass(frozen=True)
class Family:
    """One family: `build(n_in=, n_out=, hidden_features=, hidden_layers=, **settings)`, and the settings it takes."""

    build: Callable[..., nn.Sequential]
    settings: dict = field(default_factory=dict)  # names and published values


def _siren(n_in: int, n_out: int, hidden_features: int, hidden_layers: int, **settings) -> nn.Sequential:
    return siren_model([n_in] + [hidden_features] * (hidden_layers + 1) + [n_out], **settings)


def _nerf(sidelength: int | Sequence[int] | None, **sizes: int) -> nn.Sequential:
    return nerf_model(**sizes, n_frequencies=nerf_frequencies(sidelength))


def _rbf(n_features: int, sigma_0: float, **sizes: int) -> nn.Sequential:
    return rbf_model(**sizes, n_centres=n_features, sigma_0=sigma_0)


def _grid(n_in: int, n_out: int, grid_shape: Sequence[int]) -> nn.Sequential:
    return grid_model(grid_shape, n_out)


FAMILIES: dict[str, Family] = {
    "sine": Family(_siren, {"omega_0": 30.0}),
    "siren": Family(_siren, {"omega_0": 30.0}),
    **{activation: Family(partial(mlp_model, activation=activation)) for activation in ACTIVATIONS},
    "nerf": Family(_nerf, {"sidelength": None}),
    "rbf": Family(_rbf, {"n_features": 1024, "sigma_0": 10.0}),
    "mixed": Family(mixed_model, {"omega_0": 30.0}),
    "fourier": Family(fourier_model, {"n_features": 256, "sigma_0": 10.0}),
    "gauss": Family(gauss_model, {"sigma_0": 10.0}),
    "wire": Family(wire_model, {"omega_0": 20.0, "sigma_0": 30.0}),
    "finer": Family(finer_model, {"omega_0": 30.0, "first_bias": None}),
    "grid": Family(_grid, {"grid_shape": None}),
}


def settings_of(
    kind: str,  # a key of `FAMILIES`
    given: dict,  # settings of some families; None stands for the published value
    shared: dict,  # settings that families without them ignore
) -> dict:
    """Return all settings of the family `kind`: the given ones, and the published ones for the rest.

    Raises: ValueError for a setting of another family, omega_0 or sigma_0 not above 0, a negative first_bias.
    """
    published = FAMILIES[kind].settings
    for name, value in given.items():
        if value is not None and name not in published:
            kinds = [k for k, family in FAMILIES.items() if name in family.settings]
            raise ValueError(f"`{name}` is a setting of {', '.join(kinds)}, not of {kind!r}: leave it out")
    values = {**given, **shared}
    settings = {name: default if values.get(name) is None else values[name] for name, default in published.items()}
    for name in ("omega_0", "sigma_0"):
        if name in settings and not settings[name] > 0:
            raise ValueError(f"`{name}` must be above 0, got {settings[name]!r}")
    if (settings.get("first_bias") or 0) < 0:
        raise ValueError(f"`first_bias` must be at least 0, got {settings['first_bias']!r}")
    return settings
