"""One builder for every family of coordinate networks: `field_model(kind, ...)`, and what it builds, a `Field`."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from siren_fastai.models.families import FAMILIES, settings_of
from siren_fastai.models.grid import grid_shape_for
from siren_fastai.models.siren import SineLayer, siren_model
from siren_fastai.names import MODEL_KINDS, SIREN_KINDS

__all__ = ["Field", "count_parameters", "field_model", "siren_field"]


class Field(nn.Module):
    """A coordinate network: `net`, its `kind`, and the `config` of plain values that rebuilds it.

    `field_model(**field.config)` has the same layers and state names, also after a trip through JSON; the weights come
    from the state dict. `config` says how the network was built: later changes (`fold_`) are not in it.
    Shapes: (..., n_in), coordinates in [-1, 1] -> (..., n_out).
    """

    def __init__(
        self,
        net: nn.Sequential,  # (n, n_in) -> (n, n_out)
        config: dict,  # the arguments of `field_model` that build it
    ):
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
    kind: str = "siren",  # the family, one of `MODEL_KINDS`; "siren" and "sine" are the same
    n_in: int = 2,  # coordinates
    n_out: int = 3,  # channels
    hidden_features: int = 256,  # width of the hidden layers; a grid has none
    hidden_layers: int = 3,  # layers from width to width: the default SIREN has four sine layers; a grid has none
    omega_0: float | None = None,  # frequency: sine, siren, mixed, finer (30), wire (20); others ignore it
    sidelength: int | Sequence[int] | None = None,  # sides in pixels: nerf's octaves, the grid's proportions
    n_parameters: int | None = None,  # the most parameters: chooses `hidden_features`, or the grid's shape
    sigma_0: float | None = None,  # wire (30), gauss, rbf, fourier (10)
    n_features: int | None = None,  # centres of rbf (1024), frequencies of fourier (256)
    first_bias: float | None = None,  # bound of finer's first bias (1/sqrt(n_in))
    grid_shape: Sequence[int] | None = None,  # cells of the grid along each axis (as many parameters as a SIREN)
    dims: Sequence[int] | None = None,  # of a siren: every width from input to output, in place of the sizes
) -> Field:
    """Build the network of one family, initialised as published.

    None stands for the published value, which the parameter's comment gives in brackets.
    Raises: ValueError for an unknown kind, sizes below 1, too few parameters, or a setting of another kind; TypeError
    for sizes that are not integers.
    """
    _check_kind(kind)
    sizes = {"n_in": n_in, "n_out": n_out, "hidden_features": hidden_features, "hidden_layers": hidden_layers}
    _check_sizes(**sizes, n_features=n_features, n_parameters=n_parameters)
    own = {"sigma_0": sigma_0, "n_features": n_features, "first_bias": first_bias}
    own["grid_shape"] = _checked_sides("grid_shape", grid_shape, n_in)
    sidelength = _checked_sides("sidelength", sidelength)
    settings = settings_of(kind, own, {"omega_0": omega_0, "sidelength": sidelength})
    if dims is not None:
        if kind not in SIREN_KINDS or n_parameters is not None:
            raise ValueError(f"`dims` sets the widths of a siren and leaves `n_parameters` out, got {kind!r}, {dims!r}")
        return siren_field(siren_model(dims, **settings), kind)
    if kind == "grid":
        if settings["grid_shape"] is None:
            budget = n_parameters or _count("siren", sizes, {"omega_0": 30.0})
            settings["grid_shape"] = grid_shape_for(budget, n_out, sidelength, n_in)
        sizes = {"n_in": n_in, "n_out": n_out}
    elif n_parameters is not None:
        sizes["hidden_features"] = _widest(kind, n_parameters, sizes, settings)
    return Field(_build(kind, sizes, settings), {"kind": kind, **sizes, **settings})


def siren_field(
    net: nn.Sequential,  # of `siren_model`, with biases and a linear output; the weights stay its own
    kind: str = "siren",  # or "sine"
) -> Field:
    """Return a SIREN of any widths as a `Field`, whose `config` has the widths and the first layer's omega_0.

    Raises: ValueError for a network that isn't a chain of sine layers with biases and a linear output.
    """
    layers = list(net) if isinstance(net, nn.Sequential) else []
    sines = [m for m in layers[:-1] if isinstance(m, SineLayer) and m.linear.bias is not None]
    if not sines or len(sines) != len(layers) - 1 or not isinstance(layers[-1], nn.Linear) or layers[-1].bias is None:
        raise ValueError(f"`net` must be sine layers with biases and a linear output, got {type(net).__name__}: {net}")
    dims = [layer.linear.in_features for layer in sines] + [layers[-1].in_features, layers[-1].out_features]
    config = {"kind": kind, "n_in": dims[0], "n_out": dims[-1], "dims": dims, "omega_0": sines[0].omega_0}
    return Field(net, config)


def count_parameters(
    model: nn.Module,  # any module
) -> int:
    """Return how many real numbers `model` is stored as: its state dict, complex numbers twice.

    This counts what a file must hold, so the fixed random frequencies of "fourier" are included.
    """
    return sum(t.numel() * (2 if t.is_complex() else 1) for t in model.state_dict().values())


def _build(kind: str, sizes: dict, settings: dict) -> nn.Sequential:
    return FAMILIES[kind].build(**sizes, **settings)


def _count(kind: str, sizes: dict, settings: dict) -> int:
    """The parameters of a network that is not built."""
    with torch.device("meta"):  # shapes only: no memory, no random numbers drawn
        return count_parameters(_build(kind, sizes, settings))


def _widest(kind: str, n_parameters: int, sizes: dict, settings: dict) -> int:
    """The largest `hidden_features` with at most `n_parameters` parameters, by bisection."""

    def count(width: int) -> int:
        return _count(kind, {**sizes, "hidden_features": width}, settings)

    if count(1) > n_parameters:
        raise ValueError(f"{kind!r} needs at least {count(1)} parameters with these settings, got {n_parameters}")
    low, high = 1, 2
    while count(high) <= n_parameters:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) <= n_parameters else (low, middle)
    return low


def _checked_sides(name: str, sides: int | Sequence[int] | None, n_in: int | None = None) -> int | list[int] | None:
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
            raise TypeError(f"`{name}` must be an integer, got {size!r}")
        if size < (0 if name == "hidden_layers" else 1):
            raise ValueError(f"`{name}` must be at least {0 if name == 'hidden_layers' else 1}, got {size}")
