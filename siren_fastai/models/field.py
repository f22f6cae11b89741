"""One builder for every family of coordinate networks: `field_model(kind, ...)`.

Each family's file names the source of its activation, initialisation and published settings. Where a setting is not
given here, the published one holds: omega_0 is 30 (sine, mixed, finer) or 20 (wire), sigma_0 is 30 (wire) or 10 (gauss,
rbf, fourier).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from siren_fastai.models.encodings import fourier_model, nerf_frequencies, nerf_model, rbf_model
from siren_fastai.models.finer import finer_model
from siren_fastai.models.gauss import gauss_model
from siren_fastai.models.grid import grid_model, grid_shape_for
from siren_fastai.models.mlp import ACTIVATIONS, mixed_model, mlp_model
from siren_fastai.models.siren import SineLayer, siren_model
from siren_fastai.models.wire import wire_model
from siren_fastai.names import MODEL_KINDS

__all__ = ["Field", "count_parameters", "field_model", "hidden_features_for", "siren_field"]

# the settings of a kind besides n_in, n_out and its widths, with their published values; the others have none
_SETTINGS: dict[str, dict] = {
    "sine": {"omega_0": 30.0},
    "siren": {"omega_0": 30.0},
    "nerf": {"sidelength": None},
    "rbf": {"n_features": 1024, "sigma_0": 10.0},
    "mixed": {"omega_0": 30.0},
    "fourier": {"n_features": 256, "sigma_0": 10.0},
    "gauss": {"sigma_0": 10.0},
    "wire": {"omega_0": 20.0, "sigma_0": 30.0},
    "finer": {"omega_0": 30.0, "first_bias": None},
    "grid": {"grid_shape": None},
}


class Field(nn.Module):
    """A coordinate network: `net`, its `kind`, and the `config` of plain values that rebuilds it.

    `field_model(**field.config)` has the same layers and state names, also after a trip through JSON; the weights come
    from the state dict. `config` tells how the network was built: edits afterwards (`fold_`) are not in it.
    Shapes: (..., n_in), coordinates in [-1, 1] -> (..., n_out).
    """

    def __init__(self, net: nn.Sequential, config: dict):
        super().__init__()
        self.net, self.config = net, dict(config)

    @property
    def kind(self) -> str:
        """The family's name, one of `MODEL_KINDS`."""
        return self.config["kind"]

    def forward(self, coords: Tensor) -> Tensor:
        if coords.shape[-1] != self.config["n_in"]:
            raise ValueError(f"expected {self.config['n_in']} coordinates on the last axis, got {tuple(coords.shape)}")
        values = self.net(coords.reshape(-1, coords.shape[-1]))
        return values.reshape(*coords.shape[:-1], values.shape[-1])

    def extra_repr(self) -> str:
        return f"kind={self.kind!r}"


def field_model(
    kind: str = "siren",
    n_in: int = 2,
    n_out: int = 3,
    hidden_features: int = 256,
    hidden_layers: int = 3,
    omega_0: float | None = None,
    sidelength: int | Sequence[int] | None = None,
    n_parameters: int | None = None,
    sigma_0: float | None = None,
    n_features: int | None = None,
    first_bias: float | None = None,
    grid_shape: Sequence[int] | None = None,
    dims: Sequence[int] | None = None,
) -> Field:
    """The network of one family, initialised as published.

    `kind` is one of `MODEL_KINDS`; "siren" and "sine" are the same. `hidden_layers` counts the layers from width to
    width, so the default SIREN has four sine layers. `n_parameters` chooses the largest width (or the grid's shape)
    with at most this many parameters, in place of `hidden_features`; a grid without it or `grid_shape` gets a SIREN's
    number. `sidelength`, in pixels, one number or one for each axis, sets nerf's octaves and the grid's proportions.
    The widths, `omega_0` and `sidelength` are ignored by kinds that have no use for them; the other settings belong
    to: `sigma_0` gauss, wire, rbf, fourier; `n_features` rbf (centres), fourier (frequencies); `first_bias` finer;
    `grid_shape` grid; `dims` siren and sine, every width from input to output in place of the sizes. None stands for
    the published value.

    Raises: ValueError for an unknown kind, sizes below 1, or a setting of another kind; TypeError for sizes that are
    not whole numbers.
    """
    _check_kind(kind)
    sizes = {"n_in": n_in, "n_out": n_out, "hidden_features": hidden_features, "hidden_layers": hidden_layers}
    _check_sizes(**sizes, n_features=n_features, n_parameters=n_parameters)
    settings = _settings_of(
        kind,
        {
            "sigma_0": sigma_0,
            "n_features": n_features,
            "first_bias": first_bias,
            "grid_shape": _checked_sides("grid_shape", grid_shape, n_in),
        },
        {"omega_0": omega_0, "sidelength": _checked_sides("sidelength", sidelength)},
    )
    if dims is not None:
        if kind not in ("sine", "siren") or n_parameters is not None:
            raise ValueError(f"`dims` sets the widths of a siren and leaves `n_parameters` out, got {kind!r}, {dims!r}")
        return siren_field(siren_model(dims, **settings), kind)
    if kind == "grid":
        if settings["grid_shape"] is None:
            budget = n_parameters or count_parameters(_on_meta("siren", sizes, {"omega_0": 30.0}))
            settings["grid_shape"] = grid_shape_for(budget, n_out, sidelength, n_in)
        sizes = {"n_in": n_in, "n_out": n_out}
    elif n_parameters is not None:
        sizes["hidden_features"] = _widest(kind, n_parameters, sizes, settings)
    return Field(_build(kind, **sizes, **settings), {"kind": kind, **sizes, **settings})


def siren_field(net: nn.Sequential, kind: str = "siren") -> Field:
    """A SIREN of `siren_model` with a linear output as a `Field`, whatever its widths; the weights are its own.

    `config` holds the widths and the first layer's omega_0.
    Raises: ValueError for a network that is no chain of sine layers with biases and a linear output.
    """
    layers = list(net) if isinstance(net, nn.Sequential) else []
    sines = [m for m in layers[:-1] if isinstance(m, SineLayer) and m.linear.bias is not None]
    if not sines or len(sines) != len(layers) - 1 or not isinstance(layers[-1], nn.Linear) or layers[-1].bias is None:
        raise ValueError(f"`net` must be sine layers with biases and a linear output, got {type(net).__name__}: {net}")
    dims = [layer.linear.in_features for layer in sines] + [layers[-1].in_features, layers[-1].out_features]
    config = {"kind": kind, "n_in": dims[0], "n_out": dims[-1], "dims": dims, "omega_0": sines[0].omega_0}
    return Field(net, config)


def hidden_features_for(
    kind: str,
    n_parameters: int,
    n_in: int = 2,
    n_out: int = 3,
    hidden_layers: int = 3,
    sidelength: int | Sequence[int] | None = None,
    n_features: int | None = None,
) -> int:
    """The largest `hidden_features` with which `field_model(kind, ...)` has at most `n_parameters`.

    `hidden_features_for("relu", 198_401, n_out=1)` is 256. Nothing is drawn at random.
    Raises: ValueError for a grid (it has no width) and if even a width of 1 needs more.
    """
    _check_kind(kind)
    if kind == "grid":
        raise ValueError("a grid has no hidden features; `grid_shape_for` chooses its shape for a parameter count")
    sizes = {"n_in": n_in, "n_out": n_out, "hidden_layers": hidden_layers}
    _check_sizes(**sizes, n_features=n_features, n_parameters=n_parameters)
    settings = _settings_of(kind, {"n_features": n_features}, {"sidelength": _checked_sides("sidelength", sidelength)})
    return _widest(kind, n_parameters, sizes, settings)


def count_parameters(model: nn.Module) -> int:
    """How many real numbers `model` is stored as: its state dict, complex numbers twice.

    This counts what a file must hold, so the fixed random frequencies of "fourier" are in it.
    """
    return sum(t.numel() * (2 if t.is_complex() else 1) for t in model.state_dict().values())


def _build(kind, n_in, n_out, hidden_features=None, hidden_layers=None, **settings) -> nn.Sequential:
    shape = (n_in, n_out, hidden_features, hidden_layers)
    if kind in ("sine", "siren"):
        return siren_model([n_in] + [hidden_features] * (hidden_layers + 1) + [n_out], **settings)
    if kind in ACTIVATIONS:
        return mlp_model(*shape, activation=kind)
    if kind == "nerf":
        return nerf_model(*shape, nerf_frequencies(settings["sidelength"]))
    if kind == "rbf":
        return rbf_model(*shape, settings["n_features"], settings["sigma_0"])
    if kind == "grid":
        return grid_model(settings["grid_shape"], n_out)
    builders = {"mixed": mixed_model, "fourier": fourier_model, "gauss": gauss_model, "wire": wire_model}
    return {**builders, "finer": finer_model}[kind](*shape, **settings)


def _on_meta(kind: str, sizes: dict, settings: dict) -> nn.Sequential:
    with torch.device("meta"):  # shapes only: no memory, no random numbers drawn
        return _build(kind, **sizes, **settings)


def _widest(kind: str, n_parameters: int, sizes: dict, settings: dict) -> int:
    def count(width: int) -> int:
        return count_parameters(_on_meta(kind, {**sizes, "hidden_features": width}, settings))

    if count(1) > n_parameters:
        raise ValueError(f"{kind!r} needs at least {count(1)} parameters with these settings, got {n_parameters}")
    low, high = 1, 2
    while count(high) <= n_parameters:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) <= n_parameters else (low, middle)
    return low


def _settings_of(kind: str, own: dict, common: dict) -> dict:
    """The settings of `kind`: the given ones over the published ones; those of other kinds are refused."""
    strangers = [name for name, value in own.items() if value is not None and name not in _SETTINGS.get(kind, {})]
    if strangers:
        takers = [k for k, settings in _SETTINGS.items() if strangers[0] in settings]
        raise ValueError(f"`{strangers[0]}` is a setting of {', '.join(takers)}, not of {kind!r}: leave it out")
    given = {name: value for name, value in {**own, **common}.items() if value is not None}
    published = _SETTINGS.get(kind, {})
    settings = {**published, **{name: value for name, value in given.items() if name in published}}
    for name in ("omega_0", "sigma_0"):
        if name in settings and not settings[name] > 0:
            raise ValueError(f"`{name}` must be above 0, got {settings[name]!r}")
    if given.get("first_bias", 0) < 0:
        raise ValueError(f"`first_bias` must be at least 0, got {given['first_bias']!r}")
    return settings


def _checked_sides(name: str, sides: int | Sequence[int] | None, n_in: int | None = None):
    """`sides` as JSON keeps it, a number or a list, checked."""
    if sides is None:
        return None
    several = isinstance(sides, Sequence) and not isinstance(sides, str)
    _check_sizes(**{f"{name}[{axis}]": side for axis, side in enumerate(sides)} if several else {name: sides})
    if several and n_in is not None and len(sides) != n_in:
        raise ValueError(f"`{name}` must have {n_in} axes, one for each coordinate, got {list(sides)}")
    return list(sides) if several else sides


def _check_kind(kind: str) -> None:
    if kind not in MODEL_KINDS:
        raise ValueError(f"`kind` must be one of {', '.join(MODEL_KINDS)}, got {kind!r}")


def _check_sizes(**sizes) -> None:
    for name, size in sizes.items():
        if size is None:
            continue
        if isinstance(size, bool) or not isinstance(size, int):
            raise TypeError(f"`{name}` must be a whole number, got {size!r}")
        if size < (0 if name == "hidden_layers" else 1):
            raise ValueError(f"`{name}` must be at least {0 if name == 'hidden_layers' else 1}, got {size}")
